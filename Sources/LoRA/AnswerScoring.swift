// A model's greedy answers to the rows of a file, scored some rows at a time.

import LoRAGeneration
package import LoRATraining

extension LanguageModel {
  /// Answers the last turn of rows greedily and scores the answers; memory does not grow with them.
  ///
  /// - Parameters:
  ///   - lines: the lines to take; nil takes all.
  ///   - maxTokens: new tokens of an answer; nil: half as many again as the longest expected answer
  ///     among the rows that run together, for what comes later is wrong anyway.
  ///   - onAnswer: receives each row with its answer, in the order of the file.
  package func scoreAnswers(
    of file: String, lines: Set<Int>? = nil, pattern: AnswerPattern? = nil, maxTokens: Int? = nil,
    onAnswer: (GenerationTask, String) -> Void = { _, _ in }
  ) throws -> AnswerScores {
    var scores = AnswerScores(pattern: pattern)
    var reader = try GenerationTaskReader(file, encoder: encoder, lines: lines)
    while true {
      let tasks = try reader.next(16)
      if tasks.isEmpty { return scores }
      for (task, answer) in zip(tasks, try answers(tasks, maxTokens: maxTokens)) {
        scores.add(answer, to: task)
        onAnswer(task, answer)
      }
    }
  }

  private func answers(_ tasks: [GenerationTask], maxTokens: Int?) throws -> [String] {
    let tokenizer = encoder.tokenizer
    let expected = tasks.map { tokenizer.encode($0.reference, addSpecialTokens: false).count }
    let room =
      network.configuration.contextLength - (tasks.map(\.prompt.count).max() ?? 0)
    let longest = expected.max() ?? 0
    let limit = min(maxTokens ?? longest + longest / 2 + 16, room)
    // A row that fills the context leaves no room for an answer.
    guard limit > 0 else { return tasks.map { _ in "" } }
    return try generator(batchSize: tasks.count).generate(tasks.map(\.prompt), maxTokens: limit)
      .map(\.text)
  }
}
