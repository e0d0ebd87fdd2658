// A model with adapters merged into it, written as a folder that transformers loads.

import LoRAAdapters
import LoRAFormats
import LoRAJSON
package import LoRAModels
package import LoRATensor

/// A model whose adapters are to be merged, and the form it is to have.
package struct MergedModel {
  private let source: ModelSource
  /// What every tensor is rounded to.
  package let dtype: DType
  /// Bytes of the weights in the folder.
  package var byteCount: Int {
    parameters.reduce(0) { $0 + dtype.byteCount(of: $1.shape.count) }
  }
  /// Whether the input and output embedding are one tensor in the folder.
  package let tiesEmbeddings: Bool

  private let parameters: [MergedParameter]

  /// - Parameters:
  ///   - network: the model of `source` with its adapters.
  ///   - adapters: the names of those to merge.
  ///   - dtype: float32, float16 or bfloat16; nil: the one type of the base's matrices, or float32
  ///     where they are quantised or of several types.
  /// - Throws: `AdapterError` where the model has no place for what an adapter adds.
  package init(
    _ network: Llama, of source: ModelSource, adapters: [String], dtype: DType? = nil
  ) throws {
    var parameters = try network.mergedParameters(Set(adapters))
    let types = Set(parameters.filter { $0.shape.rank > 1 }.map(\.baseType))
    self.source = source
    self.dtype = dtype ?? (types.count == 1 ? types.first { !$0.isQuantized } : nil) ?? .float32
    var isTied = network.configuration.tiesEmbeddings
    if isTied, let table = parameters.first(where: { $0.path == "model.embed_tokens.weight" }),
      let head = parameters.firstIndex(where: { $0.path == "lm_head.weight" })
    {
      // An adapter of one side would change both, were they still one tensor.
      isTied = !(table.isChanged || parameters[head].isChanged) || table.equals(parameters[head])
      if isTied { parameters.remove(at: head) }
    }
    tiesEmbeddings = isTied
    self.parameters = parameters
  }

  /// Writes the files into a folder that is there: configuration and tokenizer first.
  ///
  /// One block of rows exists in memory at a time.
  /// - Parameter onProgress: receives the bytes of weights done; what it throws ends the work.
  /// - Throws: `AdapterError` naming a value that the type cannot hold; `ModelFileError` for what
  ///   cannot be said in the folder's files; `OutputFileError`.
  package func write(
    to folder: String, maximumShardBytes: Int, onProgress: @escaping (Int) throws -> Void
  ) throws {
    try ModelFolderText(source).write(to: folder, dtype: dtype, tiesEmbeddings: tiesEmbeddings)
    var writer = SafeTensorsShardsWriter()
    let done = Counter()
    for parameter in parameters {
      let dtype = dtype
      writer.add(parameter.path, shape: parameter.shape, dtype: dtype) { sink in
        try parameter.forEachBlock(as: dtype) { block in
          let bytes = StoredTensor(block)
          try bytes.withBytes { try sink.write($0) }
          done.count += bytes.byteCount
          try onProgress(done.count)
        }
      }
    }
    try writer.write(to: folder, maximumShardBytes: maximumShardBytes)
  }

  private final class Counter {
    var count = 0
  }
}
