// The command `lora`: fine-tunes language models with LoRA, one verb per file.

import ArgumentParser
import Foundation

@main
struct Lora: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "lora",
    abstract: "Fine-tunes language models with LoRA on the CPU; adapters are PEFT's.",
    discussion: """
      lora train --model MODEL.gguf --data rows.jsonl --output my-adapter
      lora eval --model MODEL.gguf --adapter my-adapter --data test.jsonl --generate
      lora generate --model MODEL.gguf --adapter my-adapter --prompt "…"
      """,
    version: "0.1.0",
    subcommands: [
      TrainCommand.self, CheckCommand.self, ScoreCommand.self, EvalCommand.self,
      GenerateCommand.self, InspectCommand.self, ConvertCommand.self, MergeCommand.self,
      CombineCommand.self, ExtractCommand.self,
    ])

  static func main() {
    Console.prepareStreams()
    ThreadWaiting.limitSpinning()
    // A file above the limit of `ulimit -f` is then an error of writing, after which what was
    // begun is removed; the signal would end the process in the middle.
    signal(SIGXFSZ, SIG_IGN)
    do {
      let arguments = Array(CommandLine.arguments.dropFirst())
      try DeclaredOptions(description: _dumpHelp()).check(arguments)
      var command = try parseAsRoot(arguments.joiningNegativeValues)
      try command.run()
      Console.finishOutput()
    } catch {
      end(with: error)
    }
  }

  /// Ends the process as ArgumentParser would, with lines that fit the terminal.
  private static func end(with error: any Error) -> Never {
    let code = exitCode(for: error)
    let text = fullMessage(for: error)
    if !text.isEmpty { code.isSuccess ? Console.say(text) : Console.complain(text + "\n") }
    if code.isSuccess { Console.finishOutput() }
    Foundation.exit(code.rawValue)
  }
}
