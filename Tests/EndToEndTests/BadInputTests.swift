// Mistakes of users and broken files: each has an exit code and a message that says what to do.

import Foundation
import LoRATestSupport
import Testing

@Suite(
  .serialized, .enabled(if: demoModelPath() != nil, "the demo model is not there: run make test"))
struct BadInputTests {
  private let model: String
  private let folder: TemporaryFolder
  private let rows: String

  init() throws {
    model = try #require(demoModelPath())
    folder = try TemporaryFolder()
    rows = try folder.write(
      Array(#"{"prompt": "one two", "completion": " three"}"#.utf8), to: "rows.jsonl")
  }

  private func train(_ changes: [String: String], _ more: [String] = [], limits: String? = nil)
    throws -> LoraResult
  {
    var arguments = [
      "--model": model, "--data": rows, "--output": folder.file("out"), "--max-steps": "1",
    ]
    arguments.merge(changes) { $1 }
    return try LoraProcess.run(
      ["train"] + arguments.sorted { $0.key < $1.key }.flatMap { [$0.key, $0.value] } + more,
      limits: limits)
  }

  private func file(_ bytes: [UInt8], _ name: String = "bad.jsonl") throws -> String {
    try folder.write(bytes, to: name)
  }

  private func expect(
    _ result: LoraResult, exitCode: Int32 = 1, _ parts: [String],
    sourceLocation: SourceLocation = #_sourceLocation
  ) {
    #expect(result.exitCode == exitCode, "\(result.errors)", sourceLocation: sourceLocation)
    for part in parts {
      #expect(result.errors.contains(part), "\(result.errors)", sourceLocation: sourceLocation)
    }
    #expect(
      !FileManager.default.fileExists(atPath: folder.file("out/adapter_config.json")),
      sourceLocation: sourceLocation)
  }

  @Test func modelFiles() throws {
    expect(
      try train(["--model": folder.file("none.gguf")]),
      ["\(folder.file("none.gguf")): ", "the file does not exist", "hint: "])
    let whole = try FileHandle(forReadingFrom: URL(fileURLWithPath: model))
    let head = Array(try whole.read(upToCount: 4096) ?? Data())
    expect(try train(["--model": file(head, "cut.gguf")]), ["cut.gguf: ", "hint: "])
    expect(
      try train(["--model": file(Array("GGML".utf8) + head.dropFirst(4))]),
      ["this is not a GGUF file: it starts with 47 47 4D 4C", "hint: "])
    var version = head
    version[4] = 99
    expect(try train(["--model": file(version)]), ["version 99", "hint: "])
    var count = head
    for i in 8..<24 { count[i] = 0x7F }
    expect(try train(["--model": file(count)]), ["hint: "])
    expect(try train(["--model": file([])]), ["hint: "])
    expect(try train(["--model": folder.path]), ["hint: "])
  }

  @Test func adapters() throws {
    let config = Fixture.path("adapters/o-proj")
    let copy = folder.file("adapter")
    try FileManager.default.copyItem(atPath: config, toPath: copy)
    let arguments = ["eval", "--model", model, "--data", rows, "--adapter", copy]
    expect(try LoraProcess.run(arguments), ["o_proj", "shape", "hint: "])
    // A header of 2^60 bytes.
    try folder.write(
      [0, 0, 0, 0, 0, 0, 0, 16] + Array("{}".utf8), to: "adapter/adapter_model.safetensors")
    expect(try LoraProcess.run(arguments), ["adapter_model.safetensors: ", "hint: "])
    try FileManager.default.removeItem(atPath: copy + "/adapter_model.safetensors")
    expect(
      try LoraProcess.run(arguments), ["the folder has no adapter_model.safetensors", "hint: "])
    expect(
      try LoraProcess.run(["eval", "--model", model, "--data", rows, "--adapter", "/no/such"]),
      ["/no/such: there is no such folder"])
  }

  @Test func dataFiles() throws {
    let cases: [(String, [String])] = [
      ("", ["bad.jsonl", "empty"]),
      ("{\"text\": \"a\"}\nnot json\n", ["bad.jsonl:2"]),
      ("{\"prompt\": \"a\"}\n", ["bad.jsonl:1", "completion"]),
      (
        "{\"messages\": [{\"role\": \"usr\", \"content\": \"a\"}]}\n",
        ["bad.jsonl:1", "usr", "user"]
      ),
      ("{\"text\": 3}\n", ["bad.jsonl:1", "text"]),
      ("{\"prompt\": \"a\", \"completion\": \"\"}\n", ["bad.jsonl:1", "empty"]),
      (
        "{\"text\": \"a b c\"}\n{\"prompt\": \"a\", \"completion\": \"b\"}\n", ["bad.jsonl:2", "1"]
      ),
    ]
    for (text, parts) in cases {
      expect(try train(["--data": file(Array(text.utf8))]), parts + ["hint: "])
    }
    let utf16 = Array("{\"text\": \"hello\"}\n".data(using: .utf16) ?? Data())
    expect(try train(["--data": file(utf16)]), ["UTF-16", "hint: "])
    let latin1 = Array("{\"text\": \"caf".utf8) + [0xE9] + Array("\"}\n".utf8)
    expect(try train(["--data": file(latin1)]), ["bad.jsonl:1", "UTF-8", "hint: "])
    expect(try train(["--data": folder.file("none")]), ["none", "hint: "])
    expect(try train(["--max-length": "2"]), ["rows.jsonl", "1", "--truncation", "hint: "])
  }

  @Test func arguments() throws {
    expect(try train(["--rank": "0"]), ["rank is 0", "hint: "])
    expect(try train(["--dropout": "1"]), ["dropout is 1.0", "hint: "])
    expect(try train(["--learning-rate": "0"]), ["the learning rate is 0.0", "hint: "])
    expect(
      try train(["--target-modules": "q_porj"]),
      ["\"q_porj\" matches no module", "did you mean \"q_proj\"", "k_proj, v_proj, o_proj"])
    expect(try train(["--target-modules": "input_layernorm"]), ["input_layernorm", "hint: "])
    expect(try train(["--precision": "int3"]), exitCode: 64, ["'auto', 'float32' or 'bfloat16'"])
    expect(try train([:], ["--lerning-rate", "1"]), exitCode: 64, ["--learning-rate"])
    expect(try train([:], ["--epochs", "2"]), exitCode: 64, ["exclude each other"])
    expect(try train(["--threads": "0"]), exitCode: 64, ["--threads is 0"])
    expect(try train(["--eval-steps": "1"]), exitCode: 64, ["--eval-data or --eval-split"])
    expect(try train(["--eval-split": "1.5"]), exitCode: 64, ["--eval-split is 1.5"])
    expect(
      try train(["--eval-split": "0.1", "--eval-data": "x"]), exitCode: 64, ["exclude each other"])
    expect(
      try train(["--early-stopping-patience": "1"]), exitCode: 64, ["give --eval-steps"])
    expect(
      try train(["--eval-split": "0.5"]), ["leaves ", "to train on and ", "hint: "])
    expect(
      try LoraProcess.run(["generate", "--model", model]), exitCode: 64,
      ["give either --prompt or --messages"])
    expect(
      try LoraProcess.run(["inspect", folder.file("none")]), ["there is no such file or folder"])
  }

  @Test func outputFolders() throws {
    try folder.write([1], to: "file")
    expect(try train(["--output": folder.file("file")]), ["is a file", "hint: "])
    expect(try train(["--output": folder.file("file/below")]), ["is a file", "hint: "])
    try FileManager.default.createDirectory(
      atPath: folder.file("full"), withIntermediateDirectories: false)
    try folder.write([1], to: "full/precious")
    expect(
      try train(["--output": folder.file("full")]),
      ["the folder is not empty: it holds precious\nhint: name a new folder\n"])
    expect(try train(["--output": "/proc/lora"]), ["/proc/lora: cannot make the folder", "hint: "])
  }

  /// A disk that is full while the adapter is saved (here: a limit on the size of files): the error
  /// says so, and the earlier adapter is whole.
  @Test func aFullDiskLeavesTheOldFile() throws {
    #expect(try train(["--rank": "1"]).exitCode == 0)
    let path = folder.file("out/adapter_model.safetensors")
    let checkpoint = folder.file("out/checkpoints")
    let before = try Data(contentsOf: URL(fileURLWithPath: path))
    let result = try train(
      ["--rank": "64"], ["--overwrite", "--save-steps", "1"], limits: "ulimit -f 2048; trap '' XFSZ"
    )
    #expect(result.exitCode == 1)
    #expect(result.errors.contains("cannot write the content: File too large"))
    #expect(result.errors.contains("make room on the disk"))
    #expect(try Data(contentsOf: URL(fileURLWithPath: path)) == before)
    // Nothing half written is left behind.
    let left =
      FileManager.default.enumerator(atPath: checkpoint)?.compactMap { $0 as? String } ?? []
    #expect(!left.contains { $0.hasSuffix(".safetensors") || $0.hasSuffix(".tmp") })
  }
}
