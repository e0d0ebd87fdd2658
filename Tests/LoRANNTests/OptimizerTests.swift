// AdamW and clipping against PyTorch, over ten steps and every element.

import LoRANN
import LoRATensor
import LoRATestSupport
import Testing

struct OptimizerTests {
  @Test(arguments: ["wd0.01", "wd0"])
  func adamWEqualsTorch(name: String) throws {
    let fixture = try FixtureTensors("ops/adamw.safetensors")
    func tensor(_ key: String) throws -> Tensor {
      Tensor(
        try fixture.floats("\(name)/\(key)"), shape: Shape(try fixture.shape("\(name)/\(key)")))
    }
    let keys = ["p", "q"]
    let parameters = try keys.map { Parameter(try tensor($0)) }
    let rates = try fixture.floats("\(name)/lr")
    let optimizer = AdamW(
      parameters, learningRate: 0, weightDecay: try fixture.floats("\(name)/weight_decay")[0])
    for (step, rate) in rates.enumerated() {
      optimizer.learningRate = rate
      let gradients = try zip(keys, parameters).map { key, parameter in
        let all = try fixture.floats("\(name)/\(key)_gradients")
        let count = parameter.value.count
        return Tensor(Array(all[step * count..<(step + 1) * count]), shape: parameter.value.shape)
      }
      optimizer.step(gradients)
      for (key, parameter) in zip(keys, parameters) {
        let all = try fixture.floats("\(name)/\(key)_steps")
        let count = parameter.value.count
        expectClose(
          actual: parameter.value.elements, expected: Array(all[step * count..<(step + 1) * count]),
          atol: 1e-6, rtol: 1e-6, name: "\(key) after step \(step + 1)")
      }
    }
  }

  @Test func clippingEqualsTorch() throws {
    let fixture = try FixtureTensors("ops/clip_grad_norm.safetensors")
    let cases = Set(fixture.names.compactMap { $0.split(separator: "/").first.map(String.init) })
    #expect(cases.count >= 2)
    for name in cases.sorted() {
      let gradients = try (0..<3).map { index in
        Tensor(
          try fixture.floats("\(name)/g\(index)"),
          shape: Shape(try fixture.shape("\(name)/g\(index)")))
      }
      let norm = globalNorm(gradients)
      expectClose(
        actual: [norm], expected: try fixture.floats("\(name)/norm"), atol: 1e-7, rtol: 1e-6)
      let scale = clippingScale(norm: norm, maximum: try fixture.floats("\(name)/max_norm")[0])
      for (index, gradient) in gradients.enumerated() {
        expectClose(
          actual: gradient.elements.map { $0 * scale },
          expected: try fixture.floats("\(name)/g\(index)_clipped"), atol: 1e-7, rtol: 1e-6,
          name: "\(name)/g\(index)")
      }
    }
  }
}
