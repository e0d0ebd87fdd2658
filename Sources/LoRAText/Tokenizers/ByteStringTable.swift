// A list of byte strings that finds the position of one of them: the vocabulary's index.

/// Byte strings in order of their insertion, found again by their bytes.
///
/// Not a `Dictionary` of `String`: Swift compares strings by canonical equivalence, while two
/// tokens that look alike but differ in bytes are different tokens. All bytes lie in one array.
struct ByteStringTable: Sendable {
  private var bytes: [UInt8] = []
  private var ends: [Int] = [0]
  /// Open addressing: the upper half of the hash above the position + 1; 0 is an empty slot.
  private var slots: [UInt64]
  private var mask: Int

  /// An empty table with room for a number of strings.
  init(capacity: Int) {
    var size = 16
    while size < capacity * 2 { size *= 2 }
    slots = [UInt64](repeating: 0, count: size)
    mask = size - 1
  }

  /// The number of strings.
  var count: Int { ends.count - 1 }

  /// The bytes of a string.
  subscript(position: Int) -> ArraySlice<UInt8> { bytes[ends[position]..<ends[position + 1]] }

  /// Appends a string; returns its position, or nil (and does nothing) if it is there already.
  mutating func append(_ string: UnsafeBufferPointer<UInt8>) -> Int? {
    let hash = Self.hash(string)
    if case .found = find(string, hash) { return nil }
    if (count + 1) * 2 > slots.count { grow() }
    // After growing the free slot is another one, so it is looked for again.
    guard case .free(let slot) = find(string, hash) else { return nil }
    bytes.append(contentsOf: string)
    ends.append(bytes.count)
    slots[slot] = Self.entry(hash, count - 1)
    return count - 1
  }

  /// The position of a string.
  func position(of string: UnsafeBufferPointer<UInt8>) -> Int? {
    guard case .found(let position) = find(string, Self.hash(string)) else { return nil }
    return position
  }

  private enum Finding {
    case found(Int)
    case free(Int)
  }

  private func find(_ string: UnsafeBufferPointer<UInt8>, _ hash: UInt64) -> Finding {
    var slot = Int(truncatingIfNeeded: hash) & mask
    while true {
      let entry = slots[slot]
      if entry == 0 { return .free(slot) }
      if entry >> 32 == hash >> 32 {
        let position = Int(entry & 0xFFFF_FFFF) - 1
        if equals(position, string) { return .found(position) }
      }
      slot = (slot + 1) & mask
    }
  }

  private func equals(_ position: Int, _ string: UnsafeBufferPointer<UInt8>) -> Bool {
    let start = ends[position]
    guard ends[position + 1] - start == string.count else { return false }
    for index in 0..<string.count where bytes[start + index] != string[index] { return false }
    return true
  }

  private mutating func grow() {
    mask = slots.count * 2 - 1
    slots = [UInt64](repeating: 0, count: slots.count * 2)
    for position in 0..<count {
      let hash = self[position].withUnsafeBufferPointer(Self.hash)
      var slot = Int(truncatingIfNeeded: hash) & mask
      while slots[slot] != 0 { slot = (slot + 1) & mask }
      slots[slot] = Self.entry(hash, position)
    }
  }

  private static func entry(_ hash: UInt64, _ position: Int) -> UInt64 {
    hash & 0xFFFF_FFFF_0000_0000 | UInt64(truncatingIfNeeded: position + 1) & 0xFFFF_FFFF
  }

  /// A hash that reads eight bytes at a time; the two loads of the tail may overlap.
  private static func hash(_ string: UnsafeBufferPointer<UInt8>) -> UInt64 {
    let count = string.count
    var hash = UInt64(truncatingIfNeeded: count) &* 0x9E37_79B9_7F4A_7C15
    guard let base = UnsafeRawPointer(string.baseAddress), count > 0 else { return hash }
    var index = 0
    while index + 8 <= count {
      hash = mix(hash ^ base.loadUnaligned(fromByteOffset: index, as: UInt64.self))
      index += 8
    }
    let rest = count - index
    if rest >= 4 {
      let low = UInt64(base.loadUnaligned(fromByteOffset: index, as: UInt32.self))
      let high = UInt64(base.loadUnaligned(fromByteOffset: count - 4, as: UInt32.self))
      hash = mix(hash ^ (low | high << 32))
    } else if rest > 0 {
      let first = UInt64(string[index])
      let middle = UInt64(string[index + rest / 2])
      let last = UInt64(string[count - 1])
      hash = mix(hash ^ (first | middle << 8 | last << 16))
    }
    return hash
  }

  private static func mix(_ value: UInt64) -> UInt64 {
    let product = (value ^ 0xA076_1D64_78BD_642F).multipliedFullWidth(by: 0xE703_7ED1_A0B4_28DB)
    return product.high ^ product.low
  }
}
