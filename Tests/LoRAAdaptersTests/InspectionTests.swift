// What `lora inspect` computes of an adapter, against the product B·A written out.

import Foundation
import LoRAAdapters
import LoRAFormats
import LoRAJSON
import LoRAModels
import LoRANN
import LoRATensor
import LoRATestSupport
import Testing

@Suite struct InspectionTests {
  /// s·B·A, out × in.
  private func difference(_ module: AdapterWeights.Module) -> Tensor {
    let (a, b) = (module.a.elements, module.b.elements)
    let (rank, width) = (module.rank, module.inFeatures)
    let values = (0..<module.outFeatures).flatMap { row in
      (0..<width).map { column in
        Float(
          module.scale
            * (0..<rank).reduce(0.0) {
              $0 + Double(b[row * rank + $1]) * Double(a[$1 * width + column])
            })
      }
    }
    return Tensor(values, shape: [module.outFeatures, width])
  }

  @Test(arguments: PEFTFileTests.names) func normsAndSpectraAreThoseOfTheProduct(name: String)
    throws
  {
    let path = Fixture.path("adapters/\(name)")
    let inspection = try AdapterInspection(path)
    let weights = try AdapterWeights(path)
    #expect(inspection.layers.map(\.path) == weights.modules.map(\.path))
    for (layer, module) in zip(inspection.layers, weights.modules) {
      let product = difference(module)
      let norm = product.elements.reduce(0.0) { $0 + Double($1) * Double($1) }.squareRoot()
      expectClose(
        actual: [Float(layer.norm)], expected: [Float(norm)], atol: 1e-6, rtol: 1e-5,
        name: layer.path)
      let expected = try product.singularValueDecomposition().s.prefix(module.rank)
      expectClose(
        actual: layer.singularValues.map { Float($0) }, expected: Array(expected), atol: 1e-5,
        rtol: 1e-5, name: layer.path)
      #expect(layer.effectiveRank > 1 && layer.effectiveRank <= Double(module.rank))
    }
  }

  @Test func changesBesideTheBasesWeights() throws {
    let path = Fixture.path("adapters/all-linear")
    let model = try tinyModel()
    let layers = try AdapterInspection(path, model: model).layers
    #expect(layers.map(\.path) == allPaths)
    for layer in layers {
      let weight = try #require(
        model.namedParameters.first { $0.path == layer.path + ".weight" }?.parameter.value)
      let expected = weight.converted(to: .float32).elements.reduce(0.0) {
        $0 + Double($1) * Double($1)
      }.squareRoot()
      #expect(abs(try #require(layer.baseNorm) / expected - 1) < 1e-6)
      #expect(layer.relativeNorm == layer.norm / (layer.baseNorm ?? 0))
    }
    #expect(try AdapterInspection(path).layers.allSatisfy { $0.relativeNorm == nil })
    let other = try Llama(
      folder: ModelFolder(contentsOf: Fixture.path("folder/llama3-f16")), computeType: .float32)
    #expect(
      message { _ = try AdapterInspection(path, model: other) }.hasPrefix(
        "\(path): the model has no linear layer model.layers.0.self_attn."))
  }

  /// Ranks above a side of the layer, and products without full rank.
  @Test func shapesOfAllKinds() throws {
    var random = Random(seed: 4)
    for (rank, width, out) in [(1, 1, 1), (5, 3, 9), (5, 9, 3), (7, 3, 2), (4, 4, 4)] {
      var adapter = try AdapterFolder()
      adapter.configuration["r"] = .integer(rank)
      adapter.configuration["lora_alpha"] = .integer(3 * rank)
      adapter.set(AdapterFolder.name(0, "A"), random.normal([rank, width]))
      adapter.set(AdapterFolder.name(0, "B"), random.normal([out, rank]))
      adapter.set(AdapterFolder.name(1, "A"), random.normal([rank, width]))
      adapter.set(AdapterFolder.name(1, "B"), Tensor.zeros([out, rank]))
      let path = try adapter.write()
      let inspection = try AdapterInspection(path)
      let first = try #require(inspection.layers.first)
      let product = difference(try #require(try AdapterWeights(path).modules.first))
      let norm = product.elements.reduce(0.0) { $0 + Double($1) * Double($1) }.squareRoot()
      expectClose(
        actual: [Float(first.norm)], expected: [Float(norm)], atol: 1e-6, rtol: 1e-5)
      #expect(first.singularValues.count == min(rank, width, out))
      #expect(inspection.layers[1].norm == 0 && inspection.layers[1].effectiveRank == 0)
    }
  }

  @Test func theSameInEveryForm() throws {
    let folder = try TemporaryFolder()
    let path = Fixture.path("adapters/rank-stabilised")
    let original = try AdapterInspection(path)
    for target in [AdapterTarget.gguf, .mlx, .portable] {
      try convert(path, target, folder.file(target.rawValue))
      let other = try AdapterInspection(folder.file(target.rawValue))
      #expect(other.baseModel == original.baseModel)
      #expect(other.parameterCount == original.parameterCount)
      #expect(other.layers.map(\.path) == original.layers.map(\.path))
      expectClose(
        actual: other.layers.map { Float($0.norm) },
        expected: original.layers.map { Float($0.norm) }, atol: 0, rtol: 1e-5)
    }
  }

  @Test func deadLayersAndOtherTensorsAreNamed() throws {
    var adapter = try AdapterFolder()
    adapter.set(AdapterFolder.name(1, "B"), Tensor.full([16, 2], 1e-7))
    adapter.configuration["modules_to_save"] = ["lm_head"]
    adapter.set("base_model.model.lm_head.weight", Tensor.full([40, 16], 1))
    let inspection = try AdapterInspection(try adapter.write())
    #expect(inspection.deadLayers.map(\.path) == ["model.layers.1.self_attn.o_proj"])
    #expect(inspection.extras.map(\.role) == ["a fully trained module (modules_to_save)"])
    #expect(inspection.extras.map(\.count) == [640])
    #expect(inspection.ranks == [2] && inspection.scales == [1] && inspection.types == ["F32"])
    #expect(
      message(in: adapter.folder.path) {
        adapter.rename(AdapterFolder.name(0, "B"), "base_model.model.lora_C")
        _ = try AdapterInspection(try adapter.write())
      }.hasPrefix(
        "DIR/adapter_model.safetensors: 2 faults: the tensor base_model.model.lora_C is no factor of a "
      ))
  }
}
