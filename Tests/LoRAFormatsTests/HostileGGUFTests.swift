// Files that lie about themselves: each is refused with a message that says where.

import LoRAFormats
import LoRATestSupport
import Testing

/// One malformed file and the message that it is refused with when it is opened.
struct HostileGGUF: Sendable, CustomTestStringConvertible {
  let name: String
  let message: String
  let bytes: [UInt8]

  init(_ name: String, _ message: String, _ build: (inout RawGGUF) -> Void) {
    self.name = name
    self.message = message
    self.bytes = RawGGUF(build).bytes
  }

  var testDescription: String { name }
}

private let huge: UInt64 = 1 << 60
private let negative = UInt64(bitPattern: -1)

private let headerCases: [HostileGGUF] = [
  HostileGGUF("three bytes", "the file ends at byte 3, inside of the magic number") {
    $0.bytes = Array("GGU".utf8)
  },
  HostileGGUF(
    "another magic", "this is not a GGUF file: it starts with 67 67 6D 6C, not with GGUF"
  ) { $0.bytes = Array("ggml1234".utf8) },
  HostileGGUF(
    "low bytes in the magic", "this is not a GGUF file: it starts with 00 01 0A FF, not with GGUF"
  ) { $0.bytes = [0, 1, 10, 255, 0] },
  HostileGGUF("magic alone", "the file ends at byte 4, inside of the version") {
    $0.bytes = Array("GGUF".utf8)
  },
  HostileGGUF("version 0", "GGUF version 0 is not read; supported: 2, 3") {
    $0.header(tensors: 0, entries: 0, version: 0)
  },
  HostileGGUF("version 1", "GGUF version 1 is not read; supported: 2, 3") {
    $0.header(tensors: 0, entries: 0, version: 1)
  },
  HostileGGUF("version 4", "GGUF version 4 is not read; supported: 2, 3") {
    $0.header(tensors: 0, entries: 0, version: 4)
  },
  HostileGGUF("big-endian", "this GGUF file is big-endian (version 3), which is not read") {
    $0.header(tensors: 0, entries: 0, version: UInt32(3).byteSwapped)
  },
  HostileGGUF("version 2^32 - 1", "GGUF version 4294967295 is not read; supported: 2, 3") {
    $0.header(tensors: 0, entries: 0, version: .max)
  },
  HostileGGUF("no counts", "the file ends at byte 8, inside of the number of tensors") {
    $0.bytes = Array("GGUF".utf8) + [3, 0, 0, 0]
  },
  HostileGGUF(
    "one count", "the file ends at byte 16, inside of the number of metadata entries"
  ) {
    $0.bytes = Array("GGUF".utf8) + [3, 0, 0, 0]
    $0.u64(0)
  },
  HostileGGUF(
    "2^60 tensors",
    "the number of tensors is 1152921504606846976, more than the 8 bytes behind it can hold"
  ) { $0.header(tensors: huge, entries: 0) },
  HostileGGUF(
    "-1 tensors",
    "the number of tensors is 18446744073709551615, more than the 8 bytes behind it can hold"
  ) { $0.header(tensors: negative, entries: 0) },
  HostileGGUF(
    "one tensor too many",
    "the number of tensors is 3, more than the 74 bytes behind it can hold"
  ) {
    $0.header(tensors: 3, entries: 0)
    $0.zeros(66)
  },
  HostileGGUF(
    "2^60 entries",
    "the number of metadata entries is 1152921504606846976, "
      + "more than the 0 bytes behind it can hold"
  ) { $0.header(tensors: 0, entries: huge) },
]

/// A file with one metadata entry, and room behind it so that its count is believed.
private func entry(
  _ name: String, _ message: String, _ build: @escaping (inout RawGGUF) -> Void
) -> HostileGGUF {
  HostileGGUF(name, message) {
    $0.header(tensors: 0, entries: 1)
    build(&$0)
  }
}

