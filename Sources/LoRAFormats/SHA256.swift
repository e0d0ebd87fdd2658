// SHA-256, to tell whether a file is the one that it was.

import Foundation

/// SHA-256 of bytes that come in pieces. Source: FIPS 180-4.
package struct SHA256 {
  private var state: [UInt32] = [
    0x6a09_e667, 0xbb67_ae85, 0x3c6e_f372, 0xa54f_f53a, 0x510e_527f, 0x9b05_688c, 0x1f83_d9ab,
    0x5be0_cd19,
  ]
  private var rest: [UInt8] = []
  private var byteCount: UInt64 = 0

  package init() {}

  /// The digest of a file as 64 hexadecimal digits; the file is mapped, not read into memory.
  package static func hex(ofFile path: String) throws -> String {
    let file = try MappedFile(path: path)
    return withExtendedLifetime(file) { hex(of: file.bytes) }
  }

  /// The digest of a text.
  package static func hex(of text: String) -> String {
    Array(text.utf8).withUnsafeBytes { hex(of: $0) }
  }

  package static func hex(of bytes: UnsafeRawBufferPointer) -> String {
    var hash = SHA256()
    hash.update(bytes)
    return hash.finish()
  }

  package mutating func update(_ bytes: UnsafeRawBufferPointer) {
    byteCount += UInt64(bytes.count)
    var bytes = bytes[...]
    if !rest.isEmpty {
      let missing = min(64 - rest.count, bytes.count)
      rest += bytes.prefix(missing)
      bytes = bytes.dropFirst(missing)
      guard rest.count == 64 else { return }
      rest.withUnsafeBytes { Self.compress($0, &state) }
      rest.removeAll()
    }
    let whole = bytes.count / 64 * 64
    Self.compress(UnsafeRawBufferPointer(rebasing: bytes.prefix(whole)), &state)
    rest += bytes.dropFirst(whole)
  }

  package mutating func finish() -> String {
    let bits = byteCount * 8
    var padding: [UInt8] = [0x80]
    while (rest.count + padding.count) % 64 != 56 { padding.append(0) }
    padding += (0..<8).map { UInt8(truncatingIfNeeded: bits >> (56 - 8 * $0)) }
    padding.withUnsafeBytes { update($0) }
    return state.map { word in
      let digits = String(word, radix: 16)
      return String(repeating: "0", count: 8 - digits.count) + digits
    }.joined()
  }

  /// Takes whole blocks of 64 bytes into the state.
  private static func compress(_ bytes: UnsafeRawBufferPointer, _ state: inout [UInt32]) {
    withUnsafeTemporaryAllocation(of: UInt32.self, capacity: 64) { w in
      state.withUnsafeMutableBufferPointer { h in
        k.withUnsafeBufferPointer { k in
          for block in stride(from: 0, to: bytes.count, by: 64) {
            for i in 0..<16 {
              w[i] = UInt32(
                bigEndian: bytes.loadUnaligned(fromByteOffset: block + 4 * i, as: UInt32.self))
            }
            for i in 16..<64 {
              let (a, b) = (w[i - 15], w[i - 2])
              let s0 = rotate(a, 7) ^ rotate(a, 18) ^ (a >> 3)
              let s1 = rotate(b, 17) ^ rotate(b, 19) ^ (b >> 10)
              w[i] = w[i - 16] &+ s0 &+ w[i - 7] &+ s1
            }
            var (a, b, c, d) = (h[0], h[1], h[2], h[3])
            var (e, f, g, x) = (h[4], h[5], h[6], h[7])
            for i in 0..<64 {
              let s1 = rotate(e, 6) ^ rotate(e, 11) ^ rotate(e, 25)
              let t1 = x &+ s1 &+ ((e & f) ^ (~e & g)) &+ k[i] &+ w[i]
              let s0 = rotate(a, 2) ^ rotate(a, 13) ^ rotate(a, 22)
              let t2 = s0 &+ ((a & b) ^ (a & c) ^ (b & c))
              (x, g, f, e) = (g, f, e, d &+ t1)
              (d, c, b, a) = (c, b, a, t1 &+ t2)
            }
            h[0] &+= a
            h[1] &+= b
            h[2] &+= c
            h[3] &+= d
            h[4] &+= e
            h[5] &+= f
            h[6] &+= g
            h[7] &+= x
          }
        }
      }
    }
  }

  @inline(__always) private static func rotate(_ x: UInt32, _ n: UInt32) -> UInt32 {
    x >> n | x << (32 - n)
  }

  /// The first 32 bits of the fractions of the cube roots of the first 64 primes.
  private static let k: [UInt32] = (2...311).filter { n in
    n < 4 || (2...17).allSatisfy { n % $0 != 0 || n == $0 }
  }.map { prime in
    let root = cbrt(Double(prime))
    // Newton's step in 80 bits is not to be had everywhere: 53 bits leave 32 after the point.
    return UInt32((root - root.rounded(.down)) * 0x1p32)
  }
}
