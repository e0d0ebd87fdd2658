// What `lora inspect` shows of an adapter: facts, a line for each kind of module, a picture.

import Foundation
import LoRA
import LoRAAdapters
import LoRAFormats
import LoRAJSON
import LoRAModels
import LoRATraining

/// An adapter as people and programs look at it.
struct AdapterView {
  private let path: String
  private let adapter: AdapterInspection

  private let isOfModel: Bool?

  /// - Parameter model: the base, where it is known.
  init(_ path: String, model: Llama? = nil) throws {
    self.path = path
    let inspection = try AdapterInspection(path, model: model)
    adapter = inspection
    isOfModel = model.flatMap { model in
      inspection.baseIdentity.map { $0 == model.baseIdentity }
    }
  }

  func show(json: Bool, plot: String?) throws {
    for warning in adapter.warnings { Console.warn("\(path): \(warning)") }
    if let plot { try AtomicFile.write(picture, to: plot) }
    var facts = facts
    if json {
      facts["modules"] = .array(adapter.layers.map { .object(Self.facts(of: $0)) })
      return InspectCommand.show(facts, json: true)
    }
    InspectCommand.show(facts, json: false)
    Console.say("")
    for line in table { Console.say(line) }
    if let plot { Console.say("\nthe picture is in \(plot)") }
  }

  private var facts: JSONObject {
    let dead = adapter.deadLayers
    var facts: JSONObject = [
      "kind": "adapter", "form": .string(adapter.form), "folder": .string(path),
      "base_model": adapter.baseModel.map(JSONValue.string) ?? .null,
      "rank": Self.oneOrAll(adapter.ranks.map(JSONValue.integer)),
    ]
    if let identity = adapter.baseIdentity { facts["base_weights_sha256"] = .string(identity) }
    if let isOfModel { facts["made_on_this_model"] = .bool(isOfModel) }
    if let alpha = adapter.configuration?.alpha { facts["alpha"] = .number(Double(alpha)) }
    facts["scale"] = Self.oneOrAll(adapter.scales.map(JSONValue.number))
    facts["dropout"] = .number(Double(adapter.dropout.description) ?? Double(adapter.dropout))
    if let configuration = adapter.configuration {
      facts["target_modules"] = .array(configuration.targetTexts.map(JSONValue.string))
      facts["rank_stabilised"] = .bool(configuration.isRankStabilized)
    }
    facts["dora"] = .bool(adapter.layers.contains(where: \.hasMagnitude))
    facts["layers"] = .integer(adapter.layers.count)
    facts["parameters"] = .integer(adapter.parameterCount)
    facts["types"] = .array(adapter.types.map(JSONValue.string))
    facts["bytes"] = .integer(adapter.byteCount)
    facts["norm"] = .number(
      Self.rounded(adapter.layers.reduce(0) { $0 + $1.norm * $1.norm }.squareRoot()))
    facts["layers_without_effect"] = .array(dead.map { .string($0.path) })
    facts["other_tensors"] = .array(
      adapter.extras.map {
        .object([
          "name": .string($0.name), "role": .string($0.role), "elements": .integer($0.count),
        ])
      })
    if !adapter.warnings.isEmpty {
      facts["warnings"] = .array(adapter.warnings.map(JSONValue.string))
    }
    return facts
  }

  private static func facts(of layer: AdapterInspection.Layer) -> JSONObject {
    var facts: JSONObject = [
      "path": .string(layer.path), "in": .integer(layer.inFeatures),
      "out": .integer(layer.outFeatures), "rank": .integer(layer.rank),
      "scale": .number(layer.scale), "norm_A": .number(rounded(layer.normOfA)),
      "norm_B": .number(rounded(layer.normOfB)), "norm_delta": .number(rounded(layer.norm)),
      "effective_rank": .number(rounded(layer.effectiveRank)),
      "singular_values": .array(layer.singularValues.map { .number(rounded($0)) }),
    ]
    if let base = layer.baseNorm, let relative = layer.relativeNorm {
      facts["norm_base"] = .number(rounded(base))
      facts["relative_norm"] = .number(rounded(relative))
    }
    return facts
  }