private let metadataCases: [HostileGGUF] = [
  entry(
    "key of 2^60 bytes",
    "the length of the key of metadata entry 0 is 1152921504606846976, "
      + "more than the 12 bytes behind it can hold"
  ) {
    $0.u64(huge)
    $0.zeros(12)
  },
  entry(
    "key of -1 bytes",
    "the length of the key of metadata entry 0 is 18446744073709551615, "
      + "more than the 12 bytes behind it can hold"
  ) {
    $0.u64(negative)
    $0.zeros(12)
  },
  entry(
    "key one byte beyond the end",
    "the length of the key of metadata entry 0 is 13, more than the 12 bytes behind it can hold"
  ) {
    $0.u64(13)
    $0.zeros(12)
  },
  entry("empty key", "the key of metadata entry 0 is empty") {
    $0.key("", type: 4)
    $0.zeros(8)
  },
  entry("key of 65536 bytes", "the key of metadata entry 0 has 65536 bytes; GGUF allows 65535") {
    $0.key(String(repeating: "k", count: 65536), type: 4)
    $0.u32(0)
  },
  entry("key that is not UTF-8", "the key of metadata entry 0 is not UTF-8") {
    $0.u64(3)
    $0.bytes += [0xF0, 0x9F, 0x98]
    $0.zeros(8)
  },
  HostileGGUF("duplicate key", "metadata key a.b occurs twice") {
    $0.header(tensors: 0, entries: 2)
    for _ in 0..<2 {
      $0.key("a.b", type: 4)
      $0.u32(1)
    }
  },
  entry("value type 13", "the type of a.b is 13, which GGUF does not have") {
    $0.key("a.b", type: 13)
    $0.u32(1)
  },
  entry("value type 2^32 - 1", "the type of a.b is 4294967295, which GGUF does not have") {
    $0.key("a.b", type: .max)
    $0.u32(1)
  },
  entry("no value type", "the file ends at byte 41, inside of the type of long.key") {
    $0.string("long.key")
    $0.u8(4)
  },
  entry("half a value", "the file ends at byte 48, inside of the value of long.key") {
    $0.key("long.key", type: 10)
    $0.u32(4)
  },
  entry(
    "string of 2^60 bytes",
    "the length of the value of a.b is 1152921504606846976, more than the 3 bytes behind it can hold"
  ) {
    $0.key("a.b", type: 8)
    $0.u64(huge)
    $0.zeros(3)
  },
  entry("array without a type", "the file ends at byte 41, inside of the element type of a.b") {
    $0.key("a.b", type: 9)
    $0.zeros(2)
  },
  entry("array of unknown", "the element type of a.b is 77, which GGUF does not have") {
    $0.array("a.b", elementType: 77, count: 0)
  },
  entry("array of arrays", "a.b is an array of arrays, which GGUF does not allow here") {
    $0.array("a.b", elementType: 9, count: 1)
    $0.zeros(12)
  },
  entry(
    "array of 2^60 bytes",
    "the length of array a.b is 1152921504606846976, more than the 0 bytes behind it can hold"
  ) { $0.array("a.b", elementType: 0, count: huge) },
  entry(
    "array whose bytes overflow 64 bits",
    "the length of array a.b is 2305843009213693953, more than the 8 bytes behind it can hold"
  ) {
    $0.array("a.b", elementType: 10, count: (1 << 61) + 1)
    $0.zeros(8)
  },
  entry(
    "array one element too long",
    "the length of array a.b is 3, more than the 11 bytes behind it can hold"
  ) {
    $0.array("a.b", elementType: 6, count: 3)
    $0.zeros(11)
  },
  entry(
    "2^60 strings",
    "the length of array a.b is 1152921504606846976, more than the 8 bytes behind it can hold"
  ) {
    $0.array("a.b", elementType: 8, count: huge)
    $0.zeros(8)
  },
  entry(
    "string in an array beyond the end",
    "the length of a.b[1] is 9, more than the 1 bytes behind it can hold"
  ) {
    $0.array("a.b", elementType: 8, count: 2)
    $0.string("x")
    $0.u64(9)
    $0.u8(0)
  },
  entry("strings that stop", "the file ends at byte 67, inside of the length of a.b[1]") {
    $0.array("a.b", elementType: 8, count: 2)
    $0.string("12345678")
  },
]

