// The element types that a tensor can hold, dense and in quantised blocks.

/// How the elements of a tensor are stored.
///
/// The dense types hold one element each; the block types are GGUF's, 32 elements to a block that
/// carries its own scale (and minimum). Blocks run along the last axis, which is therefore a
/// multiple of 32. Source: ggml-common.h, reproduced in the GGUF specification.
public enum DType: String, Sendable, Hashable, CaseIterable {
  case float32 = "F32"
  case bfloat16 = "BF16"
  case float16 = "F16"
  case int32 = "I32"
  case q4_0 = "Q4_0"
  case q4_1 = "Q4_1"
  case q5_0 = "Q5_0"
  case q5_1 = "Q5_1"
  case q8_0 = "Q8_0"

  /// The name that people and configurations use: PyTorch's for dense types, GGUF's for blocks.
  public var name: String {
    switch self {
    case .float32: "float32"
    case .bfloat16: "bfloat16"
    case .float16: "float16"
    case .int32: "int32"
    case .q4_0, .q4_1, .q5_0, .q5_1, .q8_0: rawValue
    }
  }

  /// Elements that are stored together: 1 for the dense types, 32 for the block types.
  public var elementsPerBlock: Int {
    switch self {
    case .float32, .bfloat16, .float16, .int32: 1
    case .q4_0, .q4_1, .q5_0, .q5_1, .q8_0: 32
    }
  }

  /// Bytes of one block.
  public var bytesPerBlock: Int {
    switch self {
    case .float32, .int32: 4
    case .bfloat16, .float16: 2
    case .q4_0: 18
    case .q4_1: 20
    case .q5_0: 22
    case .q5_1: 24
    case .q8_0: 34
    }
  }

  /// Whether elements are stored in blocks with a shared scale.
  public var isQuantized: Bool { elementsPerBlock > 1 }

  /// Bytes of `count` elements; `count` is a multiple of `elementsPerBlock`.
  public func byteCount(of count: Int) -> Int {
    precondition(
      count % elementsPerBlock == 0, "\(rawValue): \(count) elements do not fill whole blocks")
    return count / elementsPerBlock * bytesPerBlock
  }
}
