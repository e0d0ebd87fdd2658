// Whether the disk has room for what a run writes, before hours of work end in an error.

import Foundation
import LoRAFormats

extension RunFolder {
  /// - Parameters:
  ///   - adapterBytes: the numbers of the adapter, as float32.
  ///   - checkpoints: how many lie there at a time; each also holds the two moments of every number.
  ///   - keepsBest: whether the best adapter is kept beside the last one.
  /// - Throws: `OutputFileError` where that is more than is free.
  func checkSpace(adapterBytes: Int, checkpoints: Int, keepsBest: Bool) throws {
    var status = statvfs()
    guard statvfs(path, &status) == 0 else { return }
    let free = Int(clamping: UInt64(status.f_bavail) * UInt64(status.f_frsize))
    let needed = Self.neededBytes(
      adapterBytes: adapterBytes, checkpoints: checkpoints, keepsBest: keepsBest)
    guard needed > free else { return }
    throw OutputFileError(
      file: path,
      message: "the run writes \(Self.megabytes(needed)), and the disk has \(Self.megabytes(free)) "
        + "free",
      hint: checkpoints > 1
        ? "make room, or keep fewer checkpoints with --save-total-limit (\(checkpoints) are counted)"
        : "make room, or choose a folder on another disk")
  }

  private static func neededBytes(adapterBytes: Int, checkpoints: Int, keepsBest: Bool) -> Int {
    // A new file lies beside the old one until it takes its name.
    let adapters = 2 + (keepsBest ? 2 : 0)
    let states = checkpoints > 0 ? 3 * (checkpoints + 1) : 0
    return (adapters + states) * adapterBytes + 1_000_000
  }

  private static func megabytes(_ bytes: Int) -> String {
    "\(Console.fixed(Double(bytes) / 1e6, 1)) MB"
  }
}
