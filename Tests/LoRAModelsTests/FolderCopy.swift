// A copy of a folder of Fixtures/folder, to be spoilt by a test.

import Foundation
import LoRAFormats
import LoRAJSON
import LoRATensor
import LoRATestSupport
import Testing

struct FolderCopy {
  let folder: TemporaryFolder

  init(_ name: String) throws {
    folder = try TemporaryFolder()
    let source = Fixture.path("folder/" + name)
    for file in try FileManager.default.contentsOfDirectory(atPath: source) {
      try FileManager.default.copyItem(atPath: source + "/" + file, toPath: folder.file(file))
    }
  }

  func remove(_ name: String) throws {
    try FileManager.default.removeItem(atPath: folder.file(name))
  }

  func cut(_ name: String, to count: Int) throws {
    let bytes = try Data(contentsOf: URL(fileURLWithPath: folder.file(name)))
    try folder.write(Array(bytes.prefix(count)), to: name)
  }

  func edit(_ name: String, _ change: (inout JSONObject) throws -> Void) throws {
    let bytes = try Data(contentsOf: URL(fileURLWithPath: folder.file(name)))
    var object = try #require(try JSONValue(parsing: bytes).objectValue)
    try change(&object)
    try folder.write(
      Array(JSONValue.object(object).serialized(.indented(2)).utf8), to: name)
  }

  /// Writes a safetensors file again with other tensors.
  func rewrite(_ name: String, _ change: (inout [String: Tensor]) throws -> Void) throws {
    let file = try SafeTensorsFile(contentsOf: folder.file(name))
    var tensors: [String: Tensor] = [:]
    for name in file.tensorNames {
      let stored = try file.bytes(of: name)
      tensors[name] =
        Tensor(
          storage: stored.storage, byteOffset: stored.byteOffset, shape: stored.shape,
          dtype: stored.dtype
        ).copied()
    }
    try change(&tensors)
    var writer = SafeTensorsWriter()
    for (name, tensor) in tensors.sorted(by: { $0.key < $1.key }) {
      writer.add(name, StoredTensor(tensor))
    }
    try writer.write(to: folder.file(name))
  }
}
