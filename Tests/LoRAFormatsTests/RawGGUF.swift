// Builds the bytes of GGUF files, broken ones above all: nothing here checks anything.

/// The bytes of a GGUF file in the making.
struct RawGGUF {
  var bytes: [UInt8] = []

  init() {}

  init(_ build: (inout RawGGUF) -> Void) { build(&self) }

  mutating func u8(_ value: UInt8) { bytes.append(value) }

  mutating func u32(_ value: UInt32) {
    withUnsafeBytes(of: value.littleEndian) { bytes.append(contentsOf: $0) }
  }

  mutating func u64(_ value: UInt64) {
    withUnsafeBytes(of: value.littleEndian) { bytes.append(contentsOf: $0) }
  }

  mutating func string(_ text: String) {
    u64(UInt64(text.utf8.count))
    bytes.append(contentsOf: text.utf8)
  }

  mutating func zeros(_ count: Int) {
    bytes.append(contentsOf: [UInt8](repeating: 0, count: count))
  }

  mutating func pad(to alignment: Int = 32) {
    while bytes.count % alignment != 0 { bytes.append(0) }
  }

  mutating func header(tensors: UInt64, entries: UInt64, version: UInt32 = 3) {
    bytes.append(contentsOf: "GGUF".utf8)
    u32(version)
    u64(tensors)
    u64(entries)
  }

  mutating func key(_ name: String, type: UInt32) {
    string(name)
    u32(type)
  }

  mutating func array(_ name: String, elementType: UInt32, count: UInt64) {
    key(name, type: 9)
    u32(elementType)
    u64(count)
  }

  /// The entry of a tensor; `extents` in the order of the file.
  mutating func tensor(
    _ name: String, extents: [UInt64], type: UInt32 = 0, offset: UInt64 = 0
  ) {
    string(name)
    u32(UInt32(extents.count))
    for extent in extents { u64(extent) }
    u32(type)
    u64(offset)
  }

  /// A small correct file with every kind of value and two tensors.
  static let valid = RawGGUF { file in
    file.header(tensors: 2, entries: 6)
    file.key("general.architecture", type: 8)
    file.string("llama")
    file.key("llama.block_count", type: 4)
    file.u32(2)
    file.key("llama.rope.freq_base", type: 6)
    file.u32(Float(10000).bitPattern)
    file.key("tokenizer.ggml.add_bos_token", type: 7)
    file.u8(1)
    file.array("tokenizer.ggml.tokens", elementType: 8, count: 3)
    for token in ["a", "Ġb", ""] { file.string(token) }
    file.array("tokenizer.ggml.token_type", elementType: 5, count: 3)
    for value: UInt32 in [1, 2, 3] { file.u32(value) }
    file.tensor("norm.weight", extents: [3])
    file.tensor("blk.0.attn_q.weight", extents: [32, 2], type: 3, offset: 32)
    file.pad()
    for value: Float in [1, 2, 3] { file.u32(value.bitPattern) }
    file.pad()
    for byte in 0..<40 { file.u8(UInt8(byte)) }
  }
}
