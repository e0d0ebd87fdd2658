// `lora extract`: an adapter out of a model and what training made of it.

import ArgumentParser
import LoRA
import LoRAAdapters
import LoRAFormats
import LoRAJSON
import LoRATensor

struct ExtractCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "extract",
    abstract: "Writes the low-rank part of the difference of two models as an adapter.",
    discussion: """
      lora extract --model BASE --tuned TUNED --rank 32 --output my-adapter

      For every linear layer the best B·A of the rank for W_tuned - W_base (singular value \
      decomposition), and how much of the difference it holds; then both models are compared on \
      some texts.
      """)

  @Option(help: "The model before training: a GGUF file or a folder.")
  var model: String

  @Option(help: "The model after training, of the same shape.")
  var tuned: String

  @Option(help: "r of the adapter.")
  var rank: Int

  @Option(help: "The folder to write.")
  var output: String

  @Option(
    parsing: .upToNextOption,
    help: "The ends of the paths of the layers to take (default: every linear layer).")
  var targetModules: [String] = []

  @Option(help: "Rows to compare on, one JSON object a line (default: some built-in texts).")
  var data: String?

  @Flag(help: "Print one JSON object.")
  var json = false

  @Flag(help: "Replace the adapter in the folder, if there is one.")
  var overwrite = false

  @Option(help: "Threads (default: the processors this process may use).")
  var threads: Int?

  func validate() throws {
    guard (1...65_536).contains(rank) else {
      throw ValidationError("--rank is \(rank): give 1 to 65536")
    }
  }

  func run() throws {
    try ModelOptions.setThreads(threads)
    let output = try AdapterOutput(output, overwrite: overwrite, inputs: [model, tuned])
    let source = try ModelSource(path: model)
    let sample = try sample(source)
    // Mapped: neither model needs to fit into memory.
    let base = try source.network(computeType: .float32, asStored: true)
    let other = try ModelSource(path: tuned).network(computeType: .float32, asStored: true)
    var progress = ProgressLine(total: 0)
    var result = try AdapterExtraction(
      base: base, tuned: other, rank: rank, targets: targetModules.isEmpty ? nil : targetModules
    ) { done, total in
      if done == 0 { progress = ProgressLine(total: total) }
      progress.show(done, "tensors")
    }
    progress.clear()
    result.setBase(model, identity: base.baseIdentity)
    try output.write(result.adapter)
    let difference = try sample.map { sample in
      try base.loadAdapter("extracted", from: output.path)
      return LogitDifference(of: other, base, over: sample)
    }
    if let first = result.remainders.max(by: { $0.change < $1.change }) {
      Console.warn(
        "\(result.remainders.count) other tensors differ too, which the adapter does not hold, the "
          + "most \(first.path) by \(percent(first.change))")
    }
    if json {
      return Console.say(JSONValue.object(facts(result, difference)).serialized(.indented(2)))
    }
    let width = result.layers.map(\.path.count).max() ?? 0
    Console.say("layer".padded(to: width) + "    change   explained")
    for layer in result.layers {
      Console.say(
        layer.path.padded(to: width) + percent(layer.change).padded(to: 10, left: true)
          + percent(layer.explained).padded(to: 12, left: true))
    }
    Console.say(
      "\(result.layers.count.counted("layer")), rank \(rank): \(percent(result.explained)) of the squared "
        + "difference")
    if let difference {
      Console.say(
        "tuned model against adapter on \(difference.count.counted("token")): \(difference.line)")
    }
    Console.say("adapter: \(output.path)")
  }

  /// The sequences to compare on; nil where the model has no tokenizer to make them with.
  private func sample(_ source: ModelSource) throws -> [[Int32]]? {
    do {
      return try ModelComparison.sample(data, of: source)
    } catch  where data == nil {
      Console.warn("the adapter is not compared with the tuned model: \(error)")
      return nil
    }
  }

  private func facts(_ result: AdapterExtraction, _ difference: LogitDifference?) -> JSONObject {
    var facts: JSONObject = [
      "adapter": .string(output), "rank": .integer(rank),
      "explained": .number(result.explained),
      "modules": .array(
        result.layers.map {
          [
            "path": .string($0.path), "rank": .integer($0.rank),
            "relative_change": .number($0.change), "explained": .number($0.explained),
          ]
        }),
      "not_extracted": .array(
        result.remainders.map {
          ["path": .string($0.path), "relative_change": .number($0.change)]
        }),
    ]
    if let difference {
      facts["comparison"] = [
        "tokens": .integer(difference.count),
        "max_logit_difference": .number(Double(difference.maximum)),
        "mean_kl": .number(difference.meanDivergence),
        "max_kl": .number(difference.maximumDivergence),
        "same_most_probable_token": .number(difference.agreement),
      ]
    }
    return facts
  }

  private func percent(_ share: Double) -> String { Console.fixed(share * 100, 2) + "%" }
}

extension String {
  /// The text with blanks up to a width.
  fileprivate func padded(to width: Int, left: Bool = false) -> String {
    let blanks = String(repeating: " ", count: max(0, width - count))
    return left ? blanks + self : self + blanks
  }
}
