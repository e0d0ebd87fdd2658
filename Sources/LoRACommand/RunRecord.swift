// The model card that a run writes beside the adapter.

import Foundation
import LoRA
import LoRAFormats
import LoRAJSON
import LoRATraining

/// The model card of an adapter, with the metadata that the Hugging Face Hub reads.
struct ModelCard {
  let run: RunConfiguration
  let facts: [(name: String, value: String)]
  /// The base model's name on the Hub, like org/name, where its files say it.
  let baseIdentifier: String?
  let format: DataFormat

  var text: String {
    let name = run.output.nameOfPath
    let base = run.model.nameOfPath
    let rows = facts.map { "| \($0.name) | \($0.value.escapedForTable) |" }.joined(separator: "\n")
    let baseLines = baseIdentifier.map { "base_model: \($0)\nbase_model_relation: adapter\n" } ?? ""
    let chat = format == .messages || format == .instruction
    return """
      ---
      \(baseLines)library_name: peft
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

      With swift-lora:

      ```
      lora generate --model \(base) --adapter \(name) --prompt "…"\(chat ? "" : " --raw")
      ```

      With Python's PEFT:

      ```python
      from peft import PeftModel
      from transformers import AutoModelForCausalLM

      base = AutoModelForCausalLM.from_pretrained("\(baseIdentifier ?? "the base model")")
      model = PeftModel.from_pretrained(base, "\(name)")
      ```

      `config.resolved.yaml` repeats the run to the same bytes; `metrics.jsonl` and `report.html` show
      its course.

      """
  }
}

extension String {
  /// Without the character that ends a cell of a table.
  fileprivate var escapedForTable: String { replacing("|", with: "\\|") }
}
