// The files that tell of a run: config.resolved.yaml and the model card.

import Foundation
import LoRA
import LoRAFormats
import LoRAJSON
import LoRATensor

extension RunConfiguration {
  /// Every setting as YAML; strings are in JSON's quotes, which YAML shares.
  func resolvedYAML() -> String {
    func text(_ value: String?) -> String {
      value.map { JSONValue.string($0).serialized(.compact) } ?? "null"
    }
    func number<T>(_ value: T?) -> String { value.map { "\($0)" } ?? "null" }
    let lines: [(String, String)] = [
      ("model", text(model)), ("data", text(data)), ("output", text(output)),
      ("eval_data", text(evalData)), ("rank", "\(rank)"),
      ("alpha", number(alpha ?? Double(2 * rank))), ("dropout", "\(dropout)"),
      ("target_modules", "[" + targetModules.map { text($0) }.joined(separator: ", ") + "]"),
      ("init", initialization.rawValue), ("init_adapter", text(initAdapter)),
      ("learning_rate", "\(learningRate)"), ("lr_schedule", schedule.rawValue),
      ("warmup_ratio", "\(warmupRatio)"), ("weight_decay", "\(weightDecay)"),
      ("max_grad_norm", "\(maxGradNorm)"), ("epochs", "\(epochs)"),
      ("max_steps", number(maxSteps)), ("batch_size", "\(batchSize)"),
      ("max_length", number(maxLength)), ("truncation", truncation.rawValue),
      ("seed", "\(seed)"), ("shuffle", "\(shuffle)"), ("precision", precision.rawValue),
      ("threads", number(threads)), ("save_steps", number(saveSteps)),
      ("eval_steps", number(evalSteps)), ("log_steps", number(logSteps)),
    ]
    return "# Written by lora train: the settings of this run, defaults included.\n"
      + lines.map { "\($0): \($1)\n" }.joined()
  }
}

/// The model card of an adapter, with the metadata that the Hugging Face Hub reads.
struct ModelCard {
  let run: RunConfiguration
  let facts: [(name: String, value: String)]

  var text: String {
    let name = (run.output as NSString).lastPathComponent
    let base = (run.model as NSString).lastPathComponent
    let rows = facts.map { "| \($0.name) | \($0.value) |" }.joined(separator: "\n")
    return """
      ---
      library_name: peft
      pipeline_tag: text-generation
      tags:
      - lora
      - swift-lora
      ---
      # \(name)

      A LoRA adapter for `\(base)`, trained with swift-lora. PEFT reads it as it is.

      | | |
      |---|---|
      \(rows)

      ```
      lora generate --model \(base) --adapter \(name) --prompt "…"
      ```

      """
  }
}
