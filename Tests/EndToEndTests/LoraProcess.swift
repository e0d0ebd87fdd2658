// Runs the command as a user would, and catches what it prints.

import Foundation
import LoRATestSupport
import Testing

/// What came of one call of the command.
struct LoraResult {
  let exitCode: Int32
  let output: String
  let errors: String
}

enum LoraProcess {
  /// The command that was built with these tests.
  static let path: String = {
    if let path = ProcessInfo.processInfo.environment["LORA_BINARY"] { return path }
    // The tests' own bundle lies beside it.
    let arguments = CommandLine.arguments
    let bundle = arguments.firstIndex(of: "--test-bundle-path").map { arguments[$0 + 1] }
    let url = URL(fileURLWithPath: bundle ?? arguments[0]).deletingLastPathComponent()
    return url.appendingPathComponent("lora").path
  }()

  /// Runs `lora` with arguments, for at most twenty minutes.
  ///
  /// - Parameter started: receives the process, for instance to send it a signal.
  static func run(
    _ arguments: [String], executable: String = path, input: String? = nil, limits: String? = nil,
    started: (Process) throws -> Void = { _ in }
  ) throws -> LoraResult {
    let process = Process()
    if let limits {
      process.executableURL = URL(fileURLWithPath: "/bin/bash")
      process.arguments = ["-c", "\(limits); exec \"$0\" \"$@\"", path] + arguments
    } else {
      process.executableURL = URL(fileURLWithPath: executable)
      process.arguments = arguments
    }
    // Files, not pipes: a pipe that nobody empties would stop the command.
    let folder = try TemporaryFolder()
    func open(_ name: String) throws -> FileHandle {
      try folder.write(Array((name == "in" ? input ?? "" : "").utf8), to: name)
      let url = URL(fileURLWithPath: folder.file(name))
      return name == "in" ? try FileHandle(forReadingFrom: url) : try FileHandle(forWritingTo: url)
    }
    process.standardInput = try open("in")
    process.standardOutput = try open("out")
    process.standardError = try open("err")
    try process.run()
    try started(process)
    let deadline = Date(timeIntervalSinceNow: 1200)
    while process.isRunning && Date() < deadline { usleep(10_000) }
    if process.isRunning {
      process.terminate()
      Issue.record("lora \(arguments.joined(separator: " ")) ran for more than twenty minutes")
    }
    process.waitUntilExit()
    func text(_ name: String) throws -> String {
      try String(contentsOf: URL(fileURLWithPath: folder.file(name)), encoding: .utf8)
    }
    return LoraResult(
      exitCode: process.terminationStatus, output: try text("out"), errors: try text("err"))
  }
}
