// Output folders that are either whole or not there: filled beside the target, then renamed.

import Foundation

/// Writes a folder of files.
package enum AtomicFolder {
  /// Checks that a folder may be written at a path, before long work ends in an error.
  ///
  /// - Parameters:
  ///   - replaceable: whether a folder with files may be replaced, and if so, only one in which every
  ///     name satisfies this; nil: only an empty folder may be there.
  ///   - kind: what the folder is to hold, for errors.
  /// - Throws: `OutputFileError`.
  package static func check(
    _ path: String, replaceable: ((String) -> Bool)?, kind: String
  ) throws {
    var status = stat()
    guard lstat(trimmed(path), &status) == 0 else { return try OutputFolder.checkCreatable(path) }
    // A symbolic link may lead to another disk, where nothing can be renamed to.
    guard status.st_mode & S_IFMT == S_IFDIR else {
      throw OutputFileError(
        file: path, message: "cannot make the folder: a file or a link has its name",
        hint: "choose another name")
    }
    let names: [String]
    do {
      names = try FileManager.default.contentsOfDirectory(atPath: path).sorted()
    } catch {
      throw OutputFileError(
        file: path, message: "cannot list the folder", hint: "choose a folder that you may read")
    }
    guard let first = names.first else { return try OutputFolder.checkCreatable(trimmed(path)) }
    guard let replaceable else {
      throw OutputFileError(
        file: path, message: "the folder is not empty: it holds \(first)",
        hint: "name a new folder, or give --overwrite to replace what is in it")
    }
    if let foreign = names.first(where: { !replaceable($0) }) {
      throw OutputFileError(
        file: path, message: "the folder holds \(foreign), which is no part of \(kind)",
        hint: "--overwrite replaces such a folder only: name another, or remove the file yourself")
    }
    try OutputFolder.checkCreatable(trimmed(path))
  }

  /// Checks that what is read does not lie in the folder that is to be replaced.
  ///
  /// - Throws: `OutputFileError` naming the input.
  package static func checkDiffers(_ path: String, from inputs: [String]) throws {
    func resolved(_ path: String) -> String {
      URL(fileURLWithPath: path).resolvingSymlinksInPath().path
    }
    let target = resolved(path)
    for input in inputs {
      let source = resolved(input)
      guard source == target || source.hasPrefix(target + "/") else { continue }
      throw OutputFileError(
        file: path, message: "the folder holds \(input), which is read",
        hint: "name another folder for the result")
    }
  }

  /// Fills a new folder, then gives it the name `path`; what had the name is removed after that.
  ///
  /// Whatever `body` throws passes through, and nothing of the new folder is left. Only a killed
  /// process leaves its `.name.….tmp` behind.
  package static func write(to path: String, _ body: (_ folder: String) throws -> Void) throws {
    let target = trimmed(path)
    let parent = target.folderOfPath
    if !parent.isEmpty { try OutputFolder.make(parent) }
    let name = target.nameOfPath.prefix(100)
    let unique = "\(getpid()).\(UInt32.random(in: 0 ... .max))"
    func beside(_ ending: String) -> String {
      parent.appendingName(".\(name).\(unique).\(ending)")
    }
    let temporary = beside("tmp")
    let files = FileManager.default
    do {
      try OutputFolder.make(temporary)
      try body(temporary)
      var status = stat()
      let old = beside("old.tmp")
      let replaces = lstat(target, &status) == 0
      if replaces { try move(target, to: old, reportedAs: path) }
      do {
        try move(temporary, to: target, reportedAs: path)
      } catch {
        if replaces { rename(old, target) }
        throw error
      }
      if replaces { try? files.removeItem(atPath: old) }
    } catch {
      try? files.removeItem(atPath: temporary)
      throw error
    }
  }

  private static func move(_ from: String, to: String, reportedAs path: String) throws {
    guard rename(from, to) == 0 else {
      throw OutputFileError(
        file: path, message: "cannot rename the folder: \(String(cString: strerror(errno)))",
        hint: "choose a place that you may write to; nothing was replaced")
    }
  }

  private static func trimmed(_ path: String) -> String {
    var path = path
    while path.utf8.count > 1, path.hasSuffix("/") { path.removeLast() }
    return path
  }
}
