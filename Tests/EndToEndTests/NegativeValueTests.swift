// A negative number behind a flag is a value that is out of range, not a missing one.

import Foundation
import LoRATestSupport
import Testing

@Suite(.serialized) struct NegativeValueTests {
  @Test(arguments: [
    ("train --rank -1", 1, "rank is -1, but a low-rank path needs at least 1"),
    ("train --dropout -0.5", 1, "dropout is -0.5, which is not in [0, 1)"),
    ("train --learning-rate -1e-4", 1, "the learning rate is -0.0001"),
    ("train --batch-size -1", 1, "the batch size is -1"),
    ("train --save-steps -1", 64, "--save-steps is -1: give 1 or more"),
    ("train --eval-split -.5", 64, "--eval-split is -0.5: give a share between 0 and 1, like 0.05"),
    ("check --samples -1", 64, "--samples is -1: give 0 or more"),
    ("score --max-length -1", 64, "--max-length is -1: give 1 or more"),
    ("eval --samples -1", 64, "--samples is -1: give 0 or more"),
    ("eval --threads -1", 64, "--threads is -1: give 1 to 1024, or leave it out"),
    ("generate --max-tokens -1", 64, "--max-tokens is -1: give 1 or more"),
    ("generate --temperature -inf", 64, "--temperature is -inf: give 0 or more"),
    ("generate --seed -1", 64, "The value '-1' is invalid for '--seed <seed>'"),
    (
      "generate --json -1", 64,
      "The option '--json' does not take any value, but '-1' was specified."
    ),
  ])
  func isNamed(command: String, exitCode: Int32, message: String) throws {
    var arguments = command.split(separator: " ").map(String.init)
    arguments += ["--model", Fixture.path("folder/tied-f32")]
    arguments += arguments[0] == "generate" ? ["--prompt", "x"] : ["--data", "rows.jsonl"]
    if arguments[0] == "train" { arguments += ["--output", "/nowhere/out"] }
    let result = try LoraProcess.run(arguments)
    #expect(result.exitCode == exitCode)
    #expect(
      result.errors.split(separator: "\n").first.map(String.init) == "Error: " + message,
      "\(result.errors)")
  }

  /// Texts may begin with a minus sign too; what stands behind `--` is left alone.
  @Test func textsAndTheRest() throws {
    let model = Fixture.path("folder/tied-f32")
    let item = try LoraProcess.run([
      "generate", "--model", model, "--raw", "--max-tokens", "1", "--prompt", "- an item",
    ])
    #expect(item.exitCode == 0, "\(item.errors)")
    let path = try LoraProcess.run(["inspect", "--", "-1"])
    #expect(path.errors.hasPrefix("Error: -1: there is no such file or folder"))
  }
}
