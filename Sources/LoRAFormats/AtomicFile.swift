// Output files that are either whole or not there: written beside the target, then renamed.

package import Foundation

/// Writes every output file of the project.
///
/// The content goes to a new file in the target's folder, is forced to the disk and takes the
/// target's name in one step. Whatever fails before that leaves the old file as it was and removes
/// the new one; only a killed process leaves its `.name.….tmp` behind.
package enum AtomicFile {
  /// Writes what `body` sends to the sink to `path`. Errors of `body` pass through.
  package static func write(to path: String, _ body: (FileSink) throws -> Void) throws {
    let target = try resolve(path)
    let folder = target.folderOfPath
    let sink = try FileSink(creatingFor: target, reportedAs: path)
    do {
      try body(sink)
      try sink.finish()
      guard rename(sink.temporaryPath, target) == 0 else {
        throw writeError(path, "cannot give the new file its name", errno)
      }
    } catch {
      sink.discard()
      throw error
    }
    // The rename is safe from a power cut only once the folder is on the disk; some file systems
    // cannot do that, and the file is complete either way.
    let descriptor = open(folder.isEmpty ? "." : folder, O_RDONLY | O_CLOEXEC)
    if descriptor >= 0 {
      fsync(descriptor)
      close(descriptor)
    }
  }

  /// Writes UTF-8 text to `path`.
  package static func write(_ text: String, to path: String) throws {
    try write(to: path) { try $0.write(text) }
  }

  /// Writes bytes to `path`.
  package static func write(_ data: Data, to path: String) throws {
    try write(to: path) { sink in try data.withUnsafeBytes { try sink.write($0) } }
  }

  /// Follows symbolic links to the file to replace, and refuses what no file can take the place of.
  private static func resolve(_ path: String) throws -> String {
    var status = stat()
    guard stat(path, &status) == 0 else { return path }
    switch status.st_mode & S_IFMT {
    case S_IFREG: break
    case S_IFDIR:
      throw OutputFileError(
        file: path, message: "cannot write: a folder has this name", hint: "choose another name")
    default:
      throw OutputFileError(
        file: path, message: "cannot write: this is not a regular file",
        hint: "write to a file and copy it there")
    }
    guard let resolved = realpath(path, nil) else { return path }
    defer { free(resolved) }
    return String(cString: resolved)
  }
}

/// Where the content of an output file goes: a buffer in front of a file descriptor.
package final class FileSink {
  let temporaryPath: String
  private let reportedPath: String
  private var descriptor: Int32
  private var buffer: [UInt8] = []
  private static let bufferSize = 1 << 16

  /// Bytes written so far.
  package private(set) var byteCount = 0

  init(creatingFor target: String, reportedAs path: String) throws {
    let folder = target.folderOfPath
    let unique = "\(getpid()).\(UInt32.random(in: 0 ... .max))"
    let name = ".\(target.nameOfPath.prefix(100)).\(unique).tmp"
    self.temporaryPath = folder.appendingName(name)
    self.reportedPath = path
    self.descriptor = open(temporaryPath, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0o666)
    guard descriptor >= 0 else {
      throw writeError(path, "cannot create a file in its folder", errno)
    }
    buffer.reserveCapacity(Self.bufferSize)
  }

  package func write(_ bytes: UnsafeRawBufferPointer) throws {
    byteCount += bytes.count
    if buffer.count + bytes.count > Self.bufferSize { try flush() }
    if bytes.count >= Self.bufferSize {
      try writeThrough(bytes)
    } else {
      buffer.append(contentsOf: bytes)
    }
  }

  package func write(_ bytes: [UInt8]) throws {
    try bytes.withUnsafeBytes { try write($0) }
  }

  package func write(_ text: String) throws {
    var text = text
    try text.withUTF8 { try write(UnsafeRawBufferPointer($0)) }
  }

  private func flush() throws {
    try buffer.withUnsafeBytes { try writeThrough($0) }
    buffer.removeAll(keepingCapacity: true)
  }

  private func writeThrough(_ bytes: UnsafeRawBufferPointer) throws {
    let code = writeAll(bytes, to: descriptor)
    guard code == 0 else { throw writeError(reportedPath, "cannot write the content", code) }
  }

  /// Forces all content to the disk and closes the file.
  func finish() throws {
    try flush()
    guard fsync(descriptor) == 0 else {
      throw writeError(reportedPath, "cannot bring the content to the disk", errno)
    }
    let status = close(descriptor)
    descriptor = -1
    guard status == 0 else {
      throw writeError(reportedPath, "cannot close the new file", errno)
    }
  }

  /// Closes and removes the new file.
  func discard() {
    if descriptor >= 0 { close(descriptor) }
    descriptor = -1
    unlink(temporaryPath)
  }
}
