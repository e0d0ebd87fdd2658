// Copies of the base's embeddings that PEFT puts into an adapter's file beside what was trained
// (save_embedding_layers): compared with the model's own, said, and left out.

import LoRAFormats
import LoRAJSON
package import LoRANN
import LoRATensor

/// A tensor that says again what the base says.
struct BaseCopy {
  let tensor: String
  let parameter: Parameter
}

extension AdapterFile {
  /// What PEFT calls the modules whose weights it adds: `EMBEDDING_LAYER_NAMES`.
  private static let embeddingNames = ["embed_tokens", "lm_head"]
  /// The longest first: each is the end of those before it.
  private static let copyEndings = [
    ".token_adapter.base_layer.weight", ".base_layer.weight", ".original_module.weight", ".weight",
  ]

  /// The module of whose base weight a tensor is a copy, by its name; nil where it is none.
  static func copiedModule(_ name: String) -> String? {
    guard name.hasPrefix(prefix), let ending = copyEndings.first(where: { name.hasSuffix($0) })
    else { return nil }
    let path = String(name.dropFirst(prefix.count).dropLast(ending.count))
    return embeddingNames.contains { path.isSelected(by: $0) } ? path : nil
  }

  /// The tensor of the same file that a tensor repeats: `save_embedding_layers` writes modules that
  /// are trained whole under their names in memory too, and a tied head's tokens beside the table's.
  static func original(of name: String, in file: SafeTensorsFile) -> String? {
    let tokens = ".token_adapter.trainable_tokens_delta"
    if name == prefix + "lm_head" + tokens {
      return file.tensors.map(\.name).first { $0 != name && $0.hasSuffix(".embed_tokens" + tokens) }
    }
    let ending = ".modules_to_save.weight"
    guard name.hasSuffix(ending) else { return nil }
    let original = String(name.dropLast(ending.count)) + ".weight"
    return file.tensorInfo(original) == nil ? nil : original
  }

  /// Whether two tensors of a file have the same bytes.
  static func areSame(_ a: String, _ b: String, in file: SafeTensorsFile) throws -> Bool {
    try file.tensorInfo(a)?.shape == file.tensorInfo(b)?.shape
      && file.rawBytes(of: a).elementsEqual(file.rawBytes(of: b))
  }

  /// Compares copies with the weights of the model that they were made of.
  ///
  /// PEFT puts a copy in the place of the model's own weight. Equal ones change nothing; of a base that
  /// is quantised the copy is what it was before, which is near.
  /// - Returns: what is to be said.
  /// - Throws: `AdapterError` naming the copy that is another weight.
  static func compare(
    _ copies: [BaseCopy], in file: SafeTensorsFile, quantized isQuantized: Bool
  ) throws -> [String] {
    var equal: [String] = []
    var warnings: [String] = []
    for copy in copies {
      let own = copy.parameter.value
      let stored = try Tensor.factor(copy.tensor, in: file)
      let (isEqual, difference) = stored.difference(from: own)
      if isEqual {
        equal.append(copy.tensor)
        continue
      }
      let share = "\((Double(difference) * 1000).rounded() / 10)%"
      guard isQuantized, difference <= 0.2 else {
        throw AdapterError(
          file: file.path,
          message: "the tensor \(copy.tensor) is a copy of a base weight and differs from the "
            + "model's by \(share) of its length",
          hint: "the adapter was made on other weights: use that base, or train the module with "
            + "modules_to_save")
      }
      warnings.append(
        "left out \(copy.tensor): a copy of a base weight from before it was quantised; the model's "
          + "own, which is used, differs from it by \(share) of its length")
    }
    if let said = leftOut(equal) { warnings.insert(said, at: 0) }
    return warnings
  }

  /// What is said of tensors that say what others in the file say; nil of none.
  static func repeated(_ names: [String]) -> String? {
    names.isEmpty ? nil : "left out \(names.listed(atMost: 4)): the file says it twice"
  }

  /// What is said of copies that are left out; nil of none.
  static func leftOut(_ names: [String], _ addition: String = "") -> String? {
    guard !names.isEmpty else { return nil }
    return "left out \(names.listed(atMost: 4)): "
      + (names.count == 1 ? "a copy of a base weight" : "copies of base weights") + addition
  }
}

extension AdapterWeights {
  /// The tensors that only say what the base says.
  private var baseCopies: [String] {
    extras.filter { $0.role == ConfiguredTensors.baseCopy }.map(\.name)
  }

  var hasBaseCopies: Bool { !baseCopies.isEmpty }

  /// What is said of tensors that only say what the base or other tensors say, and are left out.
  ///
  /// - Parameter model: the base, to compare copies of its weights with.
  /// - Throws: `AdapterError` naming the copy that is another weight.
  package func leftOut(comparedWith model: (any LoRANN.Module)?) throws -> [String] {
    let others = extras.filter { $0.isCopy && $0.role != ConfiguredTensors.baseCopy }
    let repeated = AdapterFile.repeated(others.map(\.name)).map { [$0] } ?? []
    guard let model, hasBaseCopies else {
      let said = AdapterFile.leftOut(baseCopies, ", not compared without the model's weights")
      return (said.map { [$0] } ?? []) + repeated
    }
    let sites = ModuleMap(model).sites
    let file = try SafeTensorsFile(contentsOf: source)
    let copies = try baseCopies.map { name in
      let path = AdapterFile.copiedModule(name)
      guard let weight = sites.first(where: { $0.path == path })?.baseWeight,
        weight.value.shape == file.tensorInfo(name)?.shape
      else {
        throw failure(
          "the tensor \(name.shortened) is a copy of a base weight that the model does not have",
          "was the adapter made for another model?")
      }
      return BaseCopy(tensor: name, parameter: weight)
    }
    return try AdapterFile.compare(copies, in: file, quantized: model.hasQuantizedWeights)
      + repeated
  }
}

extension Module {
  /// Whether any weight is stored in quantised blocks; what is read from them may be dense.
  var hasQuantizedWeights: Bool {
    namedParameters.contains { $0.parameter.value.dtype.isQuantized }
  }
}

extension Tensor {
  /// Whether this is another tensor but for one rounding to the type of either, and by what share of
  /// its length it differs.
  fileprivate func difference(from other: Tensor) -> (isEqual: Bool, share: Float) {
    var (isEqual, squares, length) = (true, 0.0, 0.0)
    for start in stride(from: 0, to: shape.rows, by: 256) {
      let range = start..<min(start + 256, shape.rows)
      let mine = rows(range).converted(to: .float32)
      let theirs = other.rows(range).converted(to: .float32)
      let mineRounded = other.dtype.isQuantized ? mine : mine.roundedThrough(other.dtype)
      let theirsRounded = theirs.roundedThrough(dtype)
      withExtendedLifetime((mine, theirs, mineRounded, theirsRounded)) {
        for index in 0..<mine.count {
          let (a, b) = (mine.floats[index], theirs.floats[index])
          length += Double(b) * Double(b)
          guard a != b else { continue }
          squares += Double(a - b) * Double(a - b)
          if mineRounded.floats[index] != b, theirsRounded.floats[index] != a { isEqual = false }
        }
      }
    }
    return (isEqual, Float(length > 0 ? (squares / length).squareRoot() : squares.squareRoot()))
  }

  private func roundedThrough(_ dtype: DType) -> Tensor {
    dtype == .float32 ? self : converted(to: dtype).converted(to: .float32)
  }
}
