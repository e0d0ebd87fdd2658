// safetensors files that lie about themselves: each is refused with a message that says where.

import LoRAFormats
import LoRATestSupport
import Testing

/// One malformed file and the message that it is refused with.
struct HostileSafeTensors: Sendable, CustomTestStringConvertible {
  let name: String
  let message: String
  let bytes: [UInt8]

  init(_ name: String, _ message: String, bytes: [UInt8]) {
    self.name = name
    self.message = message
    self.bytes = bytes
  }

  /// A file with a true header length and `data` zero bytes.
  init(_ name: String, _ message: String, _ header: String, data: Int = 8) {
    self.init(name, message, bytes: safetensors(header, [UInt8](repeating: 0, count: data)))
  }

  var testDescription: String { name }
}

private func length(_ value: UInt64, _ rest: [UInt8]) -> [UInt8] {
  withUnsafeBytes(of: value.littleEndian) { Array($0) } + rest
}

/// A header with the entry of one tensor `w`.
private func entry(_ fields: String) -> String { "{\"w\":{\(fields)}}" }

private let headerCases: [HostileSafeTensors] = [
  .init(
    "3 bytes", "the file has 3 bytes, not even the 8 of the header's length", bytes: [1, 2, 3]),
  .init(
    "header of 2^60 bytes",
    "the header is said to have 1152921504606846976 bytes, but 2 follow (and 100000000 are allowed)",
    bytes: length(1 << 60, Array("{}".utf8))),
  .init(
    "header of -1 bytes",
    "the header is said to have 18446744073709551615 bytes, but 2 follow "
      + "(and 100000000 are allowed)",
    bytes: length(.max, Array("{}".utf8))),
  .init(
    "header one byte too long",
    "the header is said to have 3 bytes, but 2 follow (and 100000000 are allowed)",
    bytes: length(3, Array("{}".utf8))),
  .init("empty header", "the header does not start with {", bytes: length(0, [1, 2])),
  .init("a GGUF file", "the header does not start with {", bytes: length(4, Array("GGUF".utf8))),
  .init("a list", "the header does not start with {", "[1]"),
  .init("a blank first", "the header does not start with {", " {}"),
  .init("JSON that ends", "'}' is missing at byte 7 of the header", #"{"w":{}"#),
  .init("key without value", "':' is missing at byte 4 of the header", #"{"w"}"#),
  .init("value that is missing", "the JSON ends at byte 5 of the header", #"{"w":"#),
  .init("string without end", "a string has no end at byte 4 of the header", #"{"w:"#),
  .init("two objects", "something follows the JSON object at byte 3 of the header", "{} {}"),
  .init("no JSON", "this is not JSON at byte 5 of the header", #"{"w":nothing}"#),
  .init("comma at the end", "'\"' is missing at byte 8 of the header", #"{"w":{},}"#),
  .init(
    "not UTF-8", "a string that is not UTF-8 ends at byte 4 of the header",
    bytes: length(8, [0x7B, 0x22, 0xFF, 0x22, 0x3A, 0x7B, 0x7D, 0x7D])),
  .init("newline in a name", "a control character is at byte 3 of the header", "{\"\n\":{}}"),
  .init("unknown escape", "an unknown escape sequence is at byte 3 of the header", #"{"\x":{}}"#),
  .init("half a surrogate", "half a surrogate pair is at byte 7 of the header", #"{"\ud800":{}}"#),
  .init(
    "deep nesting", "the JSON is nested too deeply at byte 12 of the header",
    #"{"w":"# + String(repeating: "[", count: 100_000)),
  .init(
    "duplicate tensor", "key \"w\" occurs twice at byte 57 of the header",
    #"{"w":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},"w":{"dtype":"F32","shape":[0],"#
      + #""data_offsets":[8,8]}}"#),
  .init(
    "duplicate key", "key \"dtype\" occurs twice at byte 27 of the header",
    entry(#""dtype":"F32","dtype":"F32","shape":[2],"data_offsets":[0,8]"#)),
  .init("metadata as text", "__metadata__ is not an object of strings", #"{"__metadata__":"pt"}"#),
  .init(
    "metadata with a number", "__metadata__ has a value for a that is not a string",
    #"{"__metadata__":{"a":1}}"#),
]

private let tensorCases: [HostileSafeTensors] = [
  .init("entry as number", "the entry of tensor w is not an object", #"{"w":5}"#),
  .init(
    "no dtype", "the entry of tensor w has no dtype", entry(#""shape":[2],"data_offsets":[0,8]"#)),
  .init(
    "no shape", "the entry of tensor w has no shape", entry(#""dtype":"F32","data_offsets":[0,8]"#)),
  .init(
    "no offsets", "the entry of tensor w has no data_offsets", entry(#""dtype":"F32","shape":[2]"#)),
  .init(
    "unknown key", "the entry of tensor w has the unknown key stride",
    entry(#""dtype":"F32","shape":[2],"data_offsets":[0,8],"stride":[1]"#)),
  .init(
    "unknown dtype", "tensor w has a dtype that safetensors does not have: F7",
    entry(#""dtype":"F7","shape":[2],"data_offsets":[0,8]"#)),
  .init(
    "dtype as number", "tensor w has a dtype that safetensors does not have",
    entry(#""dtype":32,"shape":[2],"data_offsets":[0,8]"#)),
  .init(
    "shape as number", "the shape of tensor w is not a list",
    entry(#""dtype":"F32","shape":2,"data_offsets":[0,8]"#)),
  .init(
    "negative extent",
    "the shape of tensor w has an element that is not an integer from 0 to 2^63 - 1",
    entry(#""dtype":"F32","shape":[-2],"data_offsets":[0,8]"#)),
  .init(
    "extent with a fraction",
    "the shape of tensor w has an element that is not an integer from 0 to 2^63 - 1",
    entry(#""dtype":"F32","shape":[2.0],"data_offsets":[0,8]"#)),
  .init(
    "extent of 2^64",
    "the shape of tensor w has an element that is not an integer from 0 to 2^63 - 1",
    entry(#""dtype":"F32","shape":[18446744073709551616],"data_offsets":[0,8]"#)),
  .init(
    "shape that overflows",
    "tensor w of shape [4294967296, 4294967296] has more than 2^63 bits",
    entry(#""dtype":"F32","shape":[4294967296,4294967296],"data_offsets":[0,8]"#)),
  .init(
    "shape that overflows beside an empty axis",
    "tensor w of shape [4294967296, 4294967296, 0] has more than 2^63 bits",
    entry(#""dtype":"F32","shape":[4294967296,4294967296,0],"data_offsets":[0,0]"#), data: 0),
  .init(
    "half a byte", "tensor w of shape [3] and type F4 ends within a byte",
    entry(#""dtype":"F4","shape":[3],"data_offsets":[0,1]"#), data: 1),
  .init(
    "one offset", "data_offsets of tensor w are [0], not a begin and an end",
    entry(#""dtype":"F32","shape":[2],"data_offsets":[0]"#)),
  .init(
    "offsets reversed", "data_offsets of tensor w are [8, 0], not a begin and an end",
    entry(#""dtype":"F32","shape":[2],"data_offsets":[8,0]"#)),
  .init(
    "offsets negative",
    "data_offsets of tensor w has an element that is not an integer from 0 to 2^63 - 1",
    entry(#""dtype":"F32","shape":[2],"data_offsets":[-8,0]"#)),
  .init(
    "offsets and shape", "tensor w has 8 bytes, but its shape [3] of F32 needs 12",
    entry(#""dtype":"F32","shape":[3],"data_offsets":[0,8]"#)),
  .init(
    "offsets and dtype", "tensor w has 8 bytes, but its shape [2] of BF16 needs 4",
    entry(#""dtype":"BF16","shape":[2],"data_offsets":[0,8]"#)),
  .init(
    "beyond the end",
    "the file is cut off: tensor w ends at byte 8 of the data, of which there are 7",
    entry(#""dtype":"F32","shape":[2],"data_offsets":[0,8]"#), data: 7),
  .init(
    "beyond 2^62",
    "the file is cut off: tensor w ends at byte 9223372036854775807 of the data, "
      + "of which there are 8",
    entry(#""dtype":"F32","shape":[2],"data_offsets":[9223372036854775799,9223372036854775807]"#)),
  .init(
    "bytes behind the last", "the tensors end at byte 8 of the data, of which there are 9",
    entry(#""dtype":"F32","shape":[2],"data_offsets":[0,8]"#), data: 9),
  .init(
    "data without tensors", "the tensors end at byte 0 of the data, of which there are 8", "{}"),
  .init(
    "a hole in front",
    "tensor w begins at byte 4 of the data, not at 0, where the one before it ends",
    entry(#""dtype":"F32","shape":[1],"data_offsets":[4,8]"#)),
  .init(
    "overlap", "tensor v begins at byte 4 of the data, not at 8, where the one before it ends",
    #"{"v":{"dtype":"F32","shape":[2],"data_offsets":[4,12]},"#
      + #""w":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}"#, data: 12),
  .init(
    "the same bytes twice",
    "tensor w begins at byte 0 of the data, not at 8, where the one before it ends",
    #"{"v":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},"#
      + #""w":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}"#, data: 8),
]

@Suite("Malformed safetensors files")
struct HostileSafeTensorsTests {
  @Test("is refused, and says where", arguments: headerCases + tensorCases)
  func refuses(_ hostile: HostileSafeTensors) throws {
    let folder = try TemporaryFolder()
    let path = try folder.write(hostile.bytes, to: "hostile.safetensors")
    let error = #expect(throws: ModelFileError.self) { try SafeTensorsFile(contentsOf: path) }
    #expect(error?.message == hostile.message)
    #expect(error?.file == path)
    #expect(error?.hint.isEmpty == false)
  }

  @Test("There are enough of them, no two alike")
  func count() {
    let cases = headerCases + tensorCases
    #expect(cases.count >= 25)
    #expect(Set(cases.map { $0.bytes }).count == cases.count)
  }

  @Test("Every proper prefix of a correct file is refused")
  func prefixes() throws {
    let folder = try TemporaryFolder()
    let whole = Array(try Fixture.data("formats/floats.safetensors"))
    for length in 1..<whole.count {
      let path = try folder.write(Array(whole.prefix(length)), to: "part.safetensors")
      #expect(throws: ModelFileError.self, "\(length) bytes") {
        try SafeTensorsFile(contentsOf: path)
      }
    }
  }
}
