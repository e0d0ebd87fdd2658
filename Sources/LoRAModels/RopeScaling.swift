// The rotation's base and the factors of its frequencies, from what config.json says about RoPE.

import Foundation
import LoRAFormats
import LoRAJSON

/// What config.json says about rotary positions: `rope_parameters` in files of transformers 5,
/// `rope_theta` and `rope_scaling` in files of version 4 and for mlx-lm; one or both.
struct RopeScaling: Equatable {
  /// `rope_theta`.
  let base: Double
  private let kind: Kind
  /// The object that says the kind, as it is given.
  private let given: JSONObject

  private enum Kind: Equatable {
    case unchanged
    case linear(factor: Double)
    case llama3(factor: Double, low: Double, high: Double, context: Double)
  }

  /// - Throws: `ModelFileError` naming the key: what is not supported, or what programs that read
  ///   one spelling would compute otherwise than those that read the other.
  init(_ reader: ConfigurationReader) throws {
    let objects = try ["rope_parameters", "rope_scaling"].compactMap { name in
      try reader.value(name).map { try ScalingObject($0, of: name, in: reader) }
    }
    if let second = objects.dropFirst().first, second.kind != objects[0].kind {
      throw reader.failure(
        "rope_scaling", "contradicts rope_parameters", hint: "remove one of them")
    }
    var bases = objects.compactMap { object in object.base.map { (object.name + ".rope_theta", $0) }
    }
    if let base = try reader.number("rope_theta") { bases.append(("rope_theta", base)) }
    for (key, base) in bases where base != bases[0].1 {
      throw reader.failure(
        key,
        "\(base.pythonDescription) contradicts the \(bases[0].1.pythonDescription) of "
          + bases[0].0, hint: "remove the wrong one")
    }
    let base = bases.first?.1 ?? 10_000
    guard base > 1 else { throw reader.failure("rope_theta", "\(base) is not a base") }
    self.base = base
    kind = objects.first?.kind ?? .unchanged
    given = objects.last?.members ?? [:]
  }

  static func == (a: Self, b: Self) -> Bool { a.base == b.base && a.kind == b.kind }

  /// The keys of config.json that say this to every reader: transformers 5 reads `rope_parameters`,
  /// version 4 and mlx-lm the other two.
  var keys: JSONObject {
    var scaling = given
    scaling["rope_theta"] = nil
    if scaling["rope_type"] == nil { scaling["rope_type"] = scaling["type"] ?? "default" }
    var parameters = scaling
    parameters["type"] = nil
    parameters["rope_theta"] = .number(base)
    return [
      "rope_parameters": .object(parameters), "rope_theta": .number(base),
      "rope_scaling": kind == .unchanged ? .null : .object(scaling),
    ]
  }

  /// `rope_parameters` or `rope_scaling`.
  private struct ScalingObject {
    let name: String
    let members: JSONObject
    let kind: Kind
    let base: Double?

    init(_ value: JSONValue, of name: String, in reader: ConfigurationReader) throws {
      guard let members = value.objectValue else {
        throw reader.failure(name, "is \(value.kind), not an object")
      }
      self.name = name
      self.members = members
      func number(_ key: String) throws -> Double? {
        guard let value = members[key], value != .null else { return nil }
        guard let number = value.numberValue, number.isFinite, number > 0 else {
          throw reader.failure(
            "\(name).\(key)", "\(ConfigurationReader.text(value)) is not a positive number")
        }
        return number
      }
      func required(_ key: String) throws -> Double {
        guard let number = try number(key) else {
          throw reader.failure("\(name).\(key)", "is missing")
        }
        return number
      }
      base = try number("rope_theta")

      let type = members["rope_type"] ?? members["type"] ?? "default"
      let known: [String]
      switch type {
      case "default", .null:
        known = []
        kind = .unchanged
      case "linear":
        known = ["factor"]
        kind = .linear(factor: try required("factor"))
      case "llama3":
        known = [
          "factor", "low_freq_factor", "high_freq_factor", "original_max_position_embeddings",
        ]
        let low = try required("low_freq_factor")
        let high = try required("high_freq_factor")
        guard low < high else {
          throw reader.failure("\(name).high_freq_factor", "\(high) is not above the low \(low)")
        }
        kind = .llama3(
          factor: try required("factor"), low: low, high: high,
          context: try required("original_max_position_embeddings"))
      default:
        throw reader.failure(
          "\(name).rope_type", "\(ConfigurationReader.text(type)) is not supported",
          hint: "supported are default, linear and llama3")
      }
      let neutral: [String: JSONValue] = ["partial_rotary_factor": 1, "attention_factor": 1]
      for (key, value) in members
      where !(known + ["rope_type", "type", "rope_theta"]).contains(key) {
        let isNeutral = value == .null || neutral[key]?.numberValue == value.numberValue
        guard neutral[key] != nil || value == .null, isNeutral else {
          throw reader.failure(
            "\(name).\(key)",
            "\(ConfigurationReader.text(value)) is not supported with rope_type "
              + ConfigurationReader.text(type))
        }
      }
    }
  }

  /// What the frequencies are divided by, one factor per pair of a head; nil: all by 1.
  ///
  /// Source: `_compute_llama3_parameters` and `_compute_linear_scaling_rope_parameters` of
  /// transformers; GGUF files hold the same numbers as rope_freqs.weight.
  func factors(headDimension: Int) -> [Float]? {
    switch kind {
    case .unchanged: return nil
    case .linear(let factor):
      return [Float](repeating: Float(factor), count: headDimension / 2)
    case .llama3(let factor, let low, let high, let context):
      return (0..<headDimension / 2).map { i in
        let frequency = pow(base, -Double(2 * i) / Double(headDimension))
        let wavelength = 2 * Double.pi / frequency
        if wavelength < context / high { return 1 }
        if wavelength > context / low { return Float(factor) }
        let smooth = (context / wavelength - low) / (high - low)
        return Float(1 / ((1 - smooth) / factor + smooth))
      }
    }
  }
}
