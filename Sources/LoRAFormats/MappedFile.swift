// A file in memory without copying it: mapped read-only, pages loaded at first touch.

import Foundation

/// A read-only memory mapping of a whole regular file.
///
/// Out of scope: a file that another process shortens while it is mapped. Touching a page beyond
/// the new end then ends the process with SIGBUS, as with every mapping. Tools that replace files
/// by renaming (ours do) are harmless: the mapping keeps the old file.
///
/// Invariant for `Sendable`: the address and the length never change, the bytes are never written.
package final class MappedFile: @unchecked Sendable {
  package let path: String
  private let base: UnsafeMutableRawPointer
  private let length: Int

  /// All bytes; valid as long as this object lives.
  package var bytes: UnsafeRawBufferPointer { UnsafeRawBufferPointer(start: base, count: length) }

  package var byteCount: Int { length }

  /// Maps the file at `path`. Throws `ModelFileError` where there is none, or none that can be
  /// read, or it is empty or not a regular file.
  package init(path: String) throws {
    func failure(_ message: String, _ hint: String) -> ModelFileError {
      ModelFileError(file: path, message: message, hint: hint)
    }
    // Non-blocking, so that a named pipe is refused below rather than waited for.
    let descriptor = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK)
    guard descriptor >= 0 else {
      switch errno {
      case ENOENT, ENOTDIR:
        throw failure("the file does not exist", "check the path")
      case EACCES, EPERM:
        throw failure("no permission to read the file", "check the owner and mode of the file")
      case let code:
        throw failure("cannot open the file: \(String(cString: strerror(code)))", "check the path")
      }
    }
    defer { close(descriptor) }
    var status = stat()
    guard fstat(descriptor, &status) == 0 else {
      throw failure(
        "cannot read the file's size: \(String(cString: strerror(errno)))", "check the path")
    }
    switch status.st_mode & S_IFMT {
    case S_IFREG: break
    case S_IFDIR:
      throw failure("this is a folder, not a file", "name the file inside of it")
    default:
      throw failure("this is not a regular file", "copy the content into a file first")
    }
    guard status.st_size > 0, let length = Int(exactly: status.st_size) else {
      throw failure("the file is empty", "fetch or write it again")
    }
    let address = mmap(nil, length, PROT_READ, MAP_PRIVATE, descriptor, 0)
    guard let address, address != MAP_FAILED else {
      throw failure(
        "cannot map \(length) bytes: \(String(cString: strerror(errno)))",
        "check the limits on address space (ulimit -v)")
    }
    self.path = path
    self.base = address
    self.length = length
  }

  deinit { munmap(base, length) }

  /// Gives the pages back that were read so far; they are loaded again where they are read again.
  ///
  /// For files whose content has just been converted: they would count as the process's memory.
  package func releasePages() { madvise(base, length, MADV_DONTNEED) }

  /// The bytes in `[offset, offset + count)`, or nil where that is not all inside of the file.
  package func bytes(at offset: Int, count: Int) -> UnsafeRawBufferPointer? {
    guard offset >= 0, count >= 0, offset <= length, count <= length - offset else { return nil }
    return UnsafeRawBufferPointer(rebasing: bytes[offset..<(offset + count)])
  }
}
