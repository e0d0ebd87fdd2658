// The folders in which huggingface_hub keeps models: `models--OWNER--NAME/snapshots/REVISION/`.

import Foundation

enum HubCache {
  /// The snapshot that a cached model's folder means: that of `main`, else one that is there; nil
  /// where the folder is none of the cache.
  static func snapshot(of path: String) -> String? {
    let snapshots = path + "/snapshots"
    let revision = try? String(contentsOfFile: path + "/refs/main", encoding: .utf8)
    let names =
      [revision?.filter { !$0.isWhitespace }].compactMap { $0 }
      + ((try? FileManager.default.contentsOfDirectory(atPath: snapshots)) ?? []).sorted()
    return names.map { snapshots + "/" + $0 }.first {
      !$0.hasSuffix("/") && FileManager.default.fileExists(atPath: $0)
    }
  }
}
