// The rotation's base and the factors of its frequencies, from what config.json says about RoPE.

import Foundation
import LoRAFormats
import LoRAJSON

/// What config.json says about rotary positions: `rope_parameters`, or, in files from before
/// transformers 5, `rope_theta` and `rope_scaling`.
struct RopeScaling {
  /// `rope_theta`.
  let base: Double
  private let kind: Kind

  private enum Kind {
    case unchanged
    case linear(factor: Double)
    case llama3(factor: Double, low: Double, high: Double, context: Double)
  }

  init(_ reader: ConfigurationReader) throws {
    let names = ["rope_parameters", "rope_scaling"].filter { reader.value($0) != nil }
    let name = names.first ?? "rope_parameters"
    let given = reader.value(name)
    guard let parameters = given.map({ $0.objectValue }) ?? JSONObject() else {
      throw reader.failure(name, "is \(given?.kind ?? "nothing"), not an object")
    }
    if names.count == 2, reader.value("rope_scaling") != given {
      throw reader.failure(
        "rope_scaling", "contradicts rope_parameters", hint: "remove one of them")
    }
    func number(_ key: String) throws -> Double? {
      guard let value = parameters[key], value != .null else { return nil }
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
    let base = try number("rope_theta") ?? reader.number("rope_theta") ?? 10_000
    guard base > 1 else { throw reader.failure("rope_theta", "\(base) is not a base") }
    self.base = base

    let type = parameters["rope_type"] ?? parameters["type"] ?? "default"
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
    for (key, value) in parameters
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
