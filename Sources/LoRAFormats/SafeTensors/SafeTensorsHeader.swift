// Parses and checks the header of a safetensors file.

import LoRATensor

/// The checked content of a header: every range lies inside of the file.
struct SafeTensorsHeader {
  private(set) var metadata: [String: String] = [:]
  private(set) var tensors: [SafeTensorsInfo] = []
  private let path: String

  // The limit of the reference library.
  private static let longestHeader = 100_000_000

  init(_ file: MappedFile) throws {
    path = file.path
    guard file.bytes.count >= 8 else {
      throw failure("the file has \(file.bytes.count) bytes, not even the 8 of the header's length")
    }
    let length = UInt64(littleEndian: file.bytes.loadUnaligned(as: UInt64.self))
    let available = file.bytes.count - 8
    guard length <= UInt64(available), length <= Self.longestHeader else {
      throw failure(
        "the header is said to have \(length) bytes, but \(available) follow (and "
          + "\(Self.longestHeader) are allowed)",
        hint: "this is not a safetensors file, or the download is not complete")
    }
    let dataStart = 8 + Int(length)
    let text = UnsafeRawBufferPointer(rebasing: file.bytes[8..<dataStart])
    guard text.first == UInt8(ascii: "{") else {
      throw failure(
        "the header does not start with {",
        hint: "this is not a safetensors file; convert other formats first")
    }
    let members: [(key: String, value: HeaderValue)]
    do throws(HeaderScanner.Failure) {
      guard case .object(let object) = try HeaderScanner.parse(text) else { return }
      members = object
    } catch {
      throw failure(error.message)
    }
    for (key, value) in members {
      if key == "__metadata__" {
        try readMetadata(value)
      } else {
        tensors.append(try tensor(key, value, dataStart, available - Int(length)))
      }
    }
    try checkPlaces(dataStart: dataStart, end: file.bytes.count)
  }

  private func failure(
    _ message: String, hint: String = "the file is damaged or not complete: fetch or write it again"
  ) -> ModelFileError {
    ModelFileError(file: path, message: message, hint: hint)
  }

  private mutating func readMetadata(_ value: HeaderValue) throws {
    guard case .object(let members) = value else {
      throw failure("__metadata__ is not an object of strings")
    }
    for (key, value) in members {
      guard case .string(let text) = value else {
        throw failure("__metadata__ has a value for \(key) that is not a string")
      }
      metadata[key] = text
    }
  }

  private func tensor(
    _ name: String, _ value: HeaderValue, _ dataStart: Int, _ dataCount: Int
  ) throws -> SafeTensorsInfo {
    guard case .object(let members) = value else {
      throw failure("the entry of tensor \(name) is not an object")
    }
    var type: SafeTensorsType?
    var shape: [Int]?
    var offsets: [Int]?
    for (key, value) in members {
      switch key {
      case "dtype":
        guard case .string(let spelling) = value, let known = SafeTensorsType(rawValue: spelling)
        else {
          throw failure("tensor \(name) has a dtype that safetensors does not have\(quoted(value))")
        }
        type = known
      case "shape": shape = try naturals(value, "the shape of tensor \(name)")
      case "data_offsets": offsets = try naturals(value, "data_offsets of tensor \(name)")
      default: throw failure("the entry of tensor \(name) has the unknown key \(key)")
      }
    }
    guard let type, let shape, let offsets else {
      let missing = type == nil ? "dtype" : shape == nil ? "shape" : "data_offsets"
      throw failure("the entry of tensor \(name) has no \(missing)")
    }
    guard offsets.count == 2, offsets[0] <= offsets[1] else {
      throw failure("data_offsets of tensor \(name) are \(offsets), not a begin and an end")
    }
    let needed = try byteCount(name, shape, type)
    guard offsets[1] - offsets[0] == needed else {
      throw failure(
        "tensor \(name) has \(offsets[1] - offsets[0]) bytes, but its shape \(shape) of "
          + "\(type.rawValue) needs \(needed)")
    }
    guard offsets[1] <= dataCount else {
      throw failure(
        "the file is cut off: tensor \(name) ends at byte \(offsets[1]) of the data, of which there "
          + "are \(dataCount)")
    }
    return SafeTensorsInfo(
      name: name, shape: Shape(shape), type: type, byteOffset: dataStart + offsets[0],
      byteCount: needed)
  }

  private func quoted(_ value: HeaderValue) -> String {
    if case .string(let text) = value { return ": \(text)" }
    return ""
  }

  private func naturals(_ value: HeaderValue, _ what: String) throws -> [Int] {
    guard case .array(let elements) = value else { throw failure("\(what) is not a list") }
    return try elements.map { element in
      guard case .integer(let number) = element, number >= 0 else {
        throw failure("\(what) has an element that is not an integer from 0 to 2^63 - 1")
      }
      return number
    }
  }

  private func byteCount(_ name: String, _ shape: [Int], _ type: SafeTensorsType) throws -> Int {
    var bits = type.bitCount
    for extent in shape {
      // Empty axes count as one here: the others alone must not overflow either.
      let (product, overflow) = bits.multipliedReportingOverflow(by: max(extent, 1))
      guard !overflow else {
        throw failure("tensor \(name) of shape \(shape) has more than 2^63 bits")
      }
      bits = product
    }
    if shape.contains(0) { return 0 }
    guard bits % 8 == 0 else {
      throw failure("tensor \(name) of shape \(shape) and type \(type.rawValue) ends within a byte")
    }
    return bits / 8
  }

  /// Sorts the tensors by place and proves that they cover the data without gap or overlap.
  private mutating func checkPlaces(dataStart: Int, end: Int) throws {
    tensors.sort { ($0.byteOffset, $0.byteCount) < ($1.byteOffset, $1.byteCount) }
    var expected = dataStart
    for info in tensors {
      guard info.byteOffset == expected else {
        throw failure(
          "tensor \(info.name) begins at byte \(info.byteOffset - dataStart) of the data, not at "
            + "\(expected - dataStart), where the one before it ends")
      }
      expected += info.byteCount
    }
    guard expected == end else {
      throw failure(
        "the tensors end at byte \(expected - dataStart) of the data, of which there are "
          + "\(end - dataStart)")
    }
  }
}
