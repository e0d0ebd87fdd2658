// GGUF files that are correct: metadata of every type, tensors, the real model, writing.

import Foundation
import LoRAFormats
import LoRATensor
import LoRATestSupport
import Testing

@Suite("GGUFFile")
struct GGUFFileTests {
  @Test("Metadata that the gguf package wrote")
  func metadata() throws {
    let file = try GGUFFile(contentsOf: Fixture.path("formats/blocks.gguf"))
    #expect(file.version == 3)
    #expect(try file.string("general.architecture") == "llama")
    #expect(try file.string("test.text") == "größer 🎈")
    let integers: [(String, Int)] = [
      ("u8", 200), ("i8", -100), ("u16", 60000), ("i16", -30000), ("u32", 4_000_000_000),
      ("i32", -2_000_000_000), ("u64", 1 << 40), ("i64", -(1 << 40)),
    ]
    for (key, value) in integers {
      #expect(try file.integer("test." + key) == value, "\(key)")
      #expect(try file.float("test." + key) == Double(value), "\(key)")
      #expect(try file.integers("test." + key) == [value], "\(key)")
    }
    #expect(try file.float("test.f32") == Double(Float(1e-5)))
    #expect(try file.float("test.f64") == 0.1)
    #expect(try file.bool("test.yes") == true)
    #expect(try file.bool("test.no") == false)
    #expect(try file.strings("test.strings") == ["a", "", "ß", "<|im_end|>", "Ġthe"])
    #expect(try file.int32s("test.ints") == [1, -2, 3])
    #expect(try file.floats("test.floats") == [0.5, -1.25])
    #expect(file.keys.contains("test.ints"))
    #expect(file.type(of: "test.strings")?.type == .string)
    #expect(file.type(of: "test.strings")?.count == 5)
    #expect(try file.value("test.i16") == .int16(-30000))
    #expect(try file.value("test.floats") == .float32s([0.5, -1.25]))
  }

