// Two adapters on one model, each for its own prompts:
//   swift run -c release TwoAdapters MODEL.gguf FIRST-ADAPTER SECOND-ADAPTER

import Foundation
import LoRA

let arguments = CommandLine.arguments.dropFirst().map { URL(fileURLWithPath: $0) }
guard arguments.count == 3 else { fatalError("give a model and the folders of two adapters") }

let model = try LanguageModel(contentsOf: arguments[0])
try model.loadAdapter("orders", from: arguments[1])
try model.loadAdapter("events", from: arguments[2])

// One at a time …
try model.activateAdapter("orders")
let question = [(role: "user", content: "Two red bicycles to Lyon, please.")]
print(try model.respond(to: question))

// … or side by side in one batch, each prompt with its own; nil is the model alone.
let answers = try model.respond(
  toEach: [question, question, question], adapters: ["orders", "events", nil])
for answer in answers { print(answer) }

// And back to the model as it was.
print(try model.withoutAdapters { try model.respond(to: question) })
