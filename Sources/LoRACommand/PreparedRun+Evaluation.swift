// One evaluation of a run: the loss, and with --eval-generate what the answers are worth.

import ArgumentParser
import LoRA
import LoRAJSON
import LoRATraining

/// What an evaluation found.
struct RunEvaluation {
  let loss: Double
  /// The figures under the names of metrics.jsonl.
  let json: JSONObject
  /// The figures for people.
  let line: String
}

extension PreparedRun {
  /// Refuses answers where nothing is asked, before hours of work end in the error.
  func checkAnswersCanBeScored() throws {
    guard configuration.evalGenerate, evalData?.format == .text else { return }
    throw ValidationError(
      "--eval-generate: rows with text ask nothing, so there is no answer to compare")
  }

  /// Evaluates the adapter as it is now.
  func evaluate(on evalData: EvaluationRows) throws -> RunEvaluation {
    let evaluation = try LoRATraining.evaluate(model.network, evalData)
    var json: JSONObject = [
      "eval_loss": .number(evaluation.loss), "eval_perplexity": .number(evaluation.perplexity),
      "eval_rows": .integer(evaluation.rows),
      "eval_supervised_tokens": .integer(evaluation.supervisedTokens),
    ]
    var line =
      "eval loss \(Console.fixed(evaluation.loss, 4))  perplexity "
      + Console.fixed(evaluation.perplexity, 3)
    if configuration.evalGenerate {
      let scores = try model.scoreAnswers(
        of: evalData.file,
        lines: Set(evalData.lines(first: configuration.evalGenerateRows)),
        pattern: try configuration.evalRegex.map(AnswerPattern.init))
      for (name, _, share) in scores.shares {
        json["eval_" + name] = .number(share)
        line +=
          "  \(name.replacing("_", with: " ")) \(Console.fixed(100 * share, 1))%"
      }
      json["eval_answers"] = .integer(scores.rows)
    }
    return RunEvaluation(loss: evaluation.loss, json: json, line: line)
  }
}
