// The files of a model's folder beside its weights: configuration, tokenizer, chat template.

import LoRAFormats
import LoRAJSON
import LoRAModels
package import LoRATensor
import LoRAText
import LoRATraining

/// Writes everything but the weights of a model into a folder as Hugging Face lays it out.
package struct ModelFolderText {
  private let source: ModelSource

  package init(_ source: ModelSource) { self.source = source }

  /// Copies the files of a folder, or makes them from a GGUF file's metadata.
  ///
  /// - Throws: `ModelFileError` naming what the files cannot say; `OutputFileError`.
  package func write(to folder: String, dtype: DType, tiesEmbeddings: Bool) throws {
    switch source {
    case .folder(let base):
      try copy(base, to: folder)
      let configuration = try ModelConfiguration.completed(
        base.configuration, of: base.path, dtype: dtype, tiesEmbeddings: tiesEmbeddings)
      try write(.object(configuration), to: folder, "config.json")
    case .gguf(let file):
      try write(file, to: folder, dtype: dtype, tiesEmbeddings: tiesEmbeddings)
    }
  }

  /// Whether a name is one that these files or the weights beside them have.
  package static func isPart(_ name: String) -> Bool {
    copied.contains(name) || name == "config.json" || name == "model.safetensors.index.json"
      || name == "model.safetensors"
      || (name.hasPrefix("model-") && name.hasSuffix(".safetensors"))
  }

  private static let copied = [
    "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json",
    "chat_template.jinja", "chat_template.json", "tokenizer.model", "vocab.json", "merges.txt",
    "generation_config.json", "LICENSE", "LICENSE.txt", "LICENSE.md", "NOTICE", "USE_POLICY.md",
  ]

  private func copy(_ base: ModelFolder, to folder: String) throws {
    // Read and written, not linked or cloned: files of the Hub's cache are links into it.
    for name in Self.copied {
      guard let file = try base.bytes(of: name) else { continue }
      try AtomicFile.write(to: folder + "/" + name) { sink in
        try withExtendedLifetime(file) { try sink.write(file.bytes) }
      }
    }
  }

  private func write(
    _ gguf: GGUFFile, to folder: String, dtype: DType, tiesEmbeddings: Bool
  ) throws {
    let sizes = try ModelConfiguration(gguf: gguf)
    let description = try TokenizerDescription(gguf: gguf)
    let template = try gguf.string("tokenizer.chat_template")
    do {
      let tokenizer = try Tokenizer(description)
      let eos = tokenizer.eosTokenID.map { [$0] } ?? []
      let stops = eos + tokenizer.endOfGenerationTokenIDs.filter { !eos.contains($0) }.sorted()
      let configuration = try ModelConfiguration.completed(
        sizes.configJSON(gguf: gguf, bos: tokenizer.bosTokenID, stops: eos), of: gguf.path,
        dtype: dtype, tiesEmbeddings: tiesEmbeddings)
      try write(.object(configuration), to: folder, "config.json")
      try write(try description.tokenizerJSON(), to: folder, "tokenizer.json")
      try write(
        description.tokenizerConfiguration(
          chatTemplate: template, contextLength: sizes.contextLength),
        to: folder, "tokenizer_config.json")
      var generation: JSONObject = [:]
      if let bos = tokenizer.bosTokenID { generation["bos_token_id"] = .integer(Int(bos)) }
      if !stops.isEmpty {
        generation["eos_token_id"] = .array(stops.map { .integer(Int($0)) })
      }
      try write(.object(generation), to: folder, "generation_config.json")
    } catch let error as TokenizerError {
      throw ModelFileError(file: gguf.path, message: error.message, hint: error.hint)
    }
  }

  private func write(_ value: JSONValue, to folder: String, _ name: String) throws {
    try AtomicFile.write(value.serialized(.indented(2)) + "\n", to: folder + "/" + name)
  }
}
