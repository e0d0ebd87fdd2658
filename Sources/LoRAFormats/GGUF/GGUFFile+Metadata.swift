// Metadata by key. Absent keys are nil; a value of another kind than asked for is an error.

extension GGUFFile {
  private var reader: GGUFMetadataReader {
    GGUFMetadataReader(cursor: GGUFCursor(bytes: file.bytes, path: path), entries: entries)
  }

  /// Any value as the file has it.
  package func value(_ key: String) throws -> GGUFValue? { try reader.value(key) }

  /// The type of a value, without decoding it, and the number of elements of an array.
  package func type(of key: String) -> (type: GGUFValueType, count: Int?)? {
    entries[key].map { ($0.elements?.type ?? $0.type, $0.elements?.count) }
  }

  /// An integer of any width and sign; converters do not agree on those.
  package func integer(_ key: String) throws -> Int? { try reader.integer(key) }

  /// A number of any type.
  package func float(_ key: String) throws -> Double? { try reader.float(key) }

  /// A Boolean.
  package func bool(_ key: String) throws -> Bool? { try reader.bool(key) }

  /// A string.
  package func string(_ key: String) throws -> String? { try reader.string(key) }

  /// An array of strings.
  package func strings(_ key: String) throws -> [String]? { try reader.strings(key) }

  /// An array of integers or Booleans of any width; one integer counts as an array of one, because
  /// values per layer are written as one number where all layers agree.
  package func integers(_ key: String) throws -> [Int]? { try reader.integers(key) }

  /// As `integers`, each of which must fit 32 bits.
  package func int32s(_ key: String) throws -> [Int32]? {
    try reader.integers(key)?.map { value in
      guard let result = Int32(exactly: value) else {
        throw ModelFileError(
          file: path, message: "metadata key \(key) has the element \(value), beyond 32 bits",
          hint: GGUFCursor.damagedHint)
      }
      return result
    }
  }

  /// An array of floats of any width.
  package func floats(_ key: String) throws -> [Float]? { try reader.floats(key) }

  /// The value that `read` finds, which must be there: `try file.required("a.b", file.integer)`.
  package func required<Value>(
    _ key: String, _ read: (String) throws -> Value?
  ) throws -> Value {
    guard let value = try read(key) else {
      throw ModelFileError(
        file: path, message: "metadata key \(key) is missing",
        hint: "convert the model again with a current converter")
    }
    return value
  }
}
