// Standard input where a file or a text is asked for: `-`.

import ArgumentParser
import Foundation
import LoRATraining

enum StandardInput {
  /// The whole input as a text.
  ///
  /// - Parameter name: what reads it, for errors.
  static func text(for name: String) throws -> String {
    let data: Data?
    do {
      data = try FileHandle.standardInput.readToEnd()
    } catch {
      throw ValidationError("\(name): standard input cannot be read: \(error.localizedDescription)")
    }
    guard let text = String(validating: data ?? Data(), as: UTF8.self) else {
      throw ValidationError("\(name): the text of standard input is not UTF-8")
    }
    return text
  }

  /// The path under which a file can be read as often as needed; that of `-` is `/dev/stdin`.
  ///
  /// What comes out of a pipe is kept in a temporary file without a name, which takes the pipe's place:
  /// rows are counted, read and shown again, and nothing is left behind.
  static func path(_ path: String) throws -> String {
    guard path == "-" else { return path }
    var status = stat()
    guard fstat(0, &status) == 0 else { throw failure("cannot be read") }
    if status.st_mode & S_IFMT != S_IFREG || lseek(0, 0, SEEK_CUR) != 0 { try keep() }
    return "/dev/stdin"
  }

  private static func keep() throws {
    let folder = FileManager.default.temporaryDirectory.path
    var name = Array((folder + "/lora-stdin-XXXXXX").utf8CString)
    let file = mkstemp(&name)
    guard file >= 0 else { throw failure("cannot be kept in \(folder)") }
    unlink(name)
    defer { close(file) }
    var bytes = [UInt8](repeating: 0, count: 1 << 16)
    while true {
      let count = read(0, &bytes, bytes.count)
      if count < 0, errno == EINTR { continue }
      guard count >= 0 else { throw failure("cannot be read") }
      if count == 0 { break }
      var written = 0
      while written < count {
        let step = bytes[written..<count].withUnsafeBytes { write(file, $0.baseAddress, $0.count) }
        if step < 0, errno == EINTR { continue }
        guard step > 0 else { throw failure("cannot be kept in \(folder)") }
        written += step
      }
    }
    guard lseek(file, 0, SEEK_SET) == 0, dup2(file, 0) == 0 else { throw failure("cannot be kept") }
  }

  private static func failure(_ what: String) -> DataError {
    DataError(
      message: "standard input \(what): \(String(cString: strerror(errno)))",
      hint: "write the rows into a file, and name it")
  }
}
