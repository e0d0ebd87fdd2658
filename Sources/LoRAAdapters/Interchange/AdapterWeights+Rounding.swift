// Adapters in another element type: float16 or bfloat16 for small files, float32 for all readers.

import LoRAFormats
import LoRAJSON
import LoRATensor

extension AdapterWeights {
  /// The same adapter in one element type; nil: in the types that it has.
  ///
  /// - Throws: `AdapterError` naming the first number that the type cannot hold.
  mutating func round(to dtype: DType?, _ report: inout FoldingReport) throws {
    guard let dtype else { return }
    for index in modules.indices {
      let path = modules[index].path
      modules[index].a = try modules[index].a.rounded(to: dtype, "A of \(path)", source, &report)
      modules[index].b = try modules[index].b.rounded(to: dtype, "B of \(path)", source, &report)
      modules[index].magnitude = try modules[index].magnitude?.rounded(
        to: dtype, "DoRA's magnitude of \(path)", source, &report)
    }
  }

  /// PEFT's folder as it is, with everything that it holds, in one element type.
  ///
  /// - Throws: `AdapterError` naming the tensor with a number that the type cannot hold.
  func retyped(
    _ dtype: DType
  ) throws -> (writer: SafeTensorsWriter, configuration: String, report: FoldingReport) {
    let file = try SafeTensorsFile(contentsOf: source)
    var report = FoldingReport()
    // "format" first, as everybody writes it: with the same type, the file is the same.
    let metadata = file.metadata.sorted {
      ($0.key == "format" ? 0 : 1, $0.key) < ($1.key == "format" ? 0 : 1, $1.key)
    }
    var writer = SafeTensorsWriter(metadata: metadata.map { ($0.key, $0.value) })
    for info in file.tensors {
      let tensor = try Tensor.factor(info.name, in: file)
      let name = "the tensor \(info.name.shortened)"
      writer.add(info.name, StoredTensor(try tensor.rounded(to: dtype, name, source, &report)))
    }
    let configuration = try MappedFile(
      path: AdapterFile.path(source.folderOfPath, AdapterFile.configurationName))
    return (writer, String(decoding: configuration.bytes, as: UTF8.self), report)
  }
}

extension Tensor {
  /// The tensor in a dense type, each number rounded once.
  fileprivate func rounded(
    to dtype: DType, _ name: String, _ file: String, _ report: inout FoldingReport
  ) throws -> Tensor {
    guard dtype != self.dtype else { return self }
    let wide = converted(to: .float32)
    if let (index, value) = wide.firstElement(beyond: dtype) {
      throw AdapterError(
        file: file,
        message: "\(name) has the value \(value) at \(index), beyond what \(dtype.name) holds",
        hint: "take --dtype bf16 or f32")
    }
    let result = wide.converted(to: dtype)
    let back = result.converted(to: .float32)
    var changed = 0
    withExtendedLifetime((wide, back)) {
      for index in 0..<count where wide.floats[index] != back.floats[index] {
        changed += 1
        if back.floats[index] == 0 { report.vanished += 1 }
      }
    }
    if changed > 0 { report.narrowed += 1 }
    return result
  }
}
