// The flags that every verb with a model has, and what they load.

import ArgumentParser
import Foundation
import LoRA
import LoRAJSON
import LoRATensor

/// Which model runs, and how.
struct ModelOptions: ParsableArguments {
  @Option(help: "The model: a GGUF file, or a folder with safetensors and tokenizer.json.")
  var model: String

  @Option(help: "The type of the large products; auto: bfloat16 where the processor has it.")
  var precision: Precision = .auto

  @Option(help: "Threads (default: the processors this process may use).")
  var threads: Int?

  @OptionGroup var template: TemplateFlags

  func load(asStored: Bool = false) throws -> LanguageModel {
    try ModelOptions.setThreads(threads)
    return try LanguageModel(
      path: model, precision: precision, asStored: asStored,
      templateVariables: template.variables ?? [:], templateDate: template.templateDate)
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
    warnOfOtherRendering(adapter, model.encoder.templateVariables)
  }
}

extension AdapterOption {
  /// Says where the run that made the adapter rendered its rows with other variables.
  private func warnOfOtherRendering(_ adapter: String, _ variables: JSONObject) {
    // `best/` lies in the run's folder.
    let paths = ["", "/.."].map { adapter + $0 + "/config.resolved.yaml" }
    guard let path = paths.first(where: FileManager.default.fileExists),
      let text = try? String(contentsOfFile: path, encoding: .utf8)
    else { return }
    var run = RunConfiguration()
    guard (try? run.apply(yaml: text, file: path)) != nil, run.templateVariables != variables
    else { return }
    func shown(_ variables: JSONObject) -> String {
      variables.isEmpty ? "none" : JSONValue.object(variables).serialized(.python)
    }
    Console.warn(
      "\(adapter): was trained with the template variables \(shown(run.templateVariables)), and now "
        + "has \(shown(variables)): rows and prompts look different to it; see --set")
  }
}

/// The rows that a verb reads without training on them.
struct RowsOptions: ParsableArguments {
  @Option(help: "The rows: JSON objects, one a line or in one array; - is stdin.")
  var data: String

  @Option(
    help: "The longest row in tokens; longer ones are an error (default: the model's context).")
  var maxLength: Int?

  func validate() throws {
    if let maxLength, maxLength < 1 {
      throw ValidationError("--max-length is \(maxLength): give 1 or more")
    }
  }

  /// The path that the rows are read from, as often as needed.
  func file() throws -> String { try StandardInput.path(data) }

  func maxLength(for model: LanguageModel) -> Int {
    maxLength ?? model.network.configuration.contextLength
  }

  func load(for model: LanguageModel) throws -> Dataset {
    try Dataset(
      contentsOf: file(), encoder: model.encoder, maxLength: maxLength(for: model),
      truncation: .error)
  }
}
