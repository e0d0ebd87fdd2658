// Where the base model's weights are while it works: in the mapped file, or in memory as products
// want them.

import LoRANN
import LoRATensor

/// Where the weights of the linear layers are.
public enum BaseWeights: String, Sendable, CaseIterable {
  /// In the mapped file, as stored; converted for each product and thrown away again.
  case mapped
  /// In memory, converted once to the type of the products.
  case resident
}

extension Llama {
  /// The base layers' weights, each once: those under low-rank pairs too, and the head's.
  private var linearWeights: [Parameter] {
    var seen = Set<ObjectIdentifier>()
    return ([ModuleChild("lm_head", head)] + namedModules.map(\.child)).compactMap { child in
      guard let layer = child.module as? Linear,
        seen.insert(ObjectIdentifier(layer.weight)).inserted
      else { return nil }
      return layer.weight
    }
  }

  /// Bytes of the linear layers' weights: as they are now, and once they are resident.
  package var linearWeightBytes: (now: Int, resident: Int) {
    linearWeights.reduce(into: (0, 0)) { sum, weight in
      sum.0 += weight.value.dtype.byteCount(of: weight.value.count)
      sum.1 += computeType.byteCount(of: weight.value.count)
    }
  }

  /// The bytes of the largest layer's weight as a product reads it. The head is read in parts.
  package var largestConvertedWeight: Int {
    namedModules.filter { $0.path != "lm_head" }.compactMap { $0.child.module as? Linear }.map {
      computeType.byteCount(of: $0.weight.value.count)
    }.max() ?? 0
  }

  /// Converts the linear layers' weights to the type of the products, once and for all.
  package func makeWeightsResident() {
    for weight in linearWeights where weight.value.dtype != computeType {
      weight.load(weight.value.converted(to: computeType))
    }
  }
}
