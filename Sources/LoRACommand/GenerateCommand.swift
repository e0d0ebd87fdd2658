// `lora generate`: continues a prompt or a conversation.

import ArgumentParser
import Foundation
import LoRA
import LoRAGeneration
import LoRAJSON
import LoRAText

struct GenerateCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "generate", abstract: "Continues a prompt or a conversation.")

  @OptionGroup var options: ModelOptions
  @OptionGroup var adapter: AdapterOption

  @Option(help: "What the user says; the model answers by its chat template.")
  var prompt: String?

  @Option(help: "What the system message says, beside --prompt.")
  var system: String?

  @Flag(help: "Continue the prompt as plain text, without the chat template.")
  var raw = false

  @Option(
    help: "A JSON file with a list of messages, or an object with the key messages; - is stdin.")
  var messages: String?

  @Option(help: "New tokens at most.")
  var maxTokens = 256

  @Option(help: "0 takes the most probable token, 1 draws by the model's probabilities.")
  var temperature: Float = 0

  @Option(help: "Draw from the smallest set of tokens that has this probability in all.")
  var topP: Float = 1

  @Option(help: "The seed of the draws.")
  var seed: UInt64 = 42

  @Flag(
    help: """
      Print one object: text, tokens, finish_reason, tokens_per_second (after the first token), \
      seconds_to_first_token (from the start, loading included).
      """)
  var json = false

  func validate() throws {
    guard (prompt == nil) != (messages == nil) else {
      throw ValidationError("give either --prompt or --messages")
    }
    guard !(raw && messages != nil), !(system != nil && (raw || prompt == nil)) else {
      throw ValidationError("--raw and --system belong to --prompt, and exclude each other")
    }
    guard maxTokens >= 1 else {
      throw ValidationError("--max-tokens is \(maxTokens): give 1 or more")
    }
    guard temperature >= 0, temperature.isFinite else {
      throw ValidationError("--temperature is \(temperature): give 0 or more")
    }
    guard topP > 0, topP <= 1 else {
      throw ValidationError("--top-p is \(topP): give more than 0, at most 1")
    }
  }

  func run() throws {
    let start = ContinuousClock.now
    // Read before the model is loaded: a mistake in them shows at once.
    let conversation = try messages.map(MessagesFile.read)
    let model = try options.load(asStored: true)
    try adapter.load(into: model)
    let tokenizer = model.encoder.tokenizer
    let generator = Generator(
      model: model.network, stopTokens: tokenizer.endOfGenerationTokenIDs)
    var decoder = StreamingDecoder(tokenizer, skipSpecialTokens: true)
    var (first, last) = (start, start)
    var count = 0
    let results = try generator.generate(
      [tokens(model.encoder, conversation)], maxTokens: maxTokens,
      sampling: SamplingOptions(temperature: temperature, topP: topP, seed: seed)
    ) { _, token in
      last = .now
      if count == 0 { first = last }
      count += 1
      let text = decoder.append(token)
      if !json { Console.write(text) }
    }
    guard let result = results.first else { return }
    guard json else { return Console.say(decoder.finish()) }
    // The prompt and loading are another kind of work than a token.
    let rate = count > 1 ? Double(count - 1) / first.duration(to: last).inSeconds : 0
    let wait = start.duration(to: count > 0 ? first : .now).inSeconds
    Console.say(
      JSONValue.object([
        "text": .string(tokenizer.decode(result.tokens, skipSpecialTokens: true)),
        "tokens": .array(result.tokens.map { .integer(Int($0)) }),
        "finish_reason": .string(result.finishReason.rawValue),
        "tokens_per_second": .number((rate * 10).rounded() / 10),
        "seconds_to_first_token": .number((wait * 1000).rounded() / 1000),
      ]).serialized(.compact))
  }

  private func tokens(_ encoder: TextEncoder, _ conversation: [JSONValue]?) throws -> [Int32] {
    if let conversation { return try encoder.prompt(messages: conversation) }
    let prompt = prompt ?? ""
    if raw { return encoder.prompt(text: prompt) }
    let system = system.map { [("system", $0)] } ?? []
    return try encoder.prompt(messages: system + [("user", prompt)])
  }
}

/// A conversation in a JSON file.
private enum MessagesFile {
  static func read(_ path: String) throws -> [JSONValue] {
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
      throw ValidationError("\(path): the text is not UTF-8")
    }
    let value: JSONValue
    do {
      value = try JSONValue(parsing: text)
    } catch {
      throw ValidationError("\(path): \(error)")
    }
    guard let list = value.arrayValue ?? value.objectValue?["messages"]?.arrayValue else {
      throw ValidationError(
        "\(path): expected a list of messages, like [{\"role\": \"user\", \"content\": \"…\"}]")
    }
    return list
  }
}
