// Puts the tensors of an adapter's file together into pairs, and says which do not fit.

import LoRAFormats
import LoRAJSON
import LoRATensor

/// What a tensor is in its pair.
enum PairPart: String {
  case a = "A"
  case b = "B"
  case magnitude = "DoRA's magnitude"
}

/// Collects factors by layer until each has both.
struct PairCollector {
  private struct Found {
    var parts: [PairPart: (name: String, tensor: Tensor)] = [:]
    var isEmbedding = false
  }

  private let source: String
  private var found: [String: Found] = [:]

  init(source: String) { self.source = source }

  /// Takes a factor in PEFT's orientation.
  mutating func add(
    _ name: String, _ path: String, _ part: PairPart, isEmbedding: Bool, _ read: () throws -> Tensor
  ) throws {
    var entry = found[path] ?? Found()
    if let other = entry.parts[part] {
      throw failure(
        "the tensors \(other.name.shortened) and \(name.shortened) are the same factor",
        "remove one of them")
    }
    entry.parts[part] = (name, try read())
    if part != .magnitude { entry.isEmbedding = isEmbedding }
    found[path] = entry
  }

  /// The pairs, checked.
  ///
  /// - Parameter scale: of the layer at a path, given its rank.
  func modules(
    scale: (_ path: String, _ rank: Int) throws -> Double
  ) throws -> [AdapterWeights.Module] {
    guard !found.isEmpty else {
      throw failure("the file holds no low-rank pair", "is it the file of a LoRA adapter?")
    }
    return try found.sorted { $0.key.precedesInStack($1.key) }.map { path, entry in
      guard let a = entry.parts[.a], let b = entry.parts[.b] else {
        let there = entry.parts.values.map(\.name).sorted().first ?? path
        let missing: PairPart = entry.parts[.a] == nil ? .a : .b
        throw failure(
          "the tensor \(there.shortened) is alone: the factor \(missing.rawValue) of "
            + "\(path.shortened) is missing", "the file is not complete: fetch or save it again")
      }
      guard a.tensor.shape.rank == 2, b.tensor.shape.rank == 2, a.tensor.shape[0] > 0,
        a.tensor.shape[0] == b.tensor.shape[1]
      else {
        let (x, y) = (a.tensor.shape.dimensions, b.tensor.shape.dimensions)
        let isTransposed =
          x.count == 2 && y.count == 2 && x[1] == y[0] && x[1] < min(x[0], y[1])
        throw failure(
          "the factors of \(path.shortened) do not make a pair: A is \(a.tensor.shape) and B "
            + "\(b.tensor.shape)",
          isTransposed
            ? "they are transposed: the other form's orientation, or a broken converter"
            : "A is (r, in) and B (out, r)")
      }
      if let magnitude = entry.parts[.magnitude]?.tensor, magnitude.count != b.tensor.shape[0] {
        throw failure(
          "DoRA's magnitude of \(path.shortened) has \(magnitude.count) numbers, expected "
            + "\(b.tensor.shape[0])", "it is one number for every output")
      }
      let scale = try scale(path, a.tensor.shape[0])
      guard scale.isFinite else {
        throw failure("the scale of \(path.shortened) is \(scale)", "the adapter is broken")
      }
      return AdapterWeights.Module(
        path: path, isEmbedding: entry.isEmbedding, a: a.tensor, b: b.tensor, scale: scale,
        magnitude: entry.parts[.magnitude]?.tensor)
    }
  }

  private func failure(_ message: String, _ hint: String) -> AdapterError {
    AdapterError(file: source, message: message, hint: hint)
  }
}

extension Tensor {
  /// A factor as it is stored, checked to be finite.
  static func factor(_ name: String, in file: SafeTensorsFile) throws -> Tensor {
    guard let type = file.tensorInfo(name)?.type, [.float32, .float16, .bfloat16].contains(type)
    else {
      throw AdapterError(
        file: file.path,
        message: "the tensor \(name.shortened) is stored as "
          + "\(file.tensorInfo(name)?.type.rawValue ?? "nothing"), expected F32, BF16 or F16",
        hint: "convert the adapter to F32")
    }
    return try Tensor(file.bytes(of: name)).checkedFinite(name, file.path)
  }

  func checkedFinite(_ name: String, _ file: String) throws -> Tensor {
    if let (index, value) = converted(to: .float32).firstNotFinite {
      throw AdapterError(
        file: file, message: "the tensor \(name.shortened) has the value \(value) at \(index)",
        hint: "the adapter is broken, its training probably diverged: use another checkpoint")
    }
    return self
  }

  /// A matrix with rows and columns exchanged, in the same type.
  func transposedAsStored() -> Tensor {
    precondition(
      shape.rank == 2 && !dtype.isQuantized, "transposed: \(dtype.rawValue) of shape \(shape)")
    let result = Tensor(uninitialized: [shape[1], shape[0]], dtype: dtype)
    let (rows, columns) = (shape[0], shape[1])
    func move<Element>(_: Element.Type) {
      let source = pointer.assumingMemoryBound(to: Element.self)
      let target = result.pointer.assumingMemoryBound(to: Element.self)
      for row in 0..<rows {
        for column in 0..<columns { target[column * rows + row] = source[row * columns + column] }
      }
    }
    if dtype.bytesPerBlock == 4 { move(UInt32.self) } else { move(UInt16.self) }
    return result
  }
}
