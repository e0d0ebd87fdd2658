// `lora train`: the flags; the run itself is in TrainingRun.swift.

import ArgumentParser

struct TrainCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "train", abstract: "Trains a LoRA adapter on rows of examples.",
    discussion: """
      Rows are JSON objects, one a line or in one array, all of one form:
        {"messages": [{"role": "user", "content": "…"}, {"role": "assistant", "content": "…"}]}
        {"conversations": [{"from": "human", "value": "…"}, {"from": "gpt", "value": "…"}]}
        {"prompt": "…", "completion": "…"}
        {"instruction": "…", "input": "…", "output": "…"}
        {"text": "…"}
      Loss is on the assistant's turns, the completion, the output, or the whole text.
      """)

  @OptionGroup var flags: RunFlags
  @Flag(help: "Replace the run that is in the output folder.")
  var overwrite = false
  @Flag(help: "Go on from the newest checkpoint in the output folder.")
  var resume = false

  func validate() throws {
    if resume, overwrite {
      throw ValidationError("--resume and --overwrite exclude each other")
    }
  }

  func run() throws {
    // What a run makes is in its folder: a log that cannot be written ends nothing.
    Console.outputIsProgress()
    let (configuration, recorded) = try flags.configuration()
    try TrainingRun(
      configuration, overwrite: overwrite, resume: resume, recorded: recorded
    ).run()
  }
}
