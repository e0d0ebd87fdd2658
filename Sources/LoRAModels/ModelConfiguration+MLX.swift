// What mlx-lm computes otherwise than transformers with one and the same config.json.

package import LoRAFormats
import LoRAJSON

extension ModelConfiguration {
  /// What mlx-lm 0.32 takes otherwise than transformers in the folder of a base, for people.
  ///
  /// It reads `rope_theta` (default 10000) and `rope_scaling`, of `rope_parameters` nothing, and takes
  /// a head for the embedding where `tie_word_embeddings` is not given.
  /// - Throws: `ModelFileError` naming the key.
  package static func warningsForMLX(_ folder: ModelFolder) throws -> [String] {
    let file = folder.file("config.json")
    var read = folder.configuration
    read["rope_parameters"] = nil
    let said = try RopeScaling(ConfigurationReader(folder: folder))
    let taken = try RopeScaling(
      ConfigurationReader(folder: ModelFolder(path: folder.path, configuration: read)))
    var warnings: [String] = []
    if said != taken {
      let keys = said.keys
      let text = ["rope_theta", "rope_scaling"].compactMap { key in
        keys[key].flatMap { $0 == .null ? nil : "\"\(key)\": \($0.serialized(.python))" }
      }
      warnings.append(
        "\(file): mlx-lm does not read rope_parameters and would compute with another rotation: add "
          + text.joined(separator: ", "))
    }
    if ConfigurationReader(folder: folder).value("tie_word_embeddings") == nil {
      warnings.append(
        "\(file): without tie_word_embeddings mlx-lm takes the embedding for the head: add "
          + "\"tie_word_embeddings\": false")
    }
    return warnings
  }
}
