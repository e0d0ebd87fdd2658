// Comparison of strings by their UTF-8 bytes instead of Swift's canonical equivalence.

extension String {
  /// Whether both strings consist of the same Unicode scalars.
  package func hasSameBytes(as other: String) -> Bool {
    if utf8.count != other.utf8.count { return false }
    let fast = utf8.withContiguousStorageIfAvailable { a in
      other.utf8.withContiguousStorageIfAvailable { b in a.elementsEqual(b) }
    }
    return (fast ?? nil) ?? utf8.elementsEqual(other.utf8)
  }

  /// Whether this string sorts before the other by Unicode scalars, as Python sorts.
  package func precedesByBytes(_ other: String) -> Bool {
    utf8.lexicographicallyPrecedes(other.utf8)
  }
}

/// A dictionary key that is equal and hashed by the scalars of a string.
package struct ScalarKey: Hashable, Sendable {
  package let string: String

  package init(_ string: String) { self.string = string }

  package static func == (a: ScalarKey, b: ScalarKey) -> Bool {
    a.string.hasSameBytes(as: b.string)
  }

  package func hash(into hasher: inout Hasher) {
    let done: Void? = string.utf8.withContiguousStorageIfAvailable {
      hasher.combine(bytes: UnsafeRawBufferPointer($0))
    }
    if done == nil { for byte in string.utf8 { hasher.combine(byte) } }
    hasher.combine(0xff as UInt8)  // ends the string: no UTF-8 text contains it
  }
}