private let alignments: [UInt64] = [0, 1, 4, 24, 33, 1 << 31]
private let alignmentCases: [HostileGGUF] =
  alignments.map { value in
    entry(
      "alignment \(value)", "general.alignment is \(value), not a power of two from 8 to 2^30"
    ) {
      $0.key("general.alignment", type: 10)
      $0.u64(value)
    }
  } + [
    entry("alignment -8", "general.alignment is -8, not a power of two from 8 to 2^30") {
      $0.key("general.alignment", type: 5)
      $0.u32(UInt32(bitPattern: -8))
    },
    entry(
      "alignment beyond 2^63",
      "metadata key general.alignment is 18446744073709551615, beyond 2^63"
    ) {
      $0.key("general.alignment", type: 10)
      $0.u64(negative)
    },
    entry("alignment as text", "metadata key general.alignment is string, not an integer") {
      $0.key("general.alignment", type: 8)
      $0.string("32")
    },
  ]

private let allCases = headerCases + metadataCases + alignmentCases + tensorCases

/// A file with the given tensor entries and `data` bytes behind them.
private func tensors(
  _ name: String, _ message: String, count: UInt64 = 1, data: Int = 64,
  _ build: @escaping (inout RawGGUF) -> Void
) -> HostileGGUF {
  HostileGGUF(name, message) {
    $0.header(tensors: count, entries: 0)
    build(&$0)
    $0.pad()
    $0.zeros(data)
  }
}

