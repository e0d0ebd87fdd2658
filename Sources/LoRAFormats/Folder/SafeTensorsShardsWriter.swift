// Writes the weights of a model's folder: one safetensors file, or several with an index.

import LoRAJSON
package import LoRATensor

/// Collects the tensors of a model, then writes them as transformers lays them out: one
/// `model.safetensors`, or shards with `model.safetensors.index.json`.
///
/// Tensors are made when they are written, one after the other, so that memory does not grow with
/// the model.
package struct SafeTensorsShardsWriter {
  private var tensors: [(name: String, shape: Shape, dtype: DType, write: Write)] = []

  package typealias Write = (FileSink) throws -> Void

  package init() {}

  /// Adds a tensor; `write` sends its bytes.
  package mutating func add(
    _ name: String, shape: Shape, dtype: DType, write: @escaping Write
  ) {
    tensors.append((name, shape, dtype, write))
  }

  /// Bytes of all tensors.
  package var byteCount: Int {
    tensors.reduce(0) { $0 + $1.dtype.byteCount(of: $1.shape.count) }
  }

  /// Writes the files into a folder, in the order the tensors were added, and returns their names.
  ///
  /// - Parameter limit: the most bytes of tensors in a file, unless one tensor alone has more.
  /// - Throws: `OutputFileError`; errors of the tensors' closures.
  @discardableResult
  package func write(to folder: String, maximumShardBytes limit: Int) throws -> [String] {
    var shards: [[Int]] = []
    var size = 0
    for (index, tensor) in tensors.enumerated() {
      let bytes = tensor.dtype.byteCount(of: tensor.shape.count)
      if shards.isEmpty || size + bytes > limit {
        shards.append([])
        size = 0
      }
      shards[shards.count - 1].append(index)
      size += bytes
    }
    let names = shards.indices.map { index -> String in
      if shards.count == 1 { return "model.safetensors" }
      return "model-\(Self.padded(index + 1))-of-\(Self.padded(shards.count)).safetensors"
    }
    var map: [(String, JSONValue)] = []
    for (name, shard) in zip(names, shards) {
      var writer = SafeTensorsWriter()
      for tensor in shard.map({ tensors[$0] }) {
        writer.add(tensor.name, shape: tensor.shape, dtype: tensor.dtype, write: tensor.write)
        map.append((tensor.name, .string(name)))
      }
      try writer.write(to: folder + "/" + name)
    }
    if shards.count > 1 {
      let parameters = tensors.reduce(0) { $0 + $1.shape.count }
      let index: JSONValue = [
        "metadata": ["total_parameters": .integer(parameters), "total_size": .integer(byteCount)],
        "weight_map": .object(JSONObject(map.sorted { $0.0 < $1.0 })),
      ]
      try AtomicFile.write(
        index.serialized(.indented(2)) + "\n", to: folder + "/model.safetensors.index.json")
    }
    return names
  }

  private static func padded(_ number: Int) -> String {
    let digits = String(number)
    return String(repeating: "0", count: max(0, 5 - digits.count)) + digits
  }
}
