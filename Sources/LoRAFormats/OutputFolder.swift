// Output folders: made with their parents, and an error that says which name is in the way.

import Foundation

package enum OutputFolder {
  /// Makes the folder and those above it; one that is there stays as it is.
  ///
  /// - Throws: `OutputFileError` where it cannot be made, or a file has its name.
  package static func make(_ path: String) throws {
    var made = ""
    let parts = path.split(separator: "/", omittingEmptySubsequences: true)
    for (index, part) in parts.enumerated() {
      made += (index > 0 || path.hasPrefix("/") ? "/" : "") + part
      guard mkdir(made, 0o777) != 0 else { continue }
      // A parent that exists may answer EROFS or EACCES instead: what counts is what is there.
      let code = errno
      var status = stat()
      if stat(made, &status) == 0 {
        guard status.st_mode & S_IFMT != S_IFDIR else { continue }
        throw OutputFileError(
          file: path, message: "cannot make the folder: \(made) is a file",
          hint: "choose another name")
      }
      throw OutputFileError(
        file: path, message: "cannot make the folder: \(String(cString: strerror(code)))",
        hint: code == ENOSPC ? "make room on the disk" : "choose a place that you may write to")
    }
  }

  /// Checks that a folder that is not there can be made, as far as that can be known.
  ///
  /// - Throws: `OutputFileError` where a file is in the way or the folder above is not writable.
  package static func checkCreatable(_ path: String) throws {
    let name = path.nameOfPath
    if let ending = [".gguf", ".safetensors", ".bin", ".json", ".jsonl"].first(where: {
      name.lowercased().hasSuffix($0)
    }) {
      throw OutputFileError(
        file: path, message: "a folder is to be written here, and the name is that of a file",
        hint: "give a name that does not end in \(ending)")
    }
    var above = path.folderOfPath
    var status = stat()
    while !above.isEmpty, above != "/", stat(above, &status) != 0 {
      above = above.folderOfPath
    }
    if above.isEmpty { above = "." }
    if stat(above, &status) == 0, status.st_mode & S_IFMT != S_IFDIR {
      throw OutputFileError(
        file: path, message: "cannot make the folder: \(above) is a file",
        hint: "choose another name")
    }
    guard access(above, W_OK) == 0 else {
      throw OutputFileError(
        file: path,
        message: "cannot make the folder: \(above): \(String(cString: strerror(errno)))",
        hint: "choose a place that you may write to")
    }
  }
}
