// A run that is killed, again and again, ends with the same bytes as one that is not.

import Foundation
import LoRAFormats
import LoRATestSupport
import Testing

@Suite(
  .serialized, .enabled(if: demoModelPath() != nil, "the demo model is not there: run make test"))
struct ResumeTests {
  private let model: String
  private let folder: TemporaryFolder
  private let rows: String

  init() throws {
    model = try #require(demoModelPath())
    folder = try TemporaryFolder()
    let lines = (1...12).map { row in
      #"{"prompt": "What is \#(row) and \#(row)?", "completion": " It is \#(2 * row)."}"#
    }
    rows = try folder.write(Array(lines.joined(separator: "\n").utf8), to: "rows.jsonl")
  }

  private func arguments(_ output: String, _ more: [String] = []) -> [String] {
    [
      "train", "--model", model, "--data", rows, "--output", folder.file(output), "--batch-size",
      "2", "--epochs", "1", "--dropout", "0.1", "--save-steps", "1", "--save-total-limit", "2",
      "--rank", "4",
    ] + more
  }

  private func bytes(_ name: String) throws -> Data {
    try Data(contentsOf: URL(fileURLWithPath: folder.file(name)))
  }

  /// kill -9 at random moments, also while a checkpoint is written (one is after every step).
  @Test func killedRunsEndWithTheSameBytes() throws {
    let whole = try LoraProcess.run(arguments("whole"))
    #expect(whole.exitCode == 0, "\(whole.errors)")
    var kills = 0
    var more: [String] = []
    while kills < 8 {
      let result = try LoraProcess.run(arguments("killed", more)) { process in
        usleep(UInt32.random(in: 600_000...1_800_000))
        if process.isRunning { kill(process.processIdentifier, SIGKILL) }
      }
      kills += 1
      if result.exitCode == 0 { break }
      let checkpoints = folder.file("killed/checkpoints")
      let names = (try? FileManager.default.contentsOfDirectory(atPath: checkpoints)) ?? []
      more = names.contains { $0.hasPrefix("step-") } ? ["--resume"] : ["--overwrite"]
    }
    let last = try LoraProcess.run(arguments("killed", more))
    #expect(last.exitCode == 0, "\(last.errors)")
    for file in ["adapter_model.safetensors", "adapter_config.json"] {
      #expect(try bytes("killed/" + file) == bytes("whole/" + file), "\(file) after \(kills) kills")
    }
    // As many lines of metrics, and only whole checkpoints, as many as were to be kept.
    for name in ["whole", "killed"] {
      let metrics = try String(decoding: bytes(name + "/metrics.jsonl"), as: UTF8.self)
      #expect(metrics.split(separator: "\n").count == 6)
      #expect(
        try FileManager.default.contentsOfDirectory(atPath: folder.file(name + "/checkpoints"))
          .sorted() == ["step-5", "step-6"])
    }
    let again = try LoraProcess.run(arguments("killed", ["--resume"]))
    #expect(again.exitCode == 0 && again.output.contains("the run is complete: nothing to resume"))
  }

  /// The bytes do not depend on the number of threads, nor does a run that goes on with another; that
  /// it does is said.
  @Test func otherThreadsGiveTheSameBytes() throws {
    let more = ["--max-steps", "4"]
    func train(_ output: String, _ threads: String, _ more: [String]) throws -> LoraResult {
      var arguments = arguments(output, ["--threads", threads] + more)
      let epochs = try #require(arguments.firstIndex(of: "--epochs"))
      arguments.removeSubrange(epochs...epochs + 1)
      return try LoraProcess.run(arguments)
    }
    #expect(try train("one", "1", more).exitCode == 0)
    #expect(try train("two", "2", more).exitCode == 0)
    let config = try String(decoding: bytes("two/config.resolved.yaml"), as: UTF8.self)
    #expect(config.contains("threads: 2"))
    let whole = try bytes("one/adapter_model.safetensors")
    #expect(try bytes("two/adapter_model.safetensors") == whole)
    for name in ["adapter_model.safetensors", "adapter_config.json", "checkpoints/step-4"] {
      try FileManager.default.removeItem(atPath: folder.file("two/" + name))
    }
    let resumed = try train("two", "1", more + ["--resume"])
    #expect(resumed.exitCode == 0 && resumed.output.contains("resuming from step 3"))
    #expect(resumed.errors.contains("warning: threads was 2 in the recorded run and is 1"))
    #expect(try bytes("two/adapter_model.safetensors") == whole)
  }

  @Test func whatCannotBeResumed() throws {
    // Nothing to resume from yet: the run was ended before its first checkpoint, so it begins.
    let none = try LoraProcess.run(arguments("none", ["--resume"]))
    #expect(none.exitCode == 0, "\(none.errors)")
    #expect(none.output.contains("there is no checkpoint in \(folder.file("none")) yet"))
    // A finished adapter without checkpoints is not trained over.
    try FileManager.default.removeItem(atPath: folder.file("none/checkpoints"))
    let finished = try LoraProcess.run(arguments("none", ["--resume"]))
    #expect(finished.exitCode == 1)
    #expect(
      finished.errors.contains("the folder holds an adapter, and no checkpoint to resume from"))
    #expect(try LoraProcess.run(arguments("run", ["--max-steps", "1"])).exitCode == 64)
    let short = try LoraProcess.run(arguments("run"))
    #expect(short.exitCode == 0)
    let other = try LoraProcess.run(
      arguments("run", ["--resume", "--seed", "3", "--learning-rate", "1e-3"]))
    #expect(other.exitCode == 1)
    #expect(other.errors.contains("learning_rate was 0.0002 and is 0.001; seed was 42 and is 3"))
    let state = folder.file("run/checkpoints/step-6/trainer_state.safetensors")
    try Data([1, 2, 3]).write(to: URL(fileURLWithPath: state))
    let broken = try LoraProcess.run(arguments("run", ["--resume"]))
    #expect(broken.exitCode == 1 && broken.errors.contains("trainer_state.safetensors: "))
  }

  /// The resolved configuration repeats the run to the same bytes; flags win over it.
  @Test func theResolvedConfigurationRepeatsTheRun() throws {
    #expect(try LoraProcess.run(arguments("first")).exitCode == 0)
    let config = folder.file("first/config.resolved.yaml")
    let second = try LoraProcess.run([
      "train", "--config", config, "--output", folder.file("second"),
    ])
    #expect(second.exitCode == 0, "\(second.errors)")
    #expect(
      try bytes("first/adapter_model.safetensors") == bytes("second/adapter_model.safetensors"))
    let third = try LoraProcess.run([
      "train", "--config", config, "--output", folder.file("third"), "--seed", "7",
    ])
    #expect(third.exitCode == 0)
    #expect(
      try bytes("first/adapter_model.safetensors") != bytes("third/adapter_model.safetensors"))
    // Data that is no longer what it was is noticed.
    try folder.write(Array(#"{"prompt": "a b", "completion": " c"}"#.utf8), to: "rows.jsonl")
    let changed = try LoraProcess.run([
      "train", "--config", config, "--output", folder.file("fourth"),
    ])
    #expect(changed.exitCode == 0 && changed.errors.contains("warning: data_sha256 was "))
  }

  @Test func everyMistakeOfAConfigurationAtOnce() throws {
    let config = try folder.write(
      Array("rank: many\nmodle: x\nlearning-rate: 1\nlr_schedule: square\n".utf8), to: "run.yaml")
    let result = try LoraProcess.run(["train", "--config", config])
    #expect(result.exitCode == 1)
    #expect(
      result.errors == """
        Error: \(config):1: rank is "many", expected a whole number
        \(config):2: the key modle is unknown; did you mean model?
        \(config):3: the key learning-rate is unknown; did you mean learning_rate?
        \(config):4: lr_schedule is "square", expected one of linear, cosine, constant

        """)
    let empty = try LoraProcess.run(["train"])
    #expect(empty.exitCode == 64 && empty.errors.contains("give --model, or model in the file"))
    let unreadable = try LoraProcess.run(["train", "--config", folder.file("none.yaml")])
    #expect(
      unreadable.exitCode == 1 && unreadable.errors.contains("none.yaml: the file cannot be read"))
    let broken = try folder.write(Array("rank: [1\n".utf8), to: "broken.yaml")
    let notYAML = try LoraProcess.run(["train", "--config", broken])
    #expect(notYAML.exitCode == 1 && notYAML.errors.contains("broken.yaml: not YAML"))
  }
}
