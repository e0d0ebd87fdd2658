// `lora generate` as a user types it: stops, several answers, log-probabilities; rows and prompts from a
// pipe.

import Foundation
import LoRAJSON
import LoRATestSupport
import Testing

@Suite(.serialized) struct GenerateTests {
  private static let model = ["--model", Fixture.path("folder/tied-f32"), "--precision", "float32"]
  private let folder: TemporaryFolder
  private let rows: String

  init() throws {
    folder = try TemporaryFolder()
    rows = (1...12).map { #"{"prompt": "say \#($0)", "completion": " \#($0)!"}"# }
      .joined(separator: "\n")
    try folder.write(Array(rows.utf8), to: "rows.jsonl")
  }

  private func run(_ arguments: [String], input: String? = nil) throws -> LoraResult {
    let result = try LoraProcess.run(arguments + Self.model, input: input)
    #expect(result.exitCode == 0, "\(result.errors)")
    return result
  }

  private func generate(_ arguments: [String], input: String? = nil) throws -> [JSONObject] {
    try run(["generate", "--max-tokens", "12", "--json"] + arguments, input: input)
      .output.split(separator: "\n").map {
        try #require(try JSONValue(parsing: String($0)).objectValue)
      }
  }

  @Test func aStopStringEndsTheText() throws {
    let prompt = ["--raw", "--prompt", "say 3"]
    let whole = try #require(generate(prompt).first?["text"]?.stringValue)
    // Half characters are U+FFFD in the text only: an ASCII one is also in its bytes.
    let stop = String(try #require(whole.last { $0.isASCII }))
    let first = try #require(whole.firstRange(of: stop))
    let stopped = try #require(generate(prompt + ["--stop", stop, "--stop", "nowhere"]).first)
    #expect(stopped["text"]?.stringValue == String(whole[..<first.lowerBound]))
    #expect(stopped["finish_reason"] == "stop")
    let text = try run(["generate", "--max-tokens", "12", "--stop", stop] + prompt)
    #expect(text.output == whole[..<first.lowerBound] + "\n")
    // The spelling of a control token, which no text shows, is that token.
    let tokens = try #require(generate(prompt + ["--stop", "<|user|>"]).first?["tokens"])
    #expect(tokens.arrayValue?.contains(4) == false)
  }

  @Test func severalAnswers() throws {
    let prompt = ["--raw", "--prompt", "say 3", "--temperature", "1"]
    func texts(_ n: Int) throws -> [String?] {
      try generate(prompt + ["--n", "\(n)"]).map { $0["text"]?.stringValue }
    }
    let all = try texts(5)
    #expect(Set(all).count == 5)
    for n in [1, 2, 4] { #expect(try texts(n) == Array(all.prefix(n))) }
    let same = try run(["generate", "--raw", "--prompt", "x", "--n", "2", "--max-tokens", "1"])
    #expect(
      same.errors
        == "warning: --n 2 at temperature 0: all answers are the same; give --temperature\n")
    let parts = same.output.split(separator: "\n", omittingEmptySubsequences: false)
    #expect(parts.contains("answer 1 of 2:") && parts.contains("answer 2 of 2:"))
  }

  @Test func logprobs() throws {
    let prompt = ["--raw", "--prompt", "say 3"]
    let none = try #require(generate(prompt).first)
    #expect(none["logprobs"] == nil)
    let plain = try #require(generate(["--logprobs"] + prompt).first)
    #expect(plain["top_logprobs"] == nil)
    let top = try #require(generate(prompt + ["--logprobs", "2"]).first)
    #expect(top["logprobs"] == plain["logprobs"])
    let tokens = try #require(top["tokens"]?.arrayValue)
    let places = try #require(top["top_logprobs"]?.arrayValue)
    #expect(places.count == tokens.count)
    for (index, place) in places.enumerated() {
      // Greedy: the token is the best.
      let best = try #require(place.arrayValue?.first?.objectValue)
      #expect(place.arrayValue?.count == 2 && best["token"] == tokens[index])
      #expect(best["logprob"] == top["logprobs"]?.arrayValue?[index])
    }
  }

  @Test func promptsFromAPipe() throws {
    let given = try generate(["--prompt", "say 3\nand 4"])
    for input in ["say 3\nand 4", "say 3\nand 4\n", "say 3\nand 4\r\n"] {
      #expect(
        try generate(["--prompt", "-"], input: input).map { $0["tokens"] }
          == given.map { $0["tokens"] })
    }
    for (arguments, message) in [
      (["--prompt", "-"], "--prompt -: standard input is empty"),
      (["--prompt", "x", "--logprobs", "3"], "--logprobs is printed with --json: give both"),
      (["--prompt", "x", "--n", "0"], "--n is 0: give 1 or more"),
      (
        ["--prompt", "x", "--raw", "--set", "a=1"],
        "--set is for the chat template, which --raw leaves out"
      ),
      (
        ["--prompt", "x", "--top-k", "-1", "--min-p", "2", "--stop", ""],
        "--top-k is -1: give 1 or more, or 0 for all tokens\n--min-p is 2.0: give 0 to 1\n"
          + "--stop is empty: give the text that ends the answer"
      ),
    ] {
      let result = try LoraProcess.run(["generate"] + arguments + Self.model)
      #expect(result.exitCode == 64)
      #expect(result.errors.hasPrefix("Error: " + message + "\n"), "\(result.errors)")
    }
  }

  /// Rows from a pipe give what those of a file do, in every verb; they are read more than once.
  @Test func rowsFromAPipe() throws {
    func both(_ arguments: [String]) throws {
      let file = try run(arguments + ["--data", folder.file("rows.jsonl")])
      let pipe = Process()
      pipe.executableURL = URL(fileURLWithPath: "/bin/bash")
      pipe.arguments =
        ["-c", #"cat "$0" | "$@""#, folder.file("rows.jsonl"), LoraProcess.path] + arguments
        + ["--data", "-"] + Self.model
      let output = Pipe()
      pipe.standardOutput = output
      pipe.standardError = FileHandle.nullDevice
      try pipe.run()
      let text = String(decoding: output.fileHandleForReading.readDataToEndOfFile(), as: UTF8.self)
      pipe.waitUntilExit()
      #expect(pipe.terminationStatus == 0)
      #expect(text == file.output)
    }
    try both(["score"])
    try both(["eval", "--generate", "--json"])
    let train = [
      "train", "--rank", "2", "--max-steps", "2", "--batch-size", "4", "--eval-split", "0.3",
      "--eval-steps", "1", "--eval-generate", "--output",
    ]
    _ = try run(train + [folder.file("file"), "--data", folder.file("rows.jsonl")])
    _ = try run(train + [folder.file("piped"), "--data", "-"], input: rows)
    for name in ["adapter_model.safetensors", "best/adapter_model.safetensors"] {
      #expect(
        try Data(contentsOf: URL(fileURLWithPath: folder.file("piped/" + name)))
          == Data(contentsOf: URL(fileURLWithPath: folder.file("file/" + name))))
    }
    let settings = try String(
      contentsOfFile: folder.file("piped/config.resolved.yaml"), encoding: .utf8)
    #expect(settings.contains("data: \"-\"\n"))
    // Faults have their line.
    let faulty = try LoraProcess.run(
      ["score", "--data", "-"] + Self.model, input: rows + "\n{\"prompt\": \"a\"}\n")
    #expect(faulty.errors.hasPrefix("Error: /dev/stdin:13: "), "\(faulty.errors)")
    let empty = try LoraProcess.run(["score", "--data", "-"] + Self.model)
    #expect(
      empty.errors == "Error: /dev/stdin: the file is empty\nhint: write one JSON object a line\n")
    let twice = try LoraProcess.run(
      ["train", "--data", "-", "--eval-data", "-", "--output", folder.file("x")] + Self.model)
    #expect(
      twice.errors.hasPrefix(
        "Error: --data and --eval-data are both -: standard input can be one of them\n"))
  }
}
