// safetensors files: the library's files read, ours identical to the library's, hostile ones refused.

import Foundation
import LoRAFormats
import LoRATensor
import LoRATestSupport
import Testing

@Suite("SafeTensorsFile")
struct SafeTensorsFileTests {
  @Test("Tensors that the library wrote")
  func reads() throws {
    let file = try SafeTensorsFile(contentsOf: Fixture.path("formats/dtypes.safetensors"))
    #expect(file.metadata == ["format": "pt"])
    #expect(
      Set(file.tensorNames) == [
        "b.weight", "a.weight", "scalar", "half", "brain", "ünï \"quoted\"\\\n", "integers",
        "small", "bytes",
      ])
    #expect(try file.bytes(of: "b.weight").shape == [4, 3])
    #expect(try file.bytes(of: "scalar").shape == [])
    #expect(try file.bytes(of: "brain").dtype == .bfloat16)
    #expect(try file.bytes(of: "half").dtype == .float16)
    #expect(try file.bytes(of: "small").dtype == .int32)
    let fixture = try FixtureTensors("formats/dtypes.safetensors")
    #expect(try fixture.floats("scalar") == [2.5])
    #expect(try fixture.integers("integers") == [0, 1, 2, 3, 4, 5])
    #expect(try fixture.shape("integers") == [2, 3])
    #expect(try fixture.integers("small") == [0, 1, 2, 3, 4])
    #expect(try fixture.bytes("bytes") == [0, 1, 2])
    #expect(try fixture.floats("a.weight") == Array(try fixture.floats("b.weight").prefix(6)))
    expectClose(
      actual: try fixture.floats("half"), expected: Array(try fixture.floats("b.weight").prefix(3)),
      atol: 0, rtol: 0x1p-11, name: "half")
  }

  @Test("Known types that are not read are refused when asked for")
  func unsupported() throws {
    let file = try SafeTensorsFile(contentsOf: Fixture.path("formats/dtypes.safetensors"))
    let error = #expect(throws: ModelFileError.self) { try file.bytes(of: "integers") }
    #expect(
      error?.message == """
        tensor integers is stored as I64, which this version does not read; \
        supported: F16, BF16, I32, F32
        """)
    let missing = #expect(throws: ModelFileError.self) { try file.bytes(of: "nothing") }
    #expect(missing?.message == "there is no tensor nothing")
  }

  @Test("A header that is not padded gives odd addresses: the tensor is a copy, with its values")
  func unaligned() throws {
    let folder = try TemporaryFolder()
    let header = #"{"w":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}"#
    for spaces in 0..<8 {
      let text = header + String(repeating: " ", count: spaces)
      let data: [UInt8] = [0, 0, 0x80, 0x3F, 0, 0, 0, 0x40]
      let path = try folder.write(safetensors(text, data), to: "odd.safetensors")
      let tensor = try SafeTensorsFile(contentsOf: path).bytes(of: "w")
      #expect(UInt(bitPattern: tensor.storage.pointer + tensor.byteOffset) % 4 == 0)
      #expect(tensor.withBytes { Array($0.bindMemory(to: Float.self)) } == [1, 2])
    }
  }

  @Test("Empty tensors, empty files, blanks and escapes")
  func unusual() throws {
    let folder = try TemporaryFolder()
    let cases: [(String, [String])] = [
      ("{}", []), (#"{ "a" : {"shape":[0, 5],"dtype":"F32","data_offsets":[0,0]} }"#, ["a"]),
      (#"{"\u0061\ud83c\udf88\/":{"dtype":"U8","shape":[0],"data_offsets":[0,0]}}"#, ["a🎈/"]),
      (#"{"__metadata__":{},"q":{"dtype":"BOOL","shape":[0],"data_offsets":[0,0]}}"#, ["q"]),
    ]
    for (header, names) in cases {
      let path = try folder.write(safetensors(header, []), to: "unusual.safetensors")
      #expect(try SafeTensorsFile(contentsOf: path).tensorNames == names)
    }
  }
}

@Suite("SafeTensorsWriter")
struct SafeTensorsWriterTests {
  @Test("Our file is the library's file, byte for byte")
  func identical() throws {
    let folder = try TemporaryFolder()
    let path = outputPath("written.safetensors", else: folder)
    let original = try SafeTensorsFile(contentsOf: Fixture.path("formats/floats.safetensors"))
    var writer = SafeTensorsWriter()
    // In another order than the file has.
    for name in original.tensorNames.sorted().reversed() {
      writer.add(name, try original.bytes(of: name))
    }
    try writer.write(to: path)
    let written = try Data(contentsOf: URL(fileURLWithPath: path))
    #expect(written == (try Fixture.data("formats/floats.safetensors")))
  }

  @Test("Files of any header length are padded and read back")
  func padding() throws {
    let folder = try TemporaryFolder()
    for length in 1...17 {
      var writer = SafeTensorsWriter(metadata: [])
      let name = String(repeating: "n", count: length)
      writer.add(name, try StoredTensor([1, 2, 3], shape: [3], dtype: .float32))
      try writer.write(to: folder.file("w.safetensors"))
      let file = try SafeTensorsFile(contentsOf: folder.file("w.safetensors"))
      #expect(file.tensors[0].byteOffset % 8 == 0)
      #expect(file.metadata.isEmpty)
      #expect(
        try file.bytes(of: name).withBytes { Array($0.bindMemory(to: Float.self)) } == [1, 2, 3])
    }
  }
}

/// The bytes of a file with the given header and data, whatever they are.
func safetensors(_ header: String, _ data: [UInt8]) -> [UInt8] {
  let text = Array(header.utf8)
  return withUnsafeBytes(of: UInt64(text.count).littleEndian) { Array($0) } + text + data
}
