// What `matrix.py` runs on this side: adapters of PEFT are read and scored, others made, trained for
// some steps and saved; one process for all of them.
//
//   lora-conformance JOBS.json RESULTS.json LOGITS.safetensors

import Foundation
import LoRA
import LoRAAdapters
import LoRAFormats
import LoRAJSON
import LoRAModels
import LoRANN
import LoRATensor
import LoRATraining

/// One line of the matrix.
struct Job {
  let name: String
  let model: String
  let tokens: [Int32]
  /// An adapter of PEFT to read.
  let adapter: String?
  /// An `adapter_config.json` of an adapter to make.
  let configuration: String?
  let output: String?
  let initialization: String?

  init?(_ value: JSONValue) {
    guard let object = value.objectValue, let name = object["name"]?.stringValue,
      let model = object["model"]?.stringValue
    else { return nil }
    self.name = name
    self.model = model
    tokens = (object["tokens"]?.arrayValue ?? []).compactMap { $0.integerValue.map(Int32.init) }
    adapter = object["adapter"]?.stringValue
    configuration = object["configuration"]?.stringValue
    output = object["output"]?.stringValue
    initialization = object["initialization"]?.stringValue
  }

  /// What a line of the matrix comes to.
  struct Outcome {
    var logits: Tensor
    var warnings: [String] = []
    /// By how much the logits differ once the adapter is merged into the weights.
    var mergeDifference: Double?
  }

  func run() throws -> Outcome {
    let model = try ModelSource(path: model).network(computeType: .float32)
    if let adapter {
      let loaded = try model.loadAdapter("read", from: adapter)
      // What depends on the base's weights is read beside them alone.
      if !loaded.configuration.initialization.movesBase { _ = try AdapterWeights(adapter) }
      let before = logits(model)
      try model.mergeAdapters()
      let difference = zip(before.elements, logits(model).elements).reduce(Float(0)) {
        max($0, abs($1.0 - $1.1))
      }
      return Outcome(
        logits: before, warnings: loaded.summary.warnings, mergeDifference: Double(difference))
    }
    guard let path = configuration, let output else { return Outcome(logits: logits(model)) }
    var configuration = try PEFTConfiguration.read(path)
    switch initialization {
    case "gaussian": configuration.initialization = .gaussian
    case "orthogonal": configuration.initialization = .orthogonal
    case "false": configuration.initialization = .uniformBoth
    case "pissa": configuration.initialization = .pissa(iterations: nil)
    case "pissa_niter_4": configuration.initialization = .pissa(iterations: 4)
    case "olora": configuration.initialization = .olora
    default: break
    }
    let summary = try model.addAdapter("made", configuration, seed: 1)
    var options = TrainingOptions()
    options.learningRate = 0.05
    options.maxSteps = 4
    options.batchSize = 1
    options.maxGradNorm = 0
    let example = Example(
      tokens: tokens, mask: tokens.map { _ in true }, line: 1, file: "matrix")
    try Trainer(model, examples: [example], options: options).fit()
    try model.saveAdapter("made", configuration, to: output)
    return Outcome(logits: logits(model), warnings: summary.warnings)
  }

  private func logits(_ model: Llama) -> Tensor {
    model.logits(model.hiddenStates(tokens, packing: Packing(lengths: [tokens.count])))
  }
}

@main
struct Runner {
  static func main() throws {
    let arguments = CommandLine.arguments
    guard arguments.count == 4 else {
      print("usage: lora-conformance JOBS.json RESULTS.json LOGITS.safetensors")
      exit(2)
    }
    let text = try String(contentsOfFile: arguments[1], encoding: .utf8)
    let jobs = try JSONValue(parsing: text).arrayValue ?? []
    var writer = SafeTensorsWriter()
    var results = JSONObject()
    for job in jobs.compactMap(Job.init) {
      do {
        let outcome = try job.run()
        let logits = outcome.logits
        results[job.name] = [
          "warnings": .array(outcome.warnings.map(JSONValue.string)),
          "merge_difference": outcome.mergeDifference.map(JSONValue.number) ?? .null,
        ]
        writer.add(job.name, StoredTensor(logits))
      } catch {
        results[job.name] = ["error": .string("\(error)")]
      }
    }
    try writer.write(to: arguments[3])
    try AtomicFile.write(JSONValue.object(results).serialized(.indented(1)), to: arguments[2])
  }
}