  private static func oneOrAll(_ values: [JSONValue]) -> JSONValue {
    values.count == 1 ? values[0] : .array(values)
  }

  /// Seven digits: what float32 factors carry.
  private static func rounded(_ value: Double) -> Double {
    Double(String(format: "%.7g", value)) ?? value
  }

  /// One line for each kind of module: how many, ranks, ‖ΔW‖ and the effective rank.
  private var table: [String] {
    var kinds: [(name: String, layers: [AdapterInspection.Layer])] = []
    for layer in adapter.layers {
      let name = Self.kind(layer.path)
      if let index = kinds.firstIndex(where: { $0.name == name }) {
        kinds[index].layers.append(layer)
      } else {
        kinds.append((name, [layer]))
      }
    }
    func spread(_ values: [Double], _ digits: Int) -> String {
      guard let low = values.min(), let high = values.max() else { return "" }
      let texts = [low, high].map { String(format: "%.\(digits)g", $0) }
      return texts[0] == texts[1] ? texts[0] : texts.joined(separator: " … ")
    }
    let isRelative = adapter.layers.contains { $0.baseNorm != nil }
    let rows =
      [
        ["module", "layers", "rank", "scale", "‖ΔW‖"] + (isRelative ? ["‖ΔW‖/‖W‖"] : [])
          + ["effective rank"]
      ]
      + kinds.map { name, layers in
        [
          name, "\(layers.count)", spread(layers.map { Double($0.rank) }, 6),
          spread(layers.map(\.scale), 4), spread(layers.map(\.norm), 3),
        ] + (isRelative ? [spread(layers.compactMap(\.relativeNorm), 3)] : [])
          + [spread(layers.map(\.effectiveRank), 3)]
      }
    let widths = rows[0].indices.map { column in rows.map { $0[column].count }.max() ?? 0 }
    return rows.map { row in
      let cells = zip(row, widths).map { $0 + String(repeating: " ", count: $1 - $0.count) }
      return String(cells.joined(separator: "  ").reversed().drop { $0 == " " }.reversed())
    }
  }

  /// The last part of a path: q_proj.
  private static func kind(_ path: String) -> String {
    String(path.split(separator: ".").last ?? "")
  }

  /// ‖ΔW‖ by layer and module.
  private var picture: String {
    var columns: [String] = []
    var rows: [Int: [String: AdapterInspection.Layer]] = [:]
    var outside: [AdapterInspection.Layer] = []
    for layer in adapter.layers {
      guard let place = layer.path.placeInStack else {
        outside.append(layer)
        continue
      }
      let name = Self.kind(place.rest)
      if !columns.contains(name) { columns.append(name) }
      rows[place.layer, default: [:]][name] = layer
    }
    func cell(_ layer: AdapterInspection.Layer) -> HeatMap.Cell {
      HeatMap.Cell(
        layer.norm,
        note: "\(layer.path): ‖ΔW‖ \(String(format: "%.4g", layer.norm)), rank \(layer.rank), "
          + "effective rank \(String(format: "%.1f", layer.effectiveRank))")
    }
    let sorted = columns.sorted { "model.x.\($0)".precedesInStack("model.x.\($1)") }
    return HeatMap(
      title: "‖ΔW‖ by layer and module",
      subtitle: "\(path.nameOfPath): rank "
        + adapter.ranks.map(String.init).joined(separator: ", ")
        + ", scale " + adapter.scales.map { String(format: "%.4g", $0) }.joined(separator: ", "),
      columns: sorted.map { $0.hasSuffix("_proj") ? String($0.dropLast(5)) : $0 },
      rows: (0..<((rows.keys.max() ?? -1) + 1)).map { index in
        ("layer \(index)", sorted.map { rows[index]?[$0].map(cell) })
      },
      below: outside.map { (Self.kind($0.path), cell($0)) }
    ).svg
  }
}

extension LoRAConfiguration {
  /// target_modules as texts.
  fileprivate var targetTexts: [String] {
    switch targets {
    case .allLinear: ["all-linear"]
    case .names(let names): names
    case .pattern(let pattern): [pattern]
    }
  }
}
