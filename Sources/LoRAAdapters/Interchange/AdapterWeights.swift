// An adapter as numbers, without a model: what PEFT's, llama.cpp's and MLX's files have in common.

import Foundation
import LoRAFormats
package import LoRATensor

/// The forms in which adapters are stored.
package enum AdapterForm: String, Sendable, CaseIterable {
  /// A folder of PEFT's: adapter_model.safetensors and adapter_config.json.
  case peft
  /// A GGUF file as llama.cpp loads it.
  case gguf
  /// A folder of mlx-lm's: adapters.safetensors and adapter_config.json.
  case mlx

  /// How the form is called in messages.
  package var title: String {
    switch self {
    case .peft: "PEFT"
    case .gguf: "GGUF"
    case .mlx: "MLX"
    }
  }

  /// The form of what lies at a path.
  ///
  /// - Throws: `AdapterError` where nothing is there, or a folder without an adapter.
  package static func detect(_ path: String) throws -> AdapterForm {
    var isFolder: ObjCBool = false
    guard FileManager.default.fileExists(atPath: path, isDirectory: &isFolder) else {
      throw AdapterError(
        file: path, message: "there is no such file or folder",
        hint: "check the path of the adapter")
    }
    guard isFolder.boolValue else { return .gguf }
    let hasMLX = FileManager.default.fileExists(
      atPath: AdapterFile.path(path, MLXAdapter.tensorsName))
    if hasMLX { return .mlx }
    try AdapterFile.checkFolder(path)
    return .peft
  }
}

/// Low-rank pairs by the path of their layer in Hugging Face's spelling, and what belongs to them.
///
/// The factors are in PEFT's orientation and in the type of the file they came from.
package struct AdapterWeights: Sendable {
  /// One low-rank pair: ΔW = scale·B·A.
  package struct Module: Sendable {
    /// The layer's path, like `model.layers.0.self_attn.q_proj`.
    package let path: String
    /// Whether the layer is an embedding: `in` is then the vocabulary.
    package var isEmbedding = false
    /// A, (r, in).
    package var a: Tensor
    /// B, (out, r).
    package var b: Tensor
    /// s, in double so that it is not rounded before it is folded.
    package var scale: Double
    /// DoRA's lengths of the rows, (out).
    package var magnitude: Tensor?

    package var rank: Int { a.shape[0] }
    package var inFeatures: Int { a.shape[1] }
    package var outFeatures: Int { b.shape[0] }
    /// The numbers in the pair.
    package var parameterCount: Int { a.count + b.count + (magnitude?.count ?? 0) }
  }

  /// A tensor that is no part of a pair.
  package struct Extra: Sendable, Hashable {
    package let name: String
    /// What it is, like "a fully trained module".
    package let role: String
    package let count: Int
    /// Whether it says only what the base, or another tensor, says.
    package var isCopy = false
  }

  /// The pairs, layer by layer.
  package var modules: [Module]
  /// Other tensors of the file.
  package var extras: [Extra] = []
  /// What is odd about the files; what of them is left out: see `leftOut`.
  package var warnings: [String] = []
  /// The probability of dropout while training.
  package var dropout: Float = 0
  /// The base model's name, where the file tells it.
  package var baseModel: String?
  /// SHA-256 of the base's weights, where the file tells it: see `Module.baseIdentity`.
  package var baseIdentity: String?
  /// What the file was.
  package let form: AdapterForm
  /// The path of the file or folder.
  package let source: String
  /// What PEFT's configuration says; nil for the other forms.
  package var configuration: LoRAConfiguration?
  /// Whether the rows of q's and k's B are in GGUF's order: read without the base's layout.
  package var hasGGUFRowOrder = false

  /// Reads an adapter of any form.
  ///
  /// - Parameter layout: the modules of the base, which the adapter is checked with.
  /// - Throws: `AdapterError` naming the tensor or key; `ModelFileError`.
  package init(_ path: String, layout: LlamaLayout? = nil) throws {
    switch try AdapterForm.detect(path) {
    case .peft: self = try AdapterWeights(peft: path, layout: layout)
    case .mlx: self = try AdapterWeights(mlx: path)
    case .gguf: self = try AdapterWeights(gguf: path, layout: layout)
    }
    if let layout { try layout.check(self) }
  }

  init(modules: [Module], form: AdapterForm, source: String) {
    self.modules = modules.sorted { $0.path.precedesInStack($1.path) }
    self.form = form
    self.source = source
  }

  package var parameterCount: Int { modules.reduce(0) { $0 + $1.parameterCount } }

  /// An error about the adapter's file.
  func failure(_ message: String, _ hint: String) -> AdapterError {
    AdapterError(file: source, message: message, hint: hint)
  }
}

extension String {
  /// The order of a model: numbers in paths compare as numbers, q before k before v.
  package func precedesInStack(_ other: String) -> Bool {
    let places = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
    func key(_ part: Substring) -> (kind: Int, number: Int, text: String) {
      if let number = Int(part) { return (0, number, "") }
      // The head is behind the stack that it follows.
      if part == "lm_head" { return (2, 0, "") }
      if let place = places.firstIndex(of: String(part)) { return (1, place, "") }
      return (1, part.hasPrefix("self_attn") ? -1 : places.count, String(part))
    }
    let (mine, theirs) = (split(separator: "."), other.split(separator: "."))
    for (a, b) in zip(mine, theirs) where a != b { return key(a) < key(b) }
    return mine.count < theirs.count
  }

  /// The number of the layer in a path, `model.layers.N.…`, and the rest of the path.
  package var placeInStack: (layer: Int, rest: String)? {
    let parts = split(separator: ".", maxSplits: 3)
    guard parts.count == 4, parts[0] == "model", parts[1] == "layers", let layer = Int(parts[2])
    else { return nil }
    return (layer, String(parts[3]))
  }
}
