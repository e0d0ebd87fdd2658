// `lora generate`: continues a prompt or a conversation.

import ArgumentParser
import Foundation
import LoRA
import LoRAGeneration
import LoRAJSON
import LoRAText
import LoRATraining

struct GenerateCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "generate", abstract: "Continues a prompt or a conversation.")

  @OptionGroup var options: ModelOptions
  @OptionGroup var adapter: AdapterOption

  @Option(help: "What the user says; the model answers by its chat template; - is stdin.")
  var prompt: String?

  @Option(help: "What the system message says, beside --prompt.")
  var system: String?

  @Flag(help: "Continue the prompt as plain text, without the chat template.")
  var raw = false

  @Option(
    help: """
      A JSON file with a list of messages, or with a row (its messages and tools; an answer at its \
      end is left out); - is stdin.
      """)
  var messages: String?

  @OptionGroup var sampling: SamplingFlags

  @Option(help: "Answers; each draws numbers of its own, whatever their number.")
  var n = 1

  @Flag(
    help: """
      Print one object for each answer: text, tokens, finish_reason, tokens_per_second (of all \
      answers, after the first token), seconds_to_first_token (from the start, loading included); \
      with --logprobs: logprobs, top_logprobs.
      """)
  var json = false

  func validate() throws {
    guard (prompt == nil) != (messages == nil) else {
      throw ValidationError("give either --prompt or --messages")
    }
    guard !(raw && messages != nil), !(system != nil && (raw || prompt == nil)) else {
      throw ValidationError("--raw and --system belong to --prompt, and exclude each other")
    }
    if n < 1 { throw ValidationError("--n is \(n): give 1 or more") }
    if sampling.logprobs != nil, !json {
      throw ValidationError("--logprobs is printed with --json: give both")
    }
    if raw, options.template.variables != nil {
      throw ValidationError("--set is for the chat template, which --raw leaves out")
    }
  }

  func run() throws {
    let start = ContinuousClock.now
    // Read before the model is loaded: a mistake in them shows at once.
    let conversation = try messages.map(MessagesFile.read)
    let prompt = try prompt.map { $0 == "-" ? try Self.standardInput() : $0 }
    if n > 1, sampling.temperature == 0 {
      Console.warn("--n \(n) at temperature 0: all answers are the same; give --temperature")
    }
    let model = try options.load(asStored: true)
    try adapter.load(into: model)
    let prompts = Array(
      repeating: try tokens(model.encoder, conversation, prompt ?? ""), count: n)
    var decoder = StreamingDecoder(model.encoder.tokenizer)
    var (first, last) = (start, start)
    var count = 0
    let results = try model.generator(stop: sampling.stop).generate(
      prompts, options: sampling.options,
      onToken: { _, _ in
        last = .now
        if count == 0 { first = last }
        count += 1
      },
      onBytes: { _, bytes in
        if !json, n == 1 { Console.put(decoder.append(bytes)) }
      })
    // The prompt and loading are another kind of work than a token.
    let rate = count > n ? Double(count - n) / first.duration(to: last).inSeconds : 0
    let wait = start.duration(to: count > 0 ? first : .now).inSeconds
    if !json, n == 1 { return Console.say(decoder.finish()) }
    for (index, result) in results.enumerated() {
      guard json else {
        Console.say("answer \(index + 1) of \(n):\n\(result.text)\n")
        continue
      }
      var object = self.object(of: result, model.encoder.tokenizer)
      object["tokens_per_second"] = .number((rate * 10).rounded() / 10)
      object["seconds_to_first_token"] = .number((wait * 1000).rounded() / 1000)
      Console.say(JSONValue.object(object).serialized(.compact))
    }
  }

  private func object(of result: Generation, _ tokenizer: Tokenizer) -> JSONObject {
    var object: JSONObject = [
      "text": .string(result.text),
      "tokens": .array(result.tokens.map { .integer(Int($0)) }),
      "finish_reason": .string(result.finishReason.rawValue),
    ]
    guard let count = sampling.logprobs else { return object }
    object["logprobs"] = .array(result.logprobs.map { .number(Double($0)) })
    guard count > 0 else { return object }
    object["top_logprobs"] = .array(
      result.alternatives.map { place in
        .array(
          place.map {
            .object([
              "token": .integer(Int($0.token)), "text": .string(tokenizer.decode([$0.token])),
              "logprob": .number(Double($0.logprob)),
            ])
          })
      })
    return object
  }

  /// The prompt that a pipe brings, without the line's end that a shell writes behind it.
  private static func standardInput() throws -> String {
    var text = try StandardInput.text(for: "--prompt -")
    if text.last?.isNewline == true { text.removeLast() }
    guard !text.isEmpty else { throw ValidationError("--prompt -: standard input is empty") }
    return text
  }

  private func tokens(
    _ encoder: TextEncoder, _ conversation: PromptRow?, _ prompt: String
  ) throws -> [Int32] {
    if let conversation {
      for loss in try encoder.losses(of: conversation) {
        Console.warn("the chat template does not render \(loss)")
      }
      return try encoder.prompt(conversation)
    }
    if raw { return encoder.prompt(text: prompt) }
    let system = system.map { [("system", $0)] } ?? []
    return try encoder.prompt(messages: system + [("user", prompt)])
  }
}

/// A conversation in a JSON file.
private enum MessagesFile {
  static func read(_ path: String) throws -> PromptRow {
    let name = path == "-" ? "standard input" : path
    let data: Data
    if path == "-" {
      data = try FileHandle.standardInput.readToEnd() ?? Data()
    } else {
      do {
        data = try Data(contentsOf: URL(fileURLWithPath: path))
      } catch {
        throw ValidationError("\(path): cannot be read: \(error.localizedDescription)")
      }
    }
    guard let text = String(data: data, encoding: .utf8) else {
      throw ValidationError("\(name): the text is not UTF-8")
    }
    let value: JSONValue
    do {
      value = try JSONValue(parsing: text)
    } catch {
      throw ValidationError("\(name): \(error)")
    }
    do {
      let row = try PromptRow(value)
      if row.hasAnswer { Console.warn("\(name): the answer at the end is left out, and asked for") }
      return row
    } catch let error as DataError {
      throw DataError(file: name, message: error.message, hint: error.hint)
    }
  }
}