  @Test("Absent keys are nil; required ones say which")
  func absent() throws {
    let file = try GGUFFile(contentsOf: Fixture.path("formats/blocks.gguf"))
    #expect(try file.string("no.such") == nil)
    #expect(try file.integer("no.such") == nil)
    #expect(try file.float("no.such") == nil)
    #expect(try file.bool("no.such") == nil)
    #expect(try file.strings("no.such") == nil)
    #expect(try file.integers("no.such") == nil)
    #expect(try file.floats("no.such") == nil)
    #expect(try file.value("no.such") == nil)
    #expect(file.type(of: "no.such") == nil)
    #expect(try file.required("test.u8", file.integer) == 200)
    let error = #expect(throws: ModelFileError.self) {
      try file.required("no.such", file.integer)
    }
    #expect(error?.message == "metadata key no.such is missing")
  }

  struct WrongKind: Sendable {
    let message: String
    let access: @Sendable (GGUFFile) throws -> Void

    init(_ message: String, _ access: @escaping @Sendable (GGUFFile) throws -> Void) {
      self.message = message
      self.access = access
    }
  }

  @Test(
    "Values of another kind than asked for",
    arguments: [
      WrongKind("metadata key s is string, not an integer", { _ = try $0.integer("s") }),
      WrongKind("metadata key b is bool, not an integer", { _ = try $0.integer("b") }),
      WrongKind("metadata key s is string, not a number", { _ = try $0.float("s") }),
      WrongKind("metadata key u is uint64, not a Boolean", { _ = try $0.bool("u") }),
      WrongKind("metadata key u is uint64, not a string", { _ = try $0.string("u") }),
      WrongKind("metadata key a is an array of int64, not a string", { _ = try $0.string("a") }),
      WrongKind(
        "metadata key a is an array of int64, not an array of strings", { _ = try $0.strings("a") }),
      WrongKind("metadata key s is string, not integers", { _ = try $0.integers("s") }),
      WrongKind(
        "metadata key f is an array of float32, not integers", { _ = try $0.integers("f") }),
      WrongKind(
        "metadata key a is an array of int64, not an array of floats", { _ = try $0.floats("a") }),
      WrongKind("metadata key u is 18446744073709551615, beyond 2^63", { _ = try $0.integer("u") }),
      WrongKind(
        "metadata key a has the element 4294967296, beyond 32 bits", { _ = try $0.int32s("a") }),
      WrongKind("metadata key b is a Boolean with the value 2", { _ = try $0.bool("b") }),
      WrongKind("metadata key b is a Boolean with the value 2", { _ = try $0.value("b") }),
      WrongKind("the value of s is not UTF-8", { _ = try $0.string("s") }),
      WrongKind("t[1] is not UTF-8", { _ = try $0.strings("t") }),
    ])
  func wrongKinds(wrong: WrongKind) throws {
    let raw = RawGGUF {
      $0.header(tensors: 0, entries: 6)
      $0.key("s", type: 8)
      $0.u64(2)
      $0.bytes += [0xFF, 0x41]
      $0.key("b", type: 7)
      $0.u8(2)
      $0.key("u", type: 10)
      $0.u64(.max)
      $0.array("a", elementType: 11, count: 1)
      $0.u64(1 << 32)
      $0.array("f", elementType: 6, count: 1)
      $0.u32(0)
      $0.array("t", elementType: 8, count: 2)
      $0.string("fine")
      $0.u64(1)
      $0.bytes += [0x80]
    }
    let folder = try TemporaryFolder()
    let file = try GGUFFile(contentsOf: folder.write(raw.bytes, to: "kinds.gguf"))
    let error = #expect(throws: ModelFileError.self) { try wrong.access(file) }
    #expect(error?.message == wrong.message)
  }

  @Test("Tensors are views of the mapping with the last axis contiguous")
  func tensors() throws {
    let folder = try TemporaryFolder()
    let file = try GGUFFile(contentsOf: folder.write(RawGGUF.valid.bytes, to: "valid.gguf"))
    #expect(file.tensorNames == ["norm.weight", "blk.0.attn_q.weight"])
    let query = try file.bytes(of: "blk.0.attn_q.weight")
    #expect(query.shape == [2, 32])
    #expect(query.dtype == .q4_1)
    #expect(query.withBytes { Array($0) } == (0..<40).map { UInt8($0) })
    let norm = try file.bytes(of: "norm.weight")
    #expect(norm.withBytes { Array($0.bindMemory(to: Float.self)) } == [1, 2, 3])
    let mapped = file.file.bytes.baseAddress.map { UnsafeRawPointer($0) }
    #expect(UnsafeRawPointer(norm.storage.pointer) == mapped)
  }

  @Test("The storage outlives the file object")
  func lifetime() throws {
    let folder = try TemporaryFolder()
    let path = try folder.write(RawGGUF.valid.bytes, to: "valid.gguf")
    let norm = try GGUFFile(contentsOf: path).bytes(of: "norm.weight")
    #expect(norm.withBytes { Array($0.bindMemory(to: Float.self)) } == [1, 2, 3])
  }

  @Test("Types that are not read are refused when asked for, not before")
  func unsupportedTypes() throws {
    let raw = RawGGUF {
      $0.header(tensors: 3, entries: 0)
      $0.tensor("blk.0.attn_q.weight", extents: [256], type: 12)
      $0.tensor("blk.0.attn_k.weight", extents: [8], type: 99, offset: 160)
      $0.tensor("good", extents: [8], offset: 192)
      $0.pad()
      $0.zeros(224)
    }
    let folder = try TemporaryFolder()
    let file = try GGUFFile(contentsOf: folder.write(raw.bytes, to: "types.gguf"))
    #expect(try file.bytes(of: "good").dtype == .float32)
    #expect(file.tensorInfo("blk.0.attn_k.weight")?.type.name == "type 99")
    for (name, type) in [("blk.0.attn_q.weight", "Q4_K"), ("blk.0.attn_k.weight", "type 99")] {
      let error = #expect(throws: ModelFileError.self) { try file.bytes(of: name) }
      #expect(
        error?.message == """
          tensor \(name) is stored as \(type), which this version does not read; \
          supported: F32, BF16, F16, I32, Q4_0, Q4_1, Q5_0, Q5_1, Q8_0
          """)
    }
    let error = #expect(throws: ModelFileError.self) { try file.bytes(of: "nothing") }
    #expect(error?.message == "there is no tensor nothing")
    #expect(error?.hint == "the file has 3 tensors; is it a model of this kind?")
  }

  @Test("Version 2, another alignment, and no tensors at all")
  func variants() throws {
    let folder = try TemporaryFolder()
    let raw = RawGGUF {
      $0.header(tensors: 2, entries: 1, version: 2)
      $0.key("general.alignment", type: 4)
      $0.u32(64)
      $0.tensor("v", extents: [1])
      $0.tensor("w", extents: [2], offset: 64)
      $0.pad(to: 64)
      $0.u32(Float(5).bitPattern)
      $0.pad(to: 64)
      $0.u32(Float(6).bitPattern)
      $0.u32(Float(7).bitPattern)
    }
    let file = try GGUFFile(contentsOf: folder.write(raw.bytes, to: "v2.gguf"))
    #expect(file.version == 2)
    #expect(
      try file.bytes(of: "w").withBytes { Array($0.bindMemory(to: Float.self)) } == [6, 7])
    let empty = RawGGUF { $0.header(tensors: 0, entries: 0) }
    #expect(try GGUFFile(contentsOf: folder.write(empty.bytes, to: "e.gguf")).tensors.isEmpty)
  }

  @Test("The demo model opens, with all of its vocabulary, in well under a second")
  func demoModel() throws {
    guard let path = demoModelPath() else { return }
    let clock = ContinuousClock()
    var file: GGUFFile?
    let opening = try clock.measure { file = try GGUFFile(contentsOf: path) }
    let model = try #require(file)
    var tokens: [String] = []
    let decoding = try clock.measure {
      tokens = try model.required("tokenizer.ggml.tokens", model.strings)
    }
    #expect(tokens.count == 49152)
    #expect(Set(tokens).count == 49152)
    #expect(tokens[1] == "<|im_start|>")
    #expect(try model.integer("llama.block_count") == 30)
    #expect(model.tensors.count == 272)
    let query = try model.bytes(of: "blk.0.attn_k.weight")
    #expect(query.shape == [192, 576])
    #expect(query.dtype == .q4_1)
    print("demo model: opened in \(opening), 49152 tokens in \(decoding)")
    #expect(opening < .seconds(0.5))
    #expect(decoding < .seconds(0.5))
  }
}

