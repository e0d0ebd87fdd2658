// `lora convert`: an adapter in the form of another program.

import ArgumentParser
import Foundation
import LoRA
import LoRAAdapters
import LoRAJSON

struct ConvertCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "convert",
    abstract: "Writes an adapter as llama.cpp, MLX or PEFT reads it; its own form is detected.",
    discussion: """
      gguf      one file for llama.cpp: the alpha of all layers, q and k in GGUF's order of rows
      peft      a folder for PEFT and for this command
      mlx       a folder for mlx-lm and mlx-swift-lm: one scale and one rank
      portable  a folder of PEFT's with alpha = r and no patterns, for vLLM and other readers

      Scales that the new form does not know are multiplied into B, in one rounding; what it cannot \
      hold is an error before anything is written. To and from gguf, --model tells the base's heads.

      lora convert my-adapter --to gguf --output my-adapter.gguf --model MODEL.gguf
      """)

  @Argument(help: "The adapter: a folder of PEFT's or MLX's, or a GGUF file.")
  var adapter: String

  @Option(help: "The form that is wanted: gguf, peft, mlx or portable.")
  var to: AdapterTarget

  @Option(help: "The new folder, or for gguf the new file.")
  var output: String

  @Option(
    help: ArgumentHelp(
      "The base model: a GGUF file, or a folder with config.json.",
      discussion: "Default: the base that the adapter names, where that is there."))
  var model: String?

  @Option(
    help: """
      f32, f16 or bf16 (default: the types that the adapter has). With --to peft also for an adapter \
      that is PEFT's already: everything in it is kept.
      """)
  var dtype: WrittenType?

  @Flag(help: "Replace files that are there already.")
  var overwrite = false

  func run() throws {
    let report = try convertAdapter(
      at: URL(fileURLWithPath: adapter), to: to, output: URL(fileURLWithPath: output),
      base: try base().map { URL(fileURLWithPath: $0) }, dtype: dtype?.dtype,
      overwrite: overwrite)
    Console.say(
      "\(output): \(Console.count(report.layerCount, "layer")), "
        + "\(Console.count(report.parameterCount)) parameters")
    if report.roundedFolded > 0 {
      Console.say(
        "the scale went into B of \(report.roundedFolded.counted("layer")), rounded once to float32"
      )
    }
    if report.exactlyFolded > 0 {
      Console.say("the scale went into B of \(report.exactlyFolded.counted("layer")), exactly")
    }
    if report.padded > 0 {
      Console.say("the factors of \(report.padded.counted("layer")) got zeros to have one rank")
    }
    if let name = report.dtype?.name {
      Console.say(
        report.narrowed == 0
          ? "stored as \(name), no number was rounded for it"
          : "stored as \(name), which rounded numbers in \(report.narrowed) tensors")
      if report.vanished > 0 {
        Console.warn("\(report.vanished) numbers are too small for \(name) and became 0")
      }
    }
    if report.isExact { Console.say("the factors are those of the input, bit for bit") }
    for warning in report.warnings { Console.warn(warning) }
  }

  /// --model, or the base that the adapter names; a name on the Hub is no path and counts as none.
  private func base() throws -> String? {
    if let model { return model }
    let named = try AdapterWeights(adapter).baseModel
    return named.flatMap { FileManager.default.fileExists(atPath: $0) ? $0 : nil }
  }
}
