// What the engine runs on: threads, instruction set, oneDNN, and the precision that follows.

import CLoRAKernels

/// The processor and the libraries that the operations run on.
public enum Engine {
  /// Threads that products and kernels use, whoever calls them; at first, the processors this process
  /// may use.
  public static var threadCount: Int {
    get { Int(lk_get_threads()) }
    set { lk_set_threads(Int32(clamping: max(1, newValue))) }
  }

  /// Whether the processor multiplies bfloat16 matrices faster than float32 ones.
  public static var hasFastBFloat16: Bool { lk_has_fast_bf16() != 0 }

  /// The instruction set that the element-wise kernels use: `baseline`, `x86-64-v3` (AVX2),
  /// `x86-64-v4` (AVX-512).
  public static var instructionSet: String { String(cString: lk_isa_name()) }

  /// The version of oneDNN, like 3.9.1.
  public static var oneDNNVersion: String { String(cString: lk_onednn_version()) }
}

/// The type in which the large products are formed and activations are kept.
///
/// The residual stream, normalisation, softmax, loss, adapters and optimizer are float32 always.
public enum Precision: String, Sendable, CaseIterable {
  /// bfloat16 where the processor has instructions for it, else float32.
  case auto
  /// 24 bits of significand: the reference, compared with PyTorch.
  case float32
  /// 8 bits of significand, half the memory, twice the speed where there are instructions for it.
  case bfloat16

  /// The type on this processor.
  public var computeType: DType {
    switch self {
    case .auto: Engine.hasFastBFloat16 ? .bfloat16 : .float32
    case .float32: .float32
    case .bfloat16: .bfloat16
    }
  }
}
