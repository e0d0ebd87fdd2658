// Random damage to correct files: they open or are refused, and nothing worse happens.

import Foundation
import LoRAFormats
import LoRATestSupport
import Testing

/// SplitMix64: the same damage in every run.
struct FixedGenerator: RandomNumberGenerator {
  private var state: UInt64
  init(seed: UInt64) { state = seed }

  mutating func next() -> UInt64 {
    state &+= 0x9E37_79B9_7F4A_7C15
    var z = state
    z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
    z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
    return z ^ (z >> 31)
  }
}

/// One to four random changes: bits, bytes, extreme words, deletions, repetitions.
func damaged(_ bytes: [UInt8], _ random: inout FixedGenerator) -> [UInt8] {
  var bytes = bytes
  for _ in 0..<Int.random(in: 1...4, using: &random) where !bytes.isEmpty {
    let position = Int.random(in: 0..<bytes.count, using: &random)
    switch Int.random(in: 0..<6, using: &random) {
    case 0: bytes[position] ^= 1 << UInt8.random(in: 0..<8, using: &random)
    case 1: bytes[position] = UInt8.random(in: 0 ... .max, using: &random)
    case 2:
      let word = [0, .max, 1 << 63, 1 << 60, 1 << 32].randomElement(using: &random) ?? UInt64(0)
      withUnsafeBytes(of: word.littleEndian) {
        for (offset, byte) in $0.enumerated() where position + offset < bytes.count {
          bytes[position + offset] = byte
        }
      }
    case 3: bytes.removeSubrange(position..<min(bytes.count, position + 4))
    case 4: bytes.insert(contentsOf: bytes[position..<min(bytes.count, position + 8)], at: position)
    default: bytes.removeLast(min(bytes.count, Int.random(in: 1...16, using: &random)))
    }
  }
  return bytes
}

@Suite("Damaged files")
struct FuzzTests {
  @Test("4000 damaged GGUF files open or are refused")
  func gguf() throws {
    let folder = try TemporaryFolder()
    var random = FixedGenerator(seed: 1)
    var opened = 0
    for _ in 0..<4000 {
      let path = try folder.write(damaged(RawGGUF.valid.bytes, &random), to: "damaged.gguf")
      guard let file = try opening({ try GGUFFile(contentsOf: path) }) else { continue }
      opened += 1
      for key in file.keys {
        _ = try opening { try file.value(key) }
        _ = try opening { try file.integers(key) }
        _ = try opening { try file.strings(key) }
        _ = try opening { try file.floats(key) }
      }
      for name in file.tensorNames {
        guard let tensor = try opening({ try file.bytes(of: name) }) else { continue }
        _ = tensor.withBytes { $0.reduce(0) { $0 &+ $1 } }
      }
    }
    // Damage to values and weights goes unseen, damage to the structure does not.
    #expect(opened > 100 && opened < 3000, "\(opened) opened")
  }

  @Test("4000 damaged safetensors files open or are refused")
  func safetensors() throws {
    let folder = try TemporaryFolder()
    let whole = Array(try Fixture.data("formats/floats.safetensors"))
    var random = FixedGenerator(seed: 2)
    var opened = 0
    for _ in 0..<4000 {
      let path = try folder.write(damaged(whole, &random), to: "damaged.safetensors")
      guard let file = try opening({ try SafeTensorsFile(contentsOf: path) }) else { continue }
      opened += 1
      for name in file.tensorNames {
        guard let tensor = try opening({ try file.bytes(of: name) }) else { continue }
        _ = tensor.withBytes { $0.reduce(0) { $0 &+ $1 } }
      }
    }
    #expect(opened > 100 && opened < 3000, "\(opened) opened")
  }

  /// The result, or nil where the file is refused as it should be. Other errors pass.
  private func opening<T>(_ body: () throws -> T) throws -> T? {
    do { return try body() } catch is ModelFileError { return nil }
  }
}
