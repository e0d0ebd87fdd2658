// Fine-tunes a model on rows of examples:  swift run -c release FineTune MODEL.gguf rows.jsonl OUTPUT

import Foundation
import LoRA

let arguments = CommandLine.arguments.dropFirst().map { URL(fileURLWithPath: $0) }
guard arguments.count == 3 else { fatalError("give a model, a file of rows and an output folder") }

let model = try LanguageModel(contentsOf: arguments[0])
try model.addAdapter("default", LoRAConfiguration(rank: 16, alpha: 32))
let data = try Dataset(contentsOf: arguments[1], for: model)
try Trainer(model, data: data).fit { step in
  print("step \(step.step): loss \(step.loss)")
  return true
}
try model.saveAdapter("default", to: arguments[2])
