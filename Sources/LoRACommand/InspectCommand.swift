// `lora inspect`: what is in a model file or an adapter's folder.

import ArgumentParser
import Foundation
import LoRA
import LoRAFormats
import LoRAJSON
import LoRAModels
import LoRATensor
import LoRAText

struct InspectCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "inspect", abstract: "Shows what is in a model or an adapter.")

  @Argument(help: "A GGUF file, or a folder: of a model, or of an adapter of PEFT's or MLX's.")
  var path: String

  @Flag(help: "Print one JSON object; of an adapter, with every layer and its singular values.")
  var json = false

  @Option(help: "Of an adapter: its base, to show each change beside the norm of the weight.")
  var model: String?

  @Option(help: "Of an adapter: draw the norm of the change by layer and module, as an SVG file.")
  var plot: String?

  func run() throws {
    var isFolder: ObjCBool = false
    guard FileManager.default.fileExists(atPath: path, isDirectory: &isFolder) else {
      throw ModelFileError(
        file: path, message: "there is no such file or folder", hint: "check the path")
    }
    let isModel = isFolder.boolValue ? ModelFolder.isOne(path) : try !isAdapterFile()
    guard isModel else {
      let base = try model.map {
        try ModelSource(path: $0).network(computeType: .float32, asStored: true)
      }
      return try AdapterView(path, model: base).show(json: json, plot: plot)
    }
    if plot != nil {
      throw ValidationError("--plot draws adapters; \(path) is a model")
    }
    if model != nil {
      throw ValidationError("--model is the base of an adapter; \(path) is a model itself")
    }
    Self.show(try facts(), json: json)
  }

  private func isAdapterFile() throws -> Bool {
    try GGUFFile(contentsOf: path).string("general.type") == "adapter"
  }

  /// Prints facts as JSON or as lines for people.
  static func show(_ facts: JSONObject, json: Bool) {
    if json { return Console.say(JSONValue.object(facts).serialized(.indented(2))) }
    let width = facts.keys.map(\.count).max() ?? 0
    for (key, value) in facts {
      let name = key.replacingOccurrences(of: "_", with: " ")
      Console.say(name.padding(toLength: width + 2, withPad: " ", startingAt: 0) + value.shown)
    }
  }

  private func facts() throws -> JSONObject {
    let source = try ModelSource(path: path)
    let sizes = try source.configuration()
    let encoder = try source.encoder()
    let contents = try source.contents()
    var types: [String: Int] = [:]
    for tensor in contents.tensors { types[tensor.type, default: 0] += 1 }
    let stops = encoder.tokenizer.endOfGenerationTokenIDs.sorted().map { id in
      JSONValue.string(encoder.tokenizer.token(id) ?? "\(id)")
    }
    return [
      "kind": "model", "file": .string(path),
      "name": contents.name.map(JSONValue.string) ?? .null,
      "architecture": contents.architecture.map(JSONValue.string) ?? .null,
      "parameters": .integer(contents.tensors.reduce(0) { $0 + $1.count }),
      "bytes": .integer(contents.byteCount),
      "tensors": .object(
        JSONObject(types.sorted { $0.key < $1.key }.map { ($0.key, .integer($0.value)) })),
      "layers": .integer(sizes.layerCount), "hidden_size": .integer(sizes.hiddenSize),
      "intermediate_size": .integer(sizes.intermediateSize),
      "heads": .integer(sizes.headCount),
      "key_value_heads": .integer(sizes.keyValueHeadCount),
      "head_dimension": .integer(sizes.headDimension),
      "context_length": .integer(sizes.contextLength), "rope_theta": .number(sizes.ropeBase),
      "vocabulary": .integer(sizes.vocabularySize),
      "tied_embeddings": .bool(sizes.tiesEmbeddings), "stop_tokens": .array(stops),
      "chat_template": .bool(encoder.chatTemplate != nil),
    ]
  }
}

extension JSONValue {
  /// The value as a person reads it.
  fileprivate var shown: String {
    if let text = stringValue { return text }
    if let number = integerValue { return Console.count(number) }
    if let list = arrayValue {
      if list.isEmpty { return "none" }
      if list.first?.objectValue != nil { return "\(list.count) (see --json)" }
      return list.map(\.shown).joined(separator: ", ")
    }
    if let object = objectValue {
      return object.map { "\($0.key) \($0.value.shown)" }.joined(separator: ", ")
    }
    if let flag = boolValue { return flag ? "yes" : "no" }
    if self == .null { return "unknown" }
    return numberValue.map { "\($0)" } ?? serialized(.compact)
  }
}
