// A terminal of a given width that the command writes to, as it would to a person's.

import Foundation

/// A pseudo-terminal; what is written to it is read until its last user has gone.
final class Terminal: @unchecked Sendable {
  /// What the command writes to.
  let handle: FileHandle
  private let master: Int32
  private var bytes = Data()
  private let isRead = DispatchSemaphore(value: 0)

  /// - Parameter width: characters of a line.
  init?(width: UInt16) {
    // Linux's own calls: unlocking, and the number of the other end.
    let master = open("/dev/ptmx", O_RDWR | O_NOCTTY | O_CLOEXEC)
    var (isLocked, number) = (Int32(0), Int32(0))
    guard master >= 0, ioctl(master, 0x4004_5431, &isLocked) == 0,
      ioctl(master, 0x8004_5430, &number) == 0
    else { return nil }
    let slave = open("/dev/pts/\(number)", O_RDWR | O_NOCTTY | O_CLOEXEC)
    guard slave >= 0 else { return nil }
    var size = winsize(ws_row: 50, ws_col: width, ws_xpixel: 0, ws_ypixel: 0)
    guard ioctl(slave, UInt(TIOCSWINSZ), &size) == 0 else { return nil }
    handle = FileHandle(fileDescriptor: slave, closeOnDealloc: true)
    self.master = master
    DispatchQueue.global().async { [self] in
      var part = [UInt8](repeating: 0, count: 4096)
      // The end of a terminal is an error of reading.
      while case let count = read(master, &part, part.count), count > 0 {
        bytes += part.prefix(count)
      }
      close(master)
      isRead.signal()
    }
  }

  /// Everything that was written, once the command has ended.
  func text() throws -> String {
    try handle.close()
    isRead.wait()
    return String(decoding: bytes, as: UTF8.self).replacingOccurrences(of: "\r\n", with: "\n")
  }
}
