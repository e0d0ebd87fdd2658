// What a model's files say of where it comes from: its name on the Hugging Face Hub, its license.

import Foundation
import LoRAFormats
import LoRAJSON

/// Where a model comes from, as far as its files say.
package struct ModelOrigin: Sendable {
  /// The name on the Hub, like HuggingFaceTB/SmolLM2-135M.
  package var identifier: String?
  /// The license, like apache-2.0.
  package var license: String?

  package init(identifier: String? = nil, license: String? = nil) {
    self.identifier = identifier
    self.license = license
  }
}

extension ModelSource {
  /// The model's name on the Hub and its license.
  package var origin: ModelOrigin {
    let license =
      switch self {
      case .gguf(let file): try? file.string("general.license")
      case .folder(let folder): Self.license(inCard: folder.path + "/README.md")
      }
    return ModelOrigin(
      identifier: hubIdentifier,
      license: license.flatMap {
        $0.wholeMatch(of: /[A-Za-z0-9.\-]+/) != nil && $0 != "other" ? $0 : nil
      })
  }

  private var hubIdentifier: String? {
    let names: [String?] =
      switch self {
      case .gguf(let file):
        [
          "general.repo_url", "general.source.repo_url", "general.source.huggingface.repository",
        ].map { try? file.string($0) }
      case .folder(let folder):
        [
          folder.configuration["_name_or_path"]?.stringValue,
          folder.path.hubIdentifier(of: "models"),
        ]
      }
    return names.lazy.compactMap { $0 }.map {
      $0.hasPrefix("https://huggingface.co/") ? String($0.dropFirst(23)) : $0
    }.first { $0.wholeMatch(of: /[A-Za-z0-9_.\-]+\/[A-Za-z0-9_.\-]+/) != nil && !$0.hasPrefix(".") }
  }

  /// `license: …` of the metadata that a card of the Hub begins with.
  private static func license(inCard path: String) -> String? {
    guard let text = try? String(contentsOfFile: path, encoding: .utf8), text.hasPrefix("---\n")
    else { return nil }
    return text.split(separator: "\n").dropFirst().prefix { $0 != "---" }.lazy
      .compactMap { $0.wholeMatch(of: /license:\s*(\S+)\s*/).map { String($0.1) } }.first
  }
}

extension String {
  /// org/name of a path in the Hub's cache, which has a folder like models--org--name.
  ///
  /// - Parameter kind: models or datasets.
  package func hubIdentifier(of kind: String) -> String? {
    let folder = URL(fileURLWithPath: self).pathComponents.last { $0.hasPrefix(kind + "--") }
    guard let parts = folder?.split(separator: "--", omittingEmptySubsequences: false),
      parts.count == 3, !parts[1].isEmpty, !parts[2].isEmpty
    else { return nil }
    return "\(parts[1])/\(parts[2])"
  }
}
