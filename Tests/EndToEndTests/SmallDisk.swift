// A disk that is full as soon as a test wants it.

import Foundation
import LoRATestSupport

/// A file system in memory of a given size, for as long as the object lives.
final class SmallDisk {
  let path: String

  /// Whether this user may mount one.
  static let isPossible: Bool = {
    guard let disk = try? TemporaryFolder() else { return false }
    return (try? SmallDisk(disk.file("disk"), kilobytes: 64)) != nil
  }()

  init?(_ path: String, kilobytes: Int) throws {
    self.path = path
    try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
    guard mount("none", path, "tmpfs", 0, "size=\(kilobytes)k") == 0 else { return nil }
  }

  /// Whether the file system now has the size.
  func resize(kilobytes: Int) -> Bool {
    mount("none", path, "tmpfs", UInt(MS_REMOUNT), "size=\(kilobytes)k") == 0
  }

  /// Fills it to the last byte, once a process has made a file or folder in it that is not empty.
  func fill(once name: String, _ process: Process) {
    let deadline = Date(timeIntervalSinceNow: 60)
    var status = stat()
    while process.isRunning, Date() < deadline, stat(name, &status) != 0 || status.st_size == 0 {
      usleep(1_000)
    }
    let other = open(path + "/other", O_WRONLY | O_CREAT, 0o600)
    let zeros = [UInt8](repeating: 0, count: 4096)
    while write(other, zeros, zeros.count) > 0 {}
    close(other)
  }

  deinit { umount2(path, Int32(MNT_DETACH)) }
}
