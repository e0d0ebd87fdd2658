// The ways to parse a JSON text: from memory, from any bytes, from a string.

/// What a repeated key in one object means.
public enum DuplicateKeys: Sendable {
  /// The text is refused.
  case error
  /// The last value counts, in the place of the first.
  case lastWins
}

extension JSONValue {
  /// Parses one JSON text (RFC 8259) in UTF-8, with nothing but white space around it.
  ///
  /// Integers that do not fit an `Int` become numbers. Nesting is limited to 512 levels.
  /// - Throws: `JSONError` with the place of the first fault.
  public init(
    parsing bytes: UnsafeBufferPointer<UInt8>, duplicateKeys: DuplicateKeys = .error
  ) throws {
    var parser = JSONParser(bytes, duplicateKeys: duplicateKeys)
    self = try parser.parseDocument()
  }

  /// Parses one JSON text from any bytes; contiguous ones are not copied.
  /// - Throws: `JSONError` with the place of the first fault.
  public init(
    parsing bytes: some Collection<UInt8>, duplicateKeys: DuplicateKeys = .error
  ) throws {
    let parsed = try bytes.withContiguousStorageIfAvailable {
      try JSONValue(parsing: $0, duplicateKeys: duplicateKeys)
    }
    if let parsed {
      self = parsed
    } else {
      self = try Array(bytes).withUnsafeBufferPointer {
        try JSONValue(parsing: $0, duplicateKeys: duplicateKeys)
      }
    }
  }

  /// Parses one JSON text from a string.
  /// - Throws: `JSONError` with the place of the first fault.
  public init(parsing text: String, duplicateKeys: DuplicateKeys = .error) throws {
    try self.init(parsing: text.utf8, duplicateKeys: duplicateKeys)
  }
}
