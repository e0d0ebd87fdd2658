// The model card that a run writes beside the adapter.

import Foundation
import LoRA
import LoRAFormats
import LoRAJSON
import LoRATensor

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