private let tensorCases: [HostileGGUF] = [
  HostileGGUF(
    "tensor name of 2^60 bytes",
    "the length of the name of tensor 0 is 1152921504606846976, "
      + "more than the 40 bytes behind it can hold"
  ) {
    $0.header(tensors: 1, entries: 0)
    $0.u64(huge)
    $0.zeros(40)
  },
  tensors("tensor without a name", "the name of tensor 0 is empty") {
    $0.tensor("", extents: [8])
  },
  tensors("tensor name of 65 bytes", "the name of tensor 0 has 65 bytes; GGUF allows 64") {
    $0.tensor(String(repeating: "n", count: 65), extents: [8])
  },
  tensors("tensor name that is not UTF-8", "the name of tensor 0 is not UTF-8") {
    $0.u64(2)
    $0.bytes += [0xC0, 0x80]
    $0.zeros(40)
  },
  tensors("duplicate tensor", "tensor w occurs twice", count: 2) {
    $0.tensor("w", extents: [8])
    $0.tensor("w", extents: [8], offset: 32)
  },
  tensors("five axes", "tensor w has 5 axes; GGUF allows 4") {
    $0.tensor("w", extents: [1, 1, 1, 1, 1])
  },
  tensors("2^32 - 1 axes", "tensor w has 4294967295 axes; GGUF allows 4") {
    $0.string("w")
    $0.u32(.max)
  },
  tensors("empty axis", "axis 1 of tensor w is empty") { $0.tensor("w", extents: [8, 0]) },
  tensors(
    "axis of -1", "tensor w has more than 2^63 elements: axis 0 is 18446744073709551615"
  ) { $0.tensor("w", extents: [negative]) },
  tensors(
    "shape that overflows", "tensor w has more than 2^63 elements: axis 1 is 4294967296"
  ) { $0.tensor("w", extents: [1 << 32, 1 << 32, 1, 1]) },
  tensors("bytes that overflow", "tensor w has more than 2^63 bytes") {
    $0.tensor("w", extents: [1 << 62])
  },
  tensors(
    "half a block", "rows of tensor w have 48 elements, not whole blocks of 32 (Q4_0)"
  ) { $0.tensor("w", extents: [48, 2], type: 2) },
  tensors(
    "scalar in blocks", "rows of tensor w have 1 elements, not whole blocks of 256 (Q4_K)"
  ) { $0.tensor("w", extents: [], type: 12) },
  tensors(
    "first offset not 0",
    "tensor w is at offset 32 of the data, not at 0, where the one before it ends"
  ) { $0.tensor("w", extents: [8], offset: 32) },
  tensors(
    "offset of 2^60",
    "tensor w is at offset 1152921504606846976 of the data, not at 0, where the one before it ends"
  ) { $0.tensor("w", extents: [8], offset: huge) },
  tensors(
    "offset of -1",
    "tensor w is at offset 18446744073709551615 of the data, not at 0, "
      + "where the one before it ends"
  ) { $0.tensor("w", extents: [8], offset: negative) },
  tensors(
    "overlap", "tensor w is at offset 0 of the data, not at 32, where the one before it ends",
    count: 2
  ) {
    $0.tensor("v", extents: [8])
    $0.tensor("w", extents: [8], offset: 0)
  },
  tensors(
    "gap", "tensor w is at offset 64 of the data, not at 32, where the one before it ends",
    count: 2, data: 128
  ) {
    $0.tensor("v", extents: [8])
    $0.tensor("w", extents: [8], offset: 64)
  },
  tensors(
    "offset not aligned",
    "tensor w is at offset 28 of the data, not at 32, where the one before it ends", count: 2
  ) {
    $0.tensor("v", extents: [7])
    $0.tensor("w", extents: [8], offset: 28)
  },
  tensors(
    "offset not aligned behind an unknown type",
    "tensor w is at offset 33 of the data, which is no multiple of 32 behind the tensor before it",
    count: 2
  ) {
    $0.tensor("v", extents: [8], type: 99)
    $0.tensor("w", extents: [1], offset: 33)
  },
  tensors(
    "offset before an unknown type",
    "tensor x is at offset 0 of the data, which is no multiple of 32 behind the tensor before it",
    count: 3
  ) {
    $0.tensor("v", extents: [8])
    $0.tensor("w", extents: [8], type: 99, offset: 32)
    $0.tensor("x", extents: [1], offset: 0)
  },
  tensors(
    "offset of 2^63 behind an unknown type",
    "the file is cut off: tensor w has 32 bytes at offset 9223372036854775776, "
      + "but the file has 64 bytes of tensor data",
    count: 2
  ) {
    $0.tensor("v", extents: [8], type: 99)
    $0.tensor("w", extents: [8], offset: (1 << 63) - 32)
  },
  tensors(
    "one byte short",
    "the file is cut off: tensor w has 32 bytes at offset 0, "
      + "but the file has 31 bytes of tensor data", data: 31
  ) { $0.tensor("w", extents: [8]) },
  tensors(
    "huge tensor in a small file",
    "the file is cut off: tensor w has 4611686018427387904 bytes at offset 0, "
      + "but the file has 64 bytes of tensor data"
  ) { $0.tensor("w", extents: [1 << 60]) },
  tensors(
    "second tensor cut off",
    "the file is cut off: tensor w has 32 bytes at offset 32, "
      + "but the file has 63 bytes of tensor data", count: 2, data: 63
  ) {
    $0.tensor("v", extents: [8])
    $0.tensor("w", extents: [8], offset: 32)
  },
  HostileGGUF(
    "no padding and no data",
    "the file is cut off: tensor w has 32 bytes at offset 0, "
      + "but the file has 0 bytes of tensor data"
  ) {
    $0.header(tensors: 1, entries: 0)
    $0.tensor("w", extents: [8])
  },
  HostileGGUF(
    "tensor entry that stops", "the file ends at byte 56, inside of the offset of tensor w"
  ) {
    $0.header(tensors: 1, entries: 0)
    $0.tensor("w", extents: [8])
    $0.bytes.removeLast()
  },
]

@Suite("Malformed GGUF files")
struct HostileGGUFTests {
  @Test("is refused, and says where", arguments: allCases)
  func refuses(_ hostile: HostileGGUF) throws {
    let folder = try TemporaryFolder()
    let path = try folder.write(hostile.bytes, to: "hostile.gguf")
    let error = #expect(throws: ModelFileError.self) { try GGUFFile(contentsOf: path) }
    #expect(error?.message == hostile.message)
    #expect(error?.file == path)
    #expect(error?.hint.isEmpty == false)
  }

  @Test("There are enough of them, no two alike")
  func count() {
    #expect(allCases.count >= 40)
    #expect(Set(allCases.map(\.bytes)).count == allCases.count)
  }

  @Test("Every proper prefix of a correct file is refused")
  func prefixes() throws {
    let folder = try TemporaryFolder()
    _ = try GGUFFile(contentsOf: folder.write(RawGGUF.valid.bytes, to: "whole.gguf"))
    for length in 1..<RawGGUF.valid.bytes.count {
      let path = try folder.write(Array(RawGGUF.valid.bytes.prefix(length)), to: "part.gguf")
      #expect(throws: ModelFileError.self, "\(length) bytes") { try GGUFFile(contentsOf: path) }
    }
  }
}
