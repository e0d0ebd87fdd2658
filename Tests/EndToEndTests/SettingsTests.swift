// Settings as people write them: twice, under another tool's name, with other units, from elsewhere.

import Foundation
import LoRAJSON
import LoRATestSupport
import Testing

@Suite(.serialized) struct SettingsTests {
  private let model = Fixture.path("folder/tied-f32")
  private let folder: TemporaryFolder
  private let rows: String

  init() throws {
    folder = try TemporaryFolder()
    let lines = (1...8).map { #"{"prompt": "one two \#($0)", "completion": " three \#($0)"}"# }
    rows = try folder.write(Array(lines.joined(separator: "\n").utf8), to: "rows.jsonl")
  }

  private func train(_ more: [String], output: String = "out") throws -> LoraResult {
    try LoraProcess.run(
      [
        "train", "--model", model, "--data", rows, "--output", folder.file(output), "--rank", "2",
        "--batch-size", "2", "--report-answers", "0",
      ] + more)
  }

  private func error(_ more: [String]) throws -> String {
    let result = try train(more)
    #expect(result.exitCode == 64 || result.exitCode == 1)
    #expect(!FileManager.default.fileExists(atPath: folder.file("out")))
    return result.errors
  }

  private func metrics(_ output: String = "out") throws -> [JSONObject] {
    try String(contentsOfFile: folder.file(output + "/metrics.jsonl"), encoding: .utf8)
      .split(separator: "\n").compactMap { try JSONValue(parsing: String($0)).objectValue }
  }

  /// Every option of every verb that has one value: given twice, it is an error that names both.
  @Test func anOptionGivenTwiceIsAnError() throws {
    let help = try LoraProcess.run(["--experimental-dump-help"]).output
    let root = try JSONValue(parsing: help).objectValue?["command"]?.objectValue
    var count = 0
    for verb in root?["subcommands"]?.arrayValue?.compactMap(\.objectValue) ?? [] {
      let name = try #require(verb["commandName"]?.stringValue)
      for argument in verb["arguments"]?.arrayValue?.compactMap(\.objectValue) ?? [] {
        guard argument["kind"]?.stringValue == "option",
          argument["isRepeating"]?.boolValue == false,
          let option = argument["names"]?.arrayValue?.first?.objectValue?["name"]?.stringValue
        else { continue }
        let result = try LoraProcess.run([name, "--\(option)", "3", "--\(option)=7"])
        #expect(result.exitCode == 64)
        #expect(
          result.errors.hasPrefix(
            "Error: --\(option) is given twice, as 3 and as 7: give it once\n"),
          "lora \(name): \(result.errors)")
        count += 1
      }
    }
    #expect(count > 80)
    let same = try LoraProcess.run(["eval", "--model", "a", "--data", "b", "--model", "a"])
    #expect(same.errors.hasPrefix("Error: --model a is given twice: give it once\n"))
  }

