// What a caller may ask of a generated text, and what is out of range.

/// How prompts are continued.
public struct GenerationOptions: Sendable, Hashable {
  /// New tokens at most.
  public var maxTokens: Int
  /// How each is chosen.
  public var sampling: SamplingOptions
  /// The text ends before the first of these.
  public var stop: [String]
  /// With the log-probability of each token, so many of the most probable ones; nil: neither.
  public var logprobs: Int?

  /// Greedy unless `sampling` says otherwise.
  public init(
    maxTokens: Int = 256, sampling: SamplingOptions = .init(), stop: [String] = [],
    logprobs: Int? = nil
  ) {
    self.maxTokens = maxTokens
    self.sampling = sampling
    self.stop = stop
    self.logprobs = logprobs
  }

  /// What is out of range: the setting's name, what it is, and what it may be.
  public var problems: [(setting: String, value: String, hint: String)] {
    let table: [(Bool, String, Any, String)] = [
      (maxTokens >= 1, "max_tokens", maxTokens, "give 1 or more"),
      (
        sampling.temperature >= 0 && sampling.temperature.isFinite, "temperature",
        sampling.temperature, "give 0 or more"
      ), (sampling.topK >= 0, "top_k", sampling.topK, "give 1 or more, or 0 for all tokens"),
      (
        sampling.topP > 0 && sampling.topP <= 1, "top_p", sampling.topP,
        "give more than 0, at most 1"
      ), ((0...1).contains(sampling.minP), "min_p", sampling.minP, "give 0 to 1"),
      (
        sampling.repetitionPenalty > 0 && sampling.repetitionPenalty.isFinite,
        "repetition_penalty", sampling.repetitionPenalty,
        "give more than 0: above 1 makes repetition rarer"
      ), (!stop.contains(""), "stop", "empty", "give the text that ends the answer"),
      (
        (0...20).contains(logprobs ?? 0), "logprobs", logprobs ?? 0,
        "give 0 to 20 alternatives of each token"
      ),
    ]
    return table.compactMap { $0.0 ? nil : ($0.1, "\($0.2)", $0.3) }
  }
}
