// What does not fit between an adapter's tensors and its configuration: said alike beside a model and
// without one.

import LoRAJSON

/// The faults of one file: the first few with their texts, and how many there are.
struct TensorFaults {
  private var shown: [(text: String, hint: String)] = []
  private var count = 0
  private static let shownFaults = 3

  mutating func report(_ text: @autoclosure () -> String, _ hint: @autoclosure () -> String) {
    count += 1
    // Texts are only made for those shown: finding the nearest path takes time.
    if shown.count < Self.shownFaults { shown.append((text(), hint())) }
  }

  mutating func report(_ fault: TensorFault, of name: String) {
    report("the tensor \(name.shortened) \(fault.text(name))", fault.hint)
  }

  /// Reports tensors that are not in the file.
  mutating func reportMissing(_ names: [String], _ reason: String) {
    guard !names.isEmpty else { return }
    report(
      "the tensor\(names.count > 1 ? "s" : "") \(names.joined(separator: " and ")) "
        + (names.count > 1 ? "are" : "is") + " missing",
      "\(reason): the file is not complete, or was made for another model")
  }

  /// - Throws: `AdapterError` with the first few faults, if there are any.
  func check(_ file: String) throws {
    guard let first = shown.first else { return }
    var text = shown.map(\.text).joined(separator: "; ")
    if count > shown.count { text += "; and \(count - shown.count) more" }
    if count > 1 { text = "\(count) faults: " + text }
    throw AdapterError(file: file, message: text, hint: first.hint)
  }
}

/// Why a tensor is refused, by its name and the configuration.
enum TensorFault {
  case unnamedLayer, magnitudeWithoutDoRA, biasOfBWithoutSetting, wrongKind, unknown
  case differsFrom(String)

  func text(_ name: String) -> String {
    switch self {
    case .unnamedLayer: "is for a layer that target_modules does not name"
    case .magnitudeWithoutDoRA: "belongs to DoRA, but use_dora is false"
    case .biasOfBWithoutSetting: "is a bias of B, but lora_bias is false"
    case .wrongKind: "is no factor of this kind of layer"
    case .unknown: AdapterFile.refusal(of: name)
    case .differsFrom(let original): "differs from \(original), which says the same to PEFT"
    }
  }

  var hint: String {
    switch self {
    case .unnamedLayer: "add the layer to target_modules, or save the adapter again"
    case .magnitudeWithoutDoRA: "set use_dora to true"
    case .biasOfBWithoutSetting: "set lora_bias to true"
    case .wrongKind:
      "an embedding has lora_embedding_A and lora_embedding_B, a linear layer lora_A and lora_B"
    case .unknown: "save the adapter with PEFT as LoRA, its configuration beside it"
    case .differsFrom: "save the adapter again, or remove the one that was not trained"
    }
  }

  static let layerIsNamed = "target_modules names the layer"
  static let isTrained = "the configuration says that it is trained"
  static let tokensAreNamed = "trainable_token_indices names tokens"
}
