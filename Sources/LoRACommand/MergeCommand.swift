// `lora merge`: a model with its adapters merged into it, as a folder that transformers loads.

import ArgumentParser
import Foundation
import LoRA
import LoRAFormats
import LoRAJSON
import LoRAModels
import LoRATensor
import LoRATraining

struct MergeCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "merge",
    abstract:
      "Writes the model with its adapter merged into the weights, as transformers loads it.",
    discussion: """
      W' = W + s·B·A is computed in float32 and rounded once. The merged model is compared with the \
      model and its adapter before the folder gets its name: a difference above --max-kl is refused.
      """)

  @Option(help: "The model: a GGUF file, or a folder with safetensors and tokenizer.json.")
  var model: String

  @Option(help: "The folder of a LoRA adapter; several are merged together.")
  var adapter: [String]

  @Option(help: "The folder to write.")
  var output: String

  @Option(
    help: "f32, f16 or bf16 (default: the type of the model's weights, f32 if they are quantised).")
  var dtype: WrittenType?

  @Option(help: "The most bytes of weights in one file, like 5GB or 500MB.")
  var maxShardSize = ByteSize(5_000_000_000)

  @Option(help: "Rows to compare on, one JSON object a line (default: some built-in texts).")
  var data: String?

  @Option(help: "The largest mean KL divergence, in nats per token, that is not refused.")
  var maxKl = 0.01

  @Flag(help: "Write the folder even if the comparison says that it should be refused.")
  var force = false

  @Flag(help: "Replace the folder if it holds a model already.")
  var overwrite = false

  @Option(help: "Threads (default: the processors this process may use).")
  var threads: Int?

  func validate() throws {
    guard maxKl >= 0 else { throw ValidationError("--max-kl is \(maxKl): give 0 or more") }
    guard !adapter.isEmpty else { throw ValidationError("give --adapter FOLDER") }
  }

  func run() throws {
    try ModelOptions.setThreads(threads)
    try checkOutput()
    let source = try ModelSource(path: model)
    // Mapped: a model larger than the memory can be merged.
    let network = try source.network(computeType: .float32, asStored: true)
    let names = adapter.indices.map { "adapter-\($0 + 1)" }
    for (name, folder) in zip(names, adapter) {
      for warning in try network.loadAdapter(name, from: folder).summary.warnings {
        Console.warn("\(folder): \(warning)")
      }
    }
    let sample = try ModelComparison.sample(data, of: source)
    let merged = try MergedModel(network, of: source, adapters: names, dtype: dtype?.dtype)
    let interruption = Interruption(note: "removing what was written; once more to end at once")
    let progress = WriteProgress(total: merged.byteCount)
    var difference: LogitDifference?
    do {
      try AtomicFolder.write(to: output) { folder in
        interruption.removeOnAbort(folder)
        try merged.write(to: folder, maximumShardBytes: maxShardSize.bytes) { done in
          try interruption.check()
          progress.show(done)
        }
        progress.clear()
        difference = try compare(network, with: folder, over: sample, interruption)
      }
    } catch {
      interruption.removeUnfinished()
      throw error
    }
    report(merged, difference, tied: network.configuration.tiesEmbeddings)
  }

  /// Checks what does not need the model, before work that takes minutes.
  private func checkOutput() throws {
    let isPart: (String) -> Bool = { ModelFolderText.isPart($0) }
    try AtomicFolder.check(
      output, replaceable: overwrite ? isPart : nil, kind: "a merged model")
    try AtomicFolder.checkDiffers(output, from: [model] + adapter)
  }

  private func compare(
    _ network: Llama, with folder: String, over sample: [[Int32]], _ interruption: Interruption
  ) throws -> LogitDifference {
    let merged = try ModelSource(path: folder).network(computeType: .float32, asStored: true)
    var progress = ProgressLine(total: sample.count)
    let difference = try LogitDifference(of: network, merged, over: sample) { done in
      try interruption.check()
      progress.show(done, "texts compared")
    }
    progress.clear()
    // Not a comparison that NaN passes.
    guard !(difference.meanDivergence <= maxKl), !force else { return difference }
    throw OutputFileError(
      file: output,
      message: "the merged model differs from the model with its adapter: \(difference.line), "
        + "above --max-kl \(maxKl); nothing was written",
      hint: "merge into float32 (--dtype f32), or give --force to have it all the same")
  }

  private func report(_ merged: MergedModel, _ difference: LogitDifference?, tied: Bool) {
    if tied, !merged.tiesEmbeddings {
      Console.say("the adapter changes an embedding: lm_head and embed_tokens are now two tensors")
    }
    if let difference {
      Console.say(
        "merged against adapter on \(difference.count.counted("token")): \(difference.line)")
    }
    Console.say(
      "model: \(output) (\(merged.dtype.name), \(Console.short(merged.byteCount))B of weights)")
  }
}

/// The progress of writing bytes.
private final class WriteProgress {
  private var line: ProgressLine
  private let total: Int

  init(total: Int) {
    self.total = total
    line = ProgressLine(total: max(total >> 20, 1))
  }

  func show(_ done: Int) { line.show(done >> 20, "MB of \(total >> 20) written") }
  func clear() { line.clear() }
}

/// The types that weights are written in.
enum WrittenType: String, ExpressibleByArgument, CaseIterable {
  case f32, f16, bf16

  init?(argument: String) {
    switch argument {
    case "f32", "float32": self = .f32
    case "f16", "float16": self = .f16
    case "bf16", "bfloat16": self = .bf16
    default: return nil
    }
  }

  var dtype: DType {
    switch self {
    case .f32: .float32
    case .f16: .float16
    case .bf16: .bfloat16
    }
  }
}
