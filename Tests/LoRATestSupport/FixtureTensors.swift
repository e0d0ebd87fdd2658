// Reference numbers from small safetensors files.

import LoRAFormats
import LoRATensor

/// The tensors of a small safetensors file, as arrays.
package struct FixtureTensors {
  private let file: SafeTensorsFile

  /// Opens `Fixtures/<relative>`.
  package init(_ relative: String) throws {
    file = try SafeTensorsFile(contentsOf: Fixture.path(relative))
  }

  /// Opens a file anywhere.
  package init(contentsOf path: String) throws { file = try SafeTensorsFile(contentsOf: path) }

  /// The strings that the generator put into `__metadata__`.
  package var metadata: [String: String] { file.metadata }

  package var names: [String] { file.tensorNames }

  package func contains(_ name: String) -> Bool { file.tensorInfo(name) != nil }

  package func shape(_ name: String) throws -> [Int] { try info(name).shape.dimensions }

  /// The elements of a floating-point or integer tensor.
  package func floats(_ name: String) throws -> [Float] {
    let type = try info(name).type
    switch type {
    case .float32: return try elements(name, UInt32.self).map { Float(bitPattern: $0) }
    case .float64:
      return try elements(name, UInt64.self).map { Float(Double(bitPattern: $0)) }
    case .bfloat16:
      return try elements(name, UInt16.self).map { Float(bitPattern: UInt32($0) << 16) }
    case .float16: return try elements(name, UInt16.self).map { Float(Float16(bitPattern: $0)) }
    default: return try integers(name).map { Float($0) }
    }
  }

  /// The elements of an integer or Boolean tensor.
  package func integers(_ name: String) throws -> [Int] {
    let type = try info(name).type
    switch type {
    case .int64: return try elements(name, Int64.self).map { Int($0) }
    case .int32: return try elements(name, Int32.self).map { Int($0) }
    case .int16: return try elements(name, Int16.self).map { Int($0) }
    case .int8: return try elements(name, Int8.self).map { Int($0) }
    case .uint8, .bool: return try elements(name, UInt8.self).map { Int($0) }
    default:
      throw ModelFileError(
        file: file.path, message: "tensor \(name) is \(type.rawValue)",
        hint: "store integers as I64 and numbers as F32, BF16, F16 or F64")
    }
  }

  /// The bytes of a tensor of any type.
  package func bytes(_ name: String) throws -> [UInt8] { Array(try file.rawBytes(of: name)) }

  private func info(_ name: String) throws -> SafeTensorsInfo {
    guard let info = file.tensorInfo(name) else {
      throw ModelFileError(
        file: file.path, message: "there is no tensor \(name)",
        hint: "there are: \(file.tensorNames.joined(separator: ", "))")
    }
    return info
  }

  private func elements<T: FixedWidthInteger>(_ name: String, _: T.Type) throws -> [T] {
    let bytes = try file.rawBytes(of: name)
    return (0..<bytes.count / MemoryLayout<T>.size).map {
      T(littleEndian: bytes.loadUnaligned(fromByteOffset: $0 * MemoryLayout<T>.size, as: T.self))
    }
  }
}
