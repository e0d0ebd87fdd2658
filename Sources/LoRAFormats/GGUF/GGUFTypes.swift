// The numbers of the GGUF format: types of metadata values and of tensors.

package import LoRATensor

/// The type of a metadata value, by its number in the file.
package enum GGUFValueType: UInt32, Sendable, Hashable, CaseIterable {
  case uint8 = 0
  case int8 = 1
  case uint16 = 2
  case int16 = 3
  case uint32 = 4
  case int32 = 5
  case float32 = 6
  case bool = 7
  case string = 8
  case array = 9
  case uint64 = 10
  case int64 = 11
  case float64 = 12

  /// Bytes of one value; nil for strings and arrays, which say their own length.
  var byteCount: Int? {
    switch self {
    case .uint8, .int8, .bool: 1
    case .uint16, .int16: 2
    case .uint32, .int32, .float32: 4
    case .uint64, .int64, .float64: 8
    case .string, .array: nil
    }
  }
}

/// How a tensor is stored, by its number in the file, known to this version or not.
package struct GGMLType: Sendable, Hashable {
  package let rawValue: UInt32

  package init(rawValue: UInt32) { self.rawValue = rawValue }

  package init(_ dtype: DType) {
    self.rawValue =
      switch dtype {
      case .float32: 0
      case .float16: 1
      case .q4_0: 2
      case .q4_1: 3
      case .q5_0: 6
      case .q5_1: 7
      case .q8_0: 8
      case .int32: 26
      case .bfloat16: 30
      }
  }

  /// The name that ggml gives the type, or `type N`.
  package var name: String { Self.known[rawValue]?.name ?? "type \(rawValue)" }

  /// Elements and bytes of one block; nil for a type that this version has not heard of.
  package var block: (elements: Int, bytes: Int)? {
    Self.known[rawValue].map { ($0.elements, $0.bytes) }
  }

  /// The element type of this engine, or nil where it does not read the format.
  package var dtype: DType? { DType.allCases.first { GGMLType($0) == self } }

  // Sizes of formats that are not read too: the offsets of the tensors behind them are checked.
  private static let known: [UInt32: (name: String, elements: Int, bytes: Int)] = [
    0: ("F32", 1, 4), 1: ("F16", 1, 2), 2: ("Q4_0", 32, 18), 3: ("Q4_1", 32, 20),
    6: ("Q5_0", 32, 22), 7: ("Q5_1", 32, 24), 8: ("Q8_0", 32, 34), 10: ("Q2_K", 256, 84),
    11: ("Q3_K", 256, 110), 12: ("Q4_K", 256, 144), 13: ("Q5_K", 256, 176),
    14: ("Q6_K", 256, 210), 15: ("Q8_K", 256, 292), 16: ("IQ2_XXS", 256, 66),
    17: ("IQ2_XS", 256, 74), 18: ("IQ3_XXS", 256, 98), 19: ("IQ1_S", 256, 50),
    20: ("IQ4_NL", 32, 18), 21: ("IQ3_S", 256, 110), 22: ("IQ2_S", 256, 82),
    23: ("IQ4_XS", 256, 136), 24: ("I8", 1, 1), 25: ("I16", 1, 2), 26: ("I32", 1, 4),
    27: ("I64", 1, 8), 28: ("F64", 1, 8), 29: ("IQ1_M", 256, 56), 30: ("BF16", 1, 2),
    34: ("TQ1_0", 256, 54), 35: ("TQ2_0", 256, 66), 39: ("MXFP4", 32, 17),
  ]
}

/// What the file says about one tensor.
package struct GGUFTensorInfo: Sendable, Hashable {
  package let name: String

  /// Row-major, as everywhere in this engine; the file lists the extents in the other order.
  package let shape: Shape
  package let type: GGMLType

  /// From the start of the file.
  package let byteOffset: Int

  /// Nil where the type is one that this version has not heard of.
  package let byteCount: Int?
}

/// One metadata value.
package enum GGUFValue: Sendable, Hashable {
  case uint8(UInt8)
  case int8(Int8)
  case uint16(UInt16)
  case int16(Int16)
  case uint32(UInt32)
  case int32(Int32)
  case float32(Float)
  case bool(Bool)
  case string(String)
  case uint64(UInt64)
  case int64(Int64)
  case float64(Double)

  /// Elements of one type, which is kept because an array can be empty. Arrays do not nest.
  case array(GGUFValueType, [GGUFValue])

  package var type: GGUFValueType {
    switch self {
    case .uint8: .uint8
    case .int8: .int8
    case .uint16: .uint16
    case .int16: .int16
    case .uint32: .uint32
    case .int32: .int32
    case .float32: .float32
    case .bool: .bool
    case .string: .string
    case .uint64: .uint64
    case .int64: .int64
    case .float64: .float64
    case .array: .array
    }
  }

  /// An array of strings.
  package static func strings(_ values: [String]) -> GGUFValue {
    .array(.string, values.map { .string($0) })
  }

  /// An array of 32-bit integers.
  package static func int32s(_ values: [Int32]) -> GGUFValue {
    .array(.int32, values.map { .int32($0) })
  }

  /// An array of floats.
  package static func float32s(_ values: [Float]) -> GGUFValue {
    .array(.float32, values.map { .float32($0) })
  }
}
