// The model card that a run writes beside the adapter: README.md, as the Hugging Face Hub reads it.

import LoRA
import LoRAFormats
import LoRAJSON
import LoRATraining

/// The card of an adapter.
struct ModelCard {
  let run: RunConfiguration
  /// What is told of the training.
  let facts: [(name: String, value: String)]
  /// The last line of metrics.jsonl, where the adapter was evaluated as it is.
  let evaluation: JSONObject?
  /// What the base model's files say of it.
  let base: ModelOrigin
  let format: DataFormat

  var text: String {
    let sections = [
      "# \(name)", introduction, "## Use\n\n\(python)\n\n\(swift)", evaluationSection,
      "## Training\n\n" + Self.table(facts),
      "`config.resolved.yaml` repeats the run to the same bytes; `metrics.jsonl` and `report.html` "
        + "show its course.",
    ]
    return metadata + sections.compactMap { $0 }.joined(separator: "\n\n") + "\n"
  }

  private var name: String { run.output.nameOfPath }

  private var introduction: String {
    let base = base.identifier.map { "[\($0)](https://huggingface.co/\($0))" } ?? "`\(baseName)`"
    let license = self.base.license.map { ", whose license (\($0)) applies to its use" } ?? ""
    return "A LoRA adapter for \(base)\(license); trained with swift-lora on "
      + "`\(run.data.nameOfPath)`. The files are in PEFT's format."
  }

  private var baseName: String { run.model.nameOfPath }

  private var isChat: Bool { [.messages, .conversations, .instruction].contains(format) }

  private var python: String {
    let base = base.identifier ?? "path/to/the/base-model"
    let inputs =
      isChat
      ? """
      inputs = tokenizer.apply_chat_template(
          [{"role": "user", "content": "…"}], add_generation_prompt=True, return_tensors="pt",
          return_dict=True)
      """ : "inputs = tokenizer(\"…\", return_tensors=\"pt\")"
    return """
      With Python's PEFT:

      ```python
      from peft import PeftModel
      from transformers import AutoModelForCausalLM, AutoTokenizer

      base = "\(base)"
      tokenizer = AutoTokenizer.from_pretrained(base)
      model = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(base), "\(name)")

      \(inputs)
      output = model.generate(**inputs, max_new_tokens=128)[0]
      print(tokenizer.decode(output[inputs["input_ids"].shape[1]:], skip_special_tokens=True))
      ```
      """
  }

  private var swift: String {
    """
    With swift-lora:

    ```
    lora generate --model \(baseName) --adapter \(name) --prompt "…"\(isChat ? "" : " --raw")
    ```
    """
  }

  private var evaluationSection: String? {
    guard !metrics.isEmpty, let evaluation else { return nil }
    let rows = Console.count(evaluation["eval_rows"]?.integerValue ?? 0)
    let answers = evaluation["eval_answers"]?.integerValue.map {
      "; \(Console.count($0)) of them answered greedily"
    }
    let values = metrics.map { metric in
      (
        metric.name,
        metric.isShare
          ? Console.fixed(100 * metric.value, 1) + "%" : Console.fixed(metric.value, 4)
      )
    }
    return "## Evaluation\n\n\(rows) rows of `\(evaluationName)`"
      + (answers ?? "") + ".\n\n" + Self.table(values)
  }

  static func table(_ rows: [(name: String, value: String)]) -> String {
    "| | |\n|---|---|\n"
      + rows.map { "| \($0.name) | \($0.value.replacing("|", with: "\\|")) |" }
      .joined(separator: "\n")
  }
}

/// What the Hub reads: the lines of YAML between the dashes.
extension ModelCard {
  private var metadata: String {
    let baseLines =
      base.identifier.map { "base_model: \($0)\nbase_model_relation: adapter\n" }
      ?? "# base_model: org/name   the base's files do not say; the Hub shows it, so fill it in\n"
    let tag = base.identifier.map { "- base_model:adapter:\($0)\n" } ?? ""
    let data = run.data.hubIdentifier(of: "datasets").map { "datasets:\n- \($0)\n" } ?? ""
    return """
      ---
      \(baseLines)library_name: peft
      pipeline_tag: text-generation
      tags:
      \(tag)- lora
      - swift-lora
      \(data)\(modelIndex)---

      """
  }

  private struct Metric {
    let type: String
    let name: String
    let value: Double
    var isShare = false
  }

  private var metrics: [Metric] {
    let known = [
      ("loss", "loss", false), ("perplexity", "perplexity", false),
      ("exact_match", "exact match", true), ("json_valid", "valid JSON", true),
      ("regex_match", "pattern matched", true),
    ]
    return known.compactMap { type, name, isShare in
      guard let value = evaluation?["eval_" + type]?.numberValue, value.isFinite else { return nil }
      return Metric(type: type, name: name, value: value, isShare: isShare)
    }
  }

  /// The file of the rows, and which of them.
  private var evaluationName: String {
    run.evalData?.nameOfPath ?? "\(run.data.nameOfPath), split \(run.evalSplit ?? 0)"
  }

  private var modelIndex: String {
    guard !metrics.isEmpty else { return "" }
    func quoted(_ text: String) -> String { JSONValue.string(text).serialized(.compact) }
    let lines = metrics.map {
      "    - type: \($0.type)\n      name: \($0.name)\n      value: \($0.value)\n"
    }
    return """
      model-index:
      - name: \(quoted(name))
        results:
        - task:
            type: text-generation
          dataset:
            name: \(quoted(evaluationName))
            type: json
          metrics:
      \(lines.joined())
      """
  }
}
