// The parts of a path. Foundation's own on NSString trap for a name of one character (Swift 6.3 on
// Linux: `("x" as NSString).deletingLastPathComponent`).

extension String {
  /// The folder that a path is in: "" for a bare name, "/" for what is in the root, and for the root.
  package var folderOfPath: String {
    let parts = droppingTrailingSlashes
    guard let slash = parts.lastIndex(of: "/") else { return "" }
    let folder = String(parts[..<slash]).droppingTrailingSlashes
    return folder.isEmpty ? "/" : String(folder)
  }

  /// The last name of a path: "/" for the root.
  package var nameOfPath: String {
    let parts = droppingTrailingSlashes
    guard let slash = parts.lastIndex(of: "/"), parts.count > 1 else { return String(parts) }
    return String(parts[parts.index(after: slash)...])
  }

  /// The path of a name in this folder; "" is the current one.
  func appendingName(_ name: String) -> String {
    isEmpty || hasSuffix("/") ? self + name : self + "/" + name
  }

  private var droppingTrailingSlashes: Substring {
    var rest = self[...]
    while rest.count > 1, rest.last == "/" { rest.removeLast() }
    return rest
  }
}
