// Files that grow by whole records, and the one place that writes to a file descriptor.

import Foundation

/// Writes all bytes to a file descriptor.
///
/// - Returns: 0, or the number of the error that stopped it.
package func writeAll(_ bytes: UnsafeRawBufferPointer, to descriptor: Int32) -> Int32 {
  var rest = bytes[...]
  while !rest.isEmpty {
    // Linux writes at most 2 GiB - 4 KiB in one call and returns how many; so does this loop.
    let piece = UnsafeRawBufferPointer(rebasing: rest)
    let written = write(descriptor, piece.baseAddress, piece.count)
    if written > 0 {
      rest = rest.dropFirst(written)
      continue
    }
    switch written == 0 ? ENOSPC : errno {
    case EINTR: continue
    case EAGAIN:
      // A pipe or terminal that another program made non-blocking is full for the moment.
      var wait = pollfd(fd: descriptor, events: Int16(POLLOUT), revents: 0)
      poll(&wait, 1, -1)
    case let code: return code
    }
  }
  return 0
}

/// A file that records are added to; each is handed to the system before `append` returns.
package final class AppendedFile {
  private let path: String
  private let descriptor: Int32

  /// Opens a file that is there.
  ///
  /// - Throws: `OutputFileError`.
  package init(_ path: String) throws {
    self.path = path
    descriptor = open(path, O_WRONLY | O_APPEND | O_CLOEXEC)
    guard descriptor >= 0 else { throw writeError(path, "cannot open the file", errno) }
  }

  deinit { close(descriptor) }

  /// Adds a record: all of it or nothing.
  ///
  /// - Throws: `OutputFileError`.
  package func append(_ bytes: [UInt8]) throws {
    var before = stat()
    let isKnown = fstat(descriptor, &before) == 0
    let code = bytes.withUnsafeBytes { writeAll($0, to: descriptor) }
    guard code != 0 else { return }
    if isKnown { ftruncate(descriptor, before.st_size) }
    throw writeError(path, "cannot write the content", code)
  }
}

/// The error of a failed system call, with a hint by its cause.
func writeError(_ path: String, _ what: String, _ code: Int32) -> OutputFileError {
  let hint =
    switch code {
    case ENOSPC, EDQUOT, EFBIG:
      "make room on the disk, or raise the quota or file size limit; nothing was replaced"
    case EACCES, EPERM, EROFS: "choose a folder that you may write to"
    case ENOENT, ENOTDIR: "create the folder first"
    case ENAMETOOLONG: "choose a shorter name"
    default: "check the disk and the path; nothing was replaced"
    }
  return OutputFileError(
    file: path, message: "\(what): \(String(cString: strerror(code)))", hint: hint)
}