@Suite("Large vocabularies")
struct LargeVocabularyTests {
  @Test("262144 tokens are found and decoded quickly")
  func time() throws {
    let raw = RawGGUF {
      $0.header(tensors: 0, entries: 1)
      $0.array("tokenizer.ggml.tokens", elementType: 8, count: 262_144)
      for index in 0..<262_144 { $0.string("▁token\(index)") }
    }
    let folder = try TemporaryFolder()
    let path = try folder.write(raw.bytes, to: "vocabulary.gguf")
    let clock = ContinuousClock()
    var tokens: [String] = []
    let opening = try clock.measure { _ = try GGUFFile(contentsOf: path) }
    let both = try clock.measure {
      tokens = try GGUFFile(contentsOf: path).strings("tokenizer.ggml.tokens") ?? []
    }
    #expect(tokens.count == 262_144)
    #expect(tokens.last == "▁token262143")
    print("262144 tokens: opened in \(opening), opened and decoded in \(both)")
    // Ten times what it takes, for a machine that is busy with other tests.
    #expect(both < .seconds(1))
  }
}

@Suite("GGUFWriter")
struct GGUFWriterTests {
  @Test("What is written is read back")
  func roundTrip() throws {
    let folder = try TemporaryFolder()
    let path = outputPath("written.gguf", else: folder)
    let values: [(String, GGUFValue)] = [
      ("general.architecture", .string("llama")), ("t.u8", .uint8(.max)), ("t.i8", .int8(.min)),
      ("t.u16", .uint16(.max)), ("t.i16", .int16(.min)), ("t.u32", .uint32(.max)),
      ("t.i32", .int32(.min)), ("t.u64", .uint64(1 << 63)), ("t.i64", .int64(.min)),
      ("t.f32", .float32(0.1)), ("t.f64", .float64(0.1)), ("t.yes", .bool(true)),
      ("t.text", .string("größer 🎈\n")), ("t.strings", .strings(["", "a", "Ġb", "日本"])),
      ("t.int32s", .int32s([1, -1, .min])), ("t.floats", .float32s([0.5, -0.0])),
      ("t.bools", .array(.bool, [.bool(true), .bool(false)])),
      ("t.empty", .array(.uint16, [])),
    ]
    let numbers = (0..<192).map { Float(sin(Double($0))) }
    var writer = GGUFWriter()
    for (key, value) in values { writer.set(key, value) }
    for dtype in DType.allCases where dtype != .int32 {
      writer.add("w.\(dtype.rawValue)", try StoredTensor(numbers, shape: [2, 96], dtype: dtype))
    }
    writer.add("odd", try StoredTensor([1, 2, 3], shape: [3], dtype: .float16))
    writer.add("integers", try StoredTensor([1, -2, 3], shape: [3, 1], dtype: .int32))
    try writer.write(to: path)

    let file = try GGUFFile(contentsOf: path)
    #expect(file.keys == values.map(\.0))
    for (key, value) in values { #expect(try file.value(key) == value, "\(key)") }
    #expect(file.tensors.count == DType.allCases.count + 1)
    for dtype in DType.allCases where dtype != .int32 {
      let stored = try file.bytes(of: "w.\(dtype.rawValue)")
      let expected = try StoredTensor(numbers, shape: [2, 96], dtype: dtype)
      #expect(stored.shape == [2, 96])
      #expect(stored.dtype == dtype)
      #expect(stored.withBytes { Array($0) } == expected.withBytes { Array($0) }, "\(dtype)")
    }
    #expect(try file.bytes(of: "integers").shape == [3, 1])
  }
}

/// A path for a file that `Scripts/fixtures/check_formats.py` reads: in the folder that
/// LORA_FORMATS_OUT names, or else in the test's own folder.
func outputPath(_ name: String, else folder: TemporaryFolder) -> String {
  if let shared = ProcessInfo.processInfo.environment["LORA_FORMATS_OUT"], !shared.isEmpty {
    return shared + "/" + name
  }
  return folder.file(name)
}
