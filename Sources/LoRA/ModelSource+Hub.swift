// What a model's files say of its name on the Hugging Face Hub.

import LoRAFormats
import LoRAJSON

extension ModelSource {
  /// The model's name on the Hub, like HuggingFaceTB/SmolLM2-135M; nil where the files do not say.
  package var hubIdentifier: String? {
    let names: [String?] =
      switch self {
      case .gguf(let file):
        [
          "general.repo_url", "general.source.repo_url", "general.source.huggingface.repository",
        ].map { try? file.string($0) }
      case .folder(let folder): [folder.configuration["_name_or_path"]?.stringValue]
      }
    return names.lazy.compactMap { $0 }.map {
      $0.hasPrefix("https://huggingface.co/") ? String($0.dropFirst(23)) : $0
    }.first { $0.wholeMatch(of: /[A-Za-z0-9_.\-]+\/[A-Za-z0-9_.\-]+/) != nil && !$0.hasPrefix(".") }
  }
}
