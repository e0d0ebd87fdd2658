// Tells whether an adapter is used on the weights that it was made on.

import LoRAFormats
import LoRANN
import LoRATensor

extension Module {
  /// SHA-256 over the path, the shape and 16 rows of every parameter of the model itself, the rows
  /// rounded to bfloat16: the same for a GGUF file and a folder of the same weights and for every
  /// compute type, another for other weights, also for other quantisations of them.
  package var baseIdentity: String {
    var hash = SHA256()
    let tied = Set(tiedModules.map { $0.path + ".weight" })
    for (path, parameter) in namedParameters where !path.isPathOfAdapter {
      let name = path.replacing("base_layer.", with: "")
      // A tied head says nothing new, and not every file has it.
      guard !tied.contains(name) else { continue }
      let text = Array("\(name) \(parameter.value.shape)\n".utf8)
      text.withUnsafeBytes { hash.update($0) }
      let rows = parameter.value.shape.rows
      for row in stride(from: 0, to: rows, by: max(rows / 16, 1)) {
        let values = parameter.value.rows(row..<row + 1).converted(to: .bfloat16)
        withExtendedLifetime(values) {
          hash.update(
            UnsafeRawBufferPointer(
              start: values.pointer, count: values.dtype.byteCount(of: values.count)))
        }
      }
    }
    return hash.finish()
  }
}

extension AdapterFile {
  /// Where the identity stands among the strings of the file of tensors, which PEFT does not look at.
  static let baseIdentityKey = "base_weights_sha256"

  /// What to say of an adapter that was made on other weights.
  static func warning(recorded: String?, of model: any Module) -> String? {
    guard let recorded else { return nil }
    let identity = model.baseIdentity
    guard recorded != identity else { return nil }
    return "the adapter was made on other base weights (\(recorded.prefix(12))…, the model's are "
      + "\(identity.prefix(12))…): on another quantisation of the same model it loses a little, on "
      + "another model it is worthless"
  }
}
