// An event file that TensorBoard reads: numbers over steps.
//
// A TFRecord file: for each record its length (8 bytes, little-endian), the masked CRC-32C of the
// length, the bytes, and their masked CRC-32C. Each record is a protocol buffer `Event`:
//   1 wall_time: double   2 step: int64   3 file_version: string   5 summary { 1 value… }
//   value { 1 tag: string   2 simple_value: float }
// Source: TensorFlow's record_writer, event.proto and summary.proto.

import Foundation
import LoRAFormats

/// Writes scalars for TensorBoard; each is in the file as soon as it is added.
package final class TensorBoardFile {
  private let file: AppendedFile

  /// Starts a file; its name must contain `tfevents`.
  ///
  /// - Throws: `OutputFileError`.
  package init(_ path: String, wallTime: Double) throws {
    try AtomicFile.write(String(), to: path)
    file = try AppendedFile(path)
    var event = ProtocolBuffer()
    event.add(1, wallTime)
    event.add(3, "brain.Event:2")
    try append(event)
  }

  /// Adds the numbers of a step.
  ///
  /// - Parameter wallTime: seconds since 1970.
  package func add(
    step: Int, wallTime: Double, _ scalars: [(tag: String, value: Double)]
  ) throws {
    var summary = ProtocolBuffer()
    for (tag, number) in scalars {
      var value = ProtocolBuffer()
      value.add(1, tag)
      value.add(2, Float(number))
      summary.add(1, value)
    }
    var event = ProtocolBuffer()
    event.add(1, wallTime)
    event.add(2, step)
    event.add(5, summary)
    try append(event)
  }

  private func append(_ event: ProtocolBuffer) throws {
    try file.append(Self.record(event.bytes))
  }

  /// A record of the file around its bytes.
  package static func record(_ bytes: [UInt8]) -> [UInt8] {
    let length = UInt64(bytes.count).littleEndianBytes
    return length + CRC32C.masked(length).littleEndianBytes + bytes
      + CRC32C.masked(bytes).littleEndianBytes
  }
}

/// The checksum of Castagnoli, as RFC 3720 has it.
package enum CRC32C {
  private static let table: [UInt32] = (0..<256).map { byte in
    (0..<8).reduce(UInt32(byte)) { crc, _ in crc & 1 == 1 ? crc >> 1 ^ 0x82F6_3B78 : crc >> 1 }
  }

  /// The checksum of bytes.
  package static func of(_ bytes: [UInt8]) -> UInt32 {
    ~bytes.reduce(~UInt32(0)) { crc, byte in
      table[Int((crc ^ UInt32(byte)) & 0xFF)] ^ crc >> 8
    }
  }

  /// The checksum as TFRecord files hold it: turned by 15 bits, so that checksums of bytes that hold
  /// checksums stay useful.
  package static func masked(_ bytes: [UInt8]) -> UInt32 {
    let crc = of(bytes)
    return (crc >> 15 | crc << 17) &+ 0xA282_EAD8
  }
}

/// The few field types of protocol buffers that an event has.
private struct ProtocolBuffer {
  private(set) var bytes: [UInt8] = []

  mutating func add(_ field: UInt64, _ value: Double) {
    variable(field << 3 | 1)
    bytes += value.bitPattern.littleEndianBytes
  }

  mutating func add(_ field: UInt64, _ value: Float) {
    variable(field << 3 | 5)
    bytes += value.bitPattern.littleEndianBytes
  }

  mutating func add(_ field: UInt64, _ value: Int) {
    variable(field << 3)
    variable(UInt64(bitPattern: Int64(value)))
  }

  mutating func add(_ field: UInt64, _ text: String) { add(field, Array(text.utf8)) }

  mutating func add(_ field: UInt64, _ message: ProtocolBuffer) { add(field, message.bytes) }

  private mutating func add(_ field: UInt64, _ content: [UInt8]) {
    variable(field << 3 | 2)
    variable(UInt64(content.count))
    bytes += content
  }

  private mutating func variable(_ value: UInt64) {
    var rest = value
    while rest >= 0x80 {
      bytes.append(UInt8(rest & 0x7F) | 0x80)
      rest >>= 7
    }
    bytes.append(UInt8(rest))
  }
}

extension FixedWidthInteger {
  fileprivate var littleEndianBytes: [UInt8] { withUnsafeBytes(of: littleEndian) { Array($0) } }
}
