// Variants of LoRA trained side by side with PEFT: every tensor after 25 steps of AdamW.

import LoRANN
import LoRATensor
import LoRATestSupport
import Testing

/// One case of Fixtures/variants (see Scripts/fixtures/variants.py).
private struct Trajectory {
  let name: String
  let file: FixtureTensors

  func has(_ key: String) -> Bool { file.contains("\(name)/\(key)") }

  func tensor(_ key: String) throws -> Tensor {
    Tensor(
      try file.floats("\(name)/\(key)"), shape: Shape(try file.shape("\(name)/\(key)")))
  }

  func number(_ key: String) throws -> Float { try file.floats("\(name)/\(key)")[0] }

  func parameter(_ key: String) throws -> Parameter? {
    has(key) ? Parameter(try tensor(key)) : nil
  }

  /// A layer of the network, frozen, without pairs.
  func layer(_ layer: String) throws -> LoRALinear {
    LoRALinear(
      base: Linear(
        weight: try tensor("\(layer).W"), bias: has("\(layer).b") ? try tensor("\(layer).b") : nil))
  }

  /// The pair as PEFT started it; of a PiSSA or OLoRA case, taken out of the base.
  func pair(_ layer: String, suffix: String = "", scale: Float) throws -> LowRankPair {
    let (a, b) = (try tensor("\(layer).A\(suffix)"), try tensor("\(layer).B\(suffix)"))
    return LowRankPair(
      a: Parameter(a), b: Parameter(b), scale: scale,
      bias: try parameter("\(layer).c\(suffix)"), magnitude: try parameter("\(layer).m\(suffix)"),
      start: name.hasPrefix("pissa") || name.hasPrefix("olora") ? (a, b) : nil)
  }
}

struct VariantTrajectoryTests {
  private static let layers = ["fc1", "fc2"]

  @Test(arguments: [
    "plain", "rslora", "dora", "dora-rslora", "bias", "plus", "plus-dora", "plus-bias", "gaussian",
    "orthogonal", "pissa", "pissa-rslora", "olora", "two", "pissa-dora",
    "olora-dora",
  ])
  func trainsAsPEFT(name: String) throws {
    let fixture = Trajectory(
      name: name, file: try FixtureTensors("variants/trajectories.safetensors"))
    let (rank, alpha) = (try fixture.number("rank"), try fixture.number("alpha"))
    let scale = name.hasSuffix("rslora") ? alpha / rank.squareRoot() : alpha / rank
    var pairs: [LowRankPair] = []
    var network: [LoRALinear] = []
    for layer in Self.layers {
      let adapted = try fixture.layer(layer)
      if name == "two" {
        let first = try fixture.pair(layer, suffix: "1", scale: alpha / 4)
        adapted.add("first", first)
        for (_, parameter) in first.parameters(of: "first") { parameter.isTrainable = false }
      }
      let pair = try fixture.pair(layer, scale: scale)
      adapted.add("default", pair)
      pairs.append(pair)
      network.append(adapted)
    }
    let (x, target) = (try fixture.tensor("x"), try fixture.tensor("t"))
    func output() -> Tensor { network[1](UnaryFunction.tanh(network[0](x))) }
    try expect(output(), "y", atol: 2e-6)

    let named = zip(Self.layers, pairs).flatMap { layer, pair in
      pair.parameters(of: "default").map { (path: "\(layer).\($0.name)", parameter: $0.parameter) }
    }
    let (rate, ratio) = (try fixture.number("rate"), try fixture.number("ratio"))
    let optimizer = AdamW(
      named.map(\.parameter), learningRate: rate, weightDecay: try fixture.number("decay"),
      variations: ratio == 0
        ? [] : loraPlusVariations(named, ratio: ratio, learningRate: rate))
    var losses: [Float] = []
    for _ in 0..<25 {
      let (loss, gradients) = valueAndGradient(of: named.map(\.parameter)) {
        let difference = output() - target
        return (difference * difference).mean()
      }
      optimizer.step(gradients)
      losses.append(loss.item)
    }
    expectClose(
      actual: losses, expected: try fixture.tensor("loss").elements, atol: 2e-6, rtol: 2e-6,
      name: "\(name) loss")
    for (layer, pair) in zip(Self.layers, pairs) {
      try expect(pair.a.value, "\(layer).A.end")
      try expect(pair.b.value, "\(layer).B.end")
      if let bias = pair.bias { try expect(bias.value, "\(layer).c.end") }
      if let magnitude = pair.magnitude { try expect(magnitude.value, "\(layer).m.end") }
    }
    try expect(output(), "y.end", atol: 1e-5)

    func expect(_ actual: Tensor, _ key: String, atol: Float = 2e-5) throws {
      expectClose(
        actual: actual.elements, expected: try fixture.tensor(key).elements, atol: atol,
        rtol: 1e-5, name: "\(name) \(key)")
    }
  }

  /// Our own first values are PEFT's where they follow from the weights, up to the sign of a
  /// direction (PiSSA), and DoRA's lengths are those of the rows.
  @Test(arguments: ["pissa", "pissa-rslora", "olora", "dora"])
  func startsAsPEFT(name: String) throws {
    let fixture = Trajectory(
      name: name, file: try FixtureTensors("variants/trajectories.safetensors"))
    let configuration = LoRALinearConfiguration(
      rank: Int(try fixture.number("rank")), alpha: try fixture.number("alpha"),
      initialization: name == "olora"
        ? .olora : name == "dora" ? .gaussian : .pissa(iterations: nil),
      isRankStabilized: name.hasSuffix("rslora"), usesDoRA: name == "dora")
    for layer in Self.layers {
      let base = try fixture.layer(layer)
      var random = Random(seed: 1)
      let pair = try LowRankPair(configuration, beside: base, random: &random)
      if let magnitude = pair.magnitude {
        expectClose(
          actual: magnitude.value.elements, expected: try fixture.tensor("\(layer).m").elements,
          atol: 1e-6, rtol: 1e-6, name: "m")
        continue
      }
      let expected = try fixture.pair(layer, scale: configuration.scale)
      expectClose(
        actual: pair.b.value.matmul(pair.a.value).elements,
        expected: expected.b.value.matmul(expected.a.value).elements, atol: 2e-6, rtol: 1e-5,
        name: "\(layer) B·A")
      expectClose(
        actual: pair.a.value.elements.map(abs), expected: expected.a.value.elements.map(abs),
        atol: 5e-6, rtol: 1e-5, name: "\(layer) |A|")
      expectClose(
        actual: pair.delta().elements, expected: pair.delta().elements.map { _ in 0 }, atol: 1e-6,
        rtol: 0, name: "\(layer) Δ at the start")
    }
  }
}
