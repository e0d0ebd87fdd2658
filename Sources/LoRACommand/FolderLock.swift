// One run at a time in a folder: a lock that goes with the process that holds it, however it ends.

import Foundation
import LoRAFormats

/// The lock of a run's folder, from its making until the object goes.
///
/// It is the kernel's (`flock`), on a file that says who holds it; a file that a killed process left
/// is not locked.
final class FolderLock {
  static let name = ".lora.lock"
  private let path: String
  private let descriptor: Int32

  /// Takes the lock of a folder that is there.
  ///
  /// - Throws: `OutputFileError` where another process has it, or the folder cannot be written.
  init(_ folder: String) throws {
    path = folder + "/" + Self.name
    while true {
      let file = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0o666)
      guard file >= 0 else {
        throw OutputFileError(
          file: folder,
          message: "cannot write into the folder: \(String(cString: strerror(errno)))",
          hint: "choose a place that you may write to")
      }
      if flock(file, LOCK_EX | LOCK_NB) != 0 {
        guard errno != EWOULDBLOCK else {
          defer { close(file) }
          throw Self.taken(folder, by: file)
        }
        Console.warn(
          "\(folder): the folder cannot be locked (\(String(cString: strerror(errno)))): see to it "
            + "that no other run writes into it")
      }
      // Who held it before may have removed the file since it was opened: another may lock a new one.
      var (opened, named) = (stat(), stat())
      guard fstat(file, &opened) == 0, stat(path, &named) == 0, opened.st_ino == named.st_ino else {
        close(file)
        continue
      }
      ftruncate(file, 0)
      _ = Console.write("\(getpid()) \(Self.host)\n", to: file)
      descriptor = file
      return
    }
  }

  deinit {
    unlink(path)
    close(descriptor)
  }

  private static func taken(_ folder: String, by file: Int32) -> OutputFileError {
    var bytes = [UInt8](repeating: 0, count: 512)
    let count = max(pread(file, &bytes, bytes.count, 0), 0)
    let parts = String(decoding: bytes.prefix(count), as: UTF8.self).split(separator: " ")
    var holder = ""
    if let id = parts.first.flatMap({ Int($0) }) {
      let place = parts.last.map { $0.trimmingCharacters(in: .newlines) } ?? host
      holder = ": process \(id)" + (place == host ? "" : " on \(place)")
    }
    return OutputFileError(
      file: folder, message: "another run is writing into the folder" + holder,
      hint: "wait until it has ended, or name another folder")
  }

  private static var host: String {
    var name = [CChar](repeating: 0, count: 256)
    gethostname(&name, name.count - 1)
    return String(decoding: name.prefix { $0 != 0 }.map(UInt8.init(bitPattern:)), as: UTF8.self)
  }
}
