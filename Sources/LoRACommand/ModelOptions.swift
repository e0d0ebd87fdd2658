// The flags that every verb with a model has, and what they load.

import ArgumentParser
import Foundation
import LoRA
import LoRATensor

/// Which model runs, and how.
struct ModelOptions: ParsableArguments {
  @Option(help: "The model: a GGUF file, or a folder with safetensors and tokenizer.json.")
  var model: String

  @Option(help: "The type of the large products; auto: bfloat16 where the processor has it.")
  var precision: Precision = .auto

  @Option(help: "Threads (default: the processors this process may use).")
  var threads: Int?

  func load(asStored: Bool = false) throws -> LanguageModel {
    try ModelOptions.setThreads(threads)
    return try LanguageModel(path: model, precision: precision, asStored: asStored)
  }

  static func setThreads(_ count: Int?) throws {
    guard let count else { return }
    guard (1...1024).contains(count) else {
      throw ValidationError("--threads is \(count): give 1 to 1024, or leave it out")
    }
    Engine.threadCount = count
  }
}

/// The adapter that a verb uses, if any.
struct AdapterOption: ParsableArguments {
  @Option(help: "The folder of a LoRA adapter; without it, the model alone runs.")
  var adapter: String?

  /// Puts the adapter into the model, and warns on stderr of what is odd about it.
  func load(into model: LanguageModel) throws {
    guard let adapter else { return }
    let loaded = try model.loadAdapter("adapter", from: URL(fileURLWithPath: adapter))
    for warning in loaded.summary.warnings { Console.warn("\(adapter): \(warning)") }
  }
}

/// The rows that a verb reads without training on them.
struct RowsOptions: ParsableArguments {
  @Option(help: "The rows, one JSON object a line.")
  var data: String

  @Option(
    help: "The longest row in tokens; longer ones are an error (default: the model's context).")
  var maxLength: Int?

  func validate() throws {
    if let maxLength, maxLength < 1 {
      throw ValidationError("--max-length is \(maxLength): give 1 or more")
    }
  }

  func maxLength(for model: LanguageModel) -> Int {
    maxLength ?? model.network.configuration.contextLength
  }

  func load(for model: LanguageModel) throws -> Dataset {
    try Dataset(
      contentsOf: data, encoder: model.encoder, maxLength: maxLength(for: model),
      truncation: .error)
  }
}