  @Test func namesMayBeGivenOneByOne() throws {
    let result = try train(
      ["--target-modules", "q_proj", "--target-modules", "v_proj,up_proj", "--max-steps", "1"])
    #expect(result.exitCode == 0, "\(result.errors)")
    let text = try String(
      contentsOfFile: folder.file("out/config.resolved.yaml"), encoding: .utf8)
    #expect(text.contains(#"target_modules: ["q_proj", "v_proj", "up_proj"]"#))
    let mixed = try train(["--target-modules", "q_proj", "--target-modules", ".*v_proj"])
    #expect(
      mixed.errors.hasPrefix(
        "Error: --target-modules is given 2 times, one of them .*v_proj, which stands alone: give "
          + "names only, or one regular expression with | in it\n"))
  }

  @Test func namesOfOtherToolsGetAHint() throws {
    #expect(
      try error(["--lr", "1e-4"]).hasPrefix(
        "Error: --lr is no option of lora train\nhint: this is learning_rate, the peak rate itself "
          + "(flags have - for _)\n"))
    // With the mark that editors on other systems begin a file with.
    let file = try folder.write(
      [0xEF, 0xBB, 0xBF]
        + Array("lora_r: 3\nnum_train_epochs: 2\noptim: adamw\nwarmup_step: 3\n".utf8),
      to: "c.yaml")
    #expect(
      try error(["--config", file]) == """
        Error: \(file):1: the key lora_r is unknown
        hint: this is rank
        \(file):2: the key num_train_epochs is unknown
        hint: this is epochs
        \(file):3: the key optim is unknown
        hint: AdamW is the only optimizer: leave it out
        \(file):4: the key warmup_step is unknown; did you mean warmup_steps?

        """)
  }

  @Test(arguments: ["600", "600X", "0MB", "-1GB"]) func aSizeNeedsAUnit(text: String) throws {
    #expect(
      try error(["--memory-budget", text]).hasPrefix(
        "Error: The value '\(text)' is invalid for '--memory-budget <memory-budget>'. Please provide "
          + "one of '600MB', '1.5GB' or '2GiB'.\n"))
  }

  @Test(arguments: ["1g", "1GB", "0.9gib", "900m", "900000K", "900000000b"])
  func unitsInAnyCase(text: String) throws {
    let result = try train(["--memory-budget", text, "--max-steps", "1"])
    #expect(result.exitCode == 0, "\(result.errors)")
  }

  @Test func aPartOfAnEpochAndWarmUpInSteps() throws {
    let result = try train(["--epochs", "0.6", "--warmup-steps", "2", "--learning-rate", "0.1"])
    #expect(result.exitCode == 0, "\(result.errors)")
    #expect(result.output.contains("3 steps of 2 rows, 2 of them warm-up\n"))
    let steps = try metrics()
    #expect(steps.map { $0["epoch"]?.numberValue } == [0.25, 0.5, 0.75])
    #expect(steps.map { ($0["learning_rate"]?.numberValue ?? 0) }[1] == 0.1)
    #expect(
      try train(["--warmup-steps", "2", "--warmup-ratio", "0.1"]).errors.hasPrefix(
        "Error: --warmup-ratio and --warmup-steps exclude each other\n"))
    #expect(
      try train(["--epochs", "0", "--warmup-steps", "-1"]).errors.contains(
        "the number of epochs is 0\nhint: 1 to 3 are usual\nthe number of warm-up steps is -1\n"))
  }

  /// The adapter as it begins is evaluated first: what is called the best is no worse.
  @Test func theBestIsNoWorseThanTheBeginning() throws {
    let arguments = ["--eval-data", rows, "--eval-steps", "1", "--epochs", "0.5"]
    let bad = try train(arguments + ["--learning-rate", "1e-12"])
    #expect(bad.exitCode == 0, "\(bad.errors)")
    #expect(
      bad.errors.contains(
        "warning: no evaluation was better than the one before the first step, loss "))
    #expect(bad.errors.contains("\(folder.file("out/best")) holds the adapter as it began\n"))
    #expect(try metrics().map { $0["step"]?.integerValue } == [0, 1, 2])
    let first = try metrics().first
    #expect(first?["eval_loss"]?.numberValue != nil && first?["loss"] == nil)

    let good = try train(arguments + ["--learning-rate", "0.05"], output: "good")
    #expect(
      good.output.contains("best evaluation: loss ") && !good.errors.contains("no evaluation"))
    // What is looked at changes nothing in what is learned.
    let unseen = try train(["--epochs", "0.5", "--learning-rate", "0.05"], output: "unseen")
    #expect(unseen.exitCode == 0)
    #expect(
      FileManager.default.contents(atPath: folder.file("good/adapter_model.safetensors"))
        == FileManager.default.contents(atPath: folder.file("unseen/adapter_model.safetensors")))
  }

  /// What a run wrote of itself repeats it from any folder, and says how to go on from its end.
  @Test func theResolvedFileWorksFromAnywhere() throws {
    let path = "\(folder.path)/./rows.jsonl"
    let result = try LoraProcess.run(
      [
        "-c",
        "cd '\(folder.path)' && '\(LoraProcess.path)' train --model '\(model)' --data ./rows.jsonl "
          + "--output out --max-steps 2 --batch-size 2 --save-steps 1 --report-answers 0",
      ], executable: "/bin/bash")
    #expect(result.exitCode == 0, "\(result.errors)")
    #expect(FileManager.default.fileExists(atPath: path))
    let file = folder.file("out/config.resolved.yaml")
    let again = try LoraProcess.run(["train", "--config", file, "--output", folder.file("again")])
    #expect(again.exitCode == 0, "\(again.errors)")
    #expect(
      FileManager.default.contents(atPath: folder.file("out/adapter_model.safetensors"))
        == FileManager.default.contents(atPath: folder.file("again/adapter_model.safetensors")))

    let longer = try LoraProcess.run(
      ["train", "--config", file, "--resume", "--max-steps", "4"])
    #expect(longer.exitCode == 1)
    #expect(
      longer.errors.contains(
        "max_steps was 2 and is 4\nhint: resume with the settings of config.resolved.yaml, or start "
          + "a new run; init_adapter begins one where this adapter is, for as many steps as you like"
      ))
    let over = try LoraProcess.run(["train", "--config", file, "--resume"])
    #expect(over.exitCode == 0)
    #expect(over.output.contains("the run is complete: nothing to resume; --init-adapter "))
  }

  @Test func whatIsInTheWayIsSaidBefore() throws {
    let check = try LoraProcess.run(
      ["check", "--model", model, "--data", rows, "--output", folder.path, "--samples", "0"])
    #expect(check.exitCode == 0)
    #expect(
      check.output.contains(
        "warning: lora train will refuse \(folder.path): the folder is not empty: it holds rows.jsonl"
      ))
    #expect(
      try train(["--max-steps", "1"]).output.contains("\n1 step of 2 rows, 1 of them warm-up\n"))
    let merged = try LoraProcess.run([
      "merge", "--model", model, "--adapter", folder.file("out"), "--output",
      folder.file("merged.gguf"),
    ])
    #expect(merged.exitCode == 1)
    #expect(
      merged.errors == """
        Error: \(folder.file("merged.gguf")): a folder is to be written here, and the name is that of \
        a file
        hint: give a name that does not end in .gguf

        """)
  }

  @Test func aFolderOfTheHubsCachePointsToItsSnapshot() throws {
    let cached = folder.file("models--a--b")
    for name in ["refs", "snapshots/zzz", "snapshots/abc"] {
      try FileManager.default.createDirectory(
        atPath: cached + "/" + name, withIntermediateDirectories: true)
    }
    try folder.write(Array("abc\n".utf8), to: "models--a--b/refs/main")
    try folder.write([], to: "models--a--b/snapshots/zzz/config.json")
    try folder.write([], to: "models--a--b/snapshots/abc/config.json")
    let result = try LoraProcess.run(["check", "--model", cached, "--data", rows])
    #expect(
      result.errors == """
        Error: \(cached): this is a model of the Hugging Face cache, which keeps revisions
        hint: give the folder of one: \(cached)/snapshots/abc

        """)
  }

  @Test func aFoldersNameMayHaveAnEqualsSign() throws {
    #expect(try train(["--max-steps", "1"], output: "lr=0.001").exitCode == 0)
    let result = try LoraProcess.run([
      "combine", "--adapters", folder.file("lr=0.001"), folder.file("lr=0.001=0.5"), "--output",
      folder.file("mixed"),
    ])
    #expect(result.exitCode == 0, "\(result.errors)")
    #expect(result.output.hasPrefix("cat of 2 adapters: "))
  }

  @Test(.enabled(if: SmallDisk.isPossible, "only root mounts a small disk"))
  func theDiskIsLookedAtBeforeTheFirstStep() throws {
    let disk = try #require(try SmallDisk(folder.file("disk"), kilobytes: 1100))
    let result = try train(["--save-steps", "1", "--epochs", "9"], output: "disk/out")
    #expect(result.exitCode == 1)
    #expect(
      result.errors.contains(
        "\(disk.path)/out: the run writes 1.4 MB, and the disk has 1.1 MB free\nhint: make room, or "
          + "keep fewer checkpoints with --save-total-limit (36 are counted)"), "\(result.errors)")
    #expect(!result.output.contains("step 1/"))
  }
}
