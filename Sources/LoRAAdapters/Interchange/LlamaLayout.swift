// The modules of a Llama that an adapter can adapt: their paths, shapes and names in GGUF.

import LoRAJSON

/// The layers of a Llama of given sizes.
package struct LlamaLayout: Sendable {
  /// A layer that can be adapted.
  package struct Site: Sendable, Hashable {
    /// `model.layers.0.self_attn.q_proj`.
    package let path: String
    package let inFeatures: Int
    package let outFeatures: Int
    /// The heads whose rows GGUF has in another order; nil where the order is the same.
    package let rotaryHeads: Int?
    package var isEmbedding: Bool { path == "model.embed_tokens" }
  }

  /// What GGUF calls the family.
  static let architecture = "llama"

  /// Names within a layer and outside of the stack: Hugging Face's and GGUF's.
  private static let layerNames = [
    ("self_attn.q_proj", "attn_q"), ("self_attn.k_proj", "attn_k"), ("self_attn.v_proj", "attn_v"),
    ("self_attn.o_proj", "attn_output"), ("mlp.gate_proj", "ffn_gate"), ("mlp.up_proj", "ffn_up"),
    ("mlp.down_proj", "ffn_down"),
  ]
  private static let outerNames = [("model.embed_tokens", "token_embd"), ("lm_head", "output")]

  /// `blk.N.attn_q` of `model.layers.N.self_attn.q_proj`; nil for a path that a Llama does not have.
  static func ggufName(_ path: String) -> String? {
    guard let (layer, rest) = path.placeInStack else {
      return outerNames.first { $0.0 == path }?.1
    }
    return layerNames.first { $0.0 == rest }.map { "blk.\(layer).\($0.1)" }
  }

  /// The path of a layer by its name in a GGUF file.
  static func path(ggufName: String) -> String? {
    let parts = ggufName.split(separator: ".", omittingEmptySubsequences: false)
    guard parts.count == 3, parts[0] == "blk", let layer = Int(parts[1]), layer >= 0 else {
      return outerNames.first { $0.1 == ggufName }?.0
    }
    return layerNames.first { $0.1 == parts[2] }.map { "model.layers.\(layer).\($0.0)" }
  }

  package let layerCount: Int
  package let tiesEmbeddings: Bool
  /// The layers, in the order of the model.
  package let sites: [Site]
  private let byPath: [String: Int]

  /// The layout of a model of these sizes.
  package init(
    layerCount: Int, hiddenSize: Int, intermediateSize: Int, headCount: Int,
    keyValueHeadCount: Int, headDimension: Int, vocabularySize: Int, tiesEmbeddings: Bool
  ) {
    self.layerCount = layerCount
    self.tiesEmbeddings = tiesEmbeddings
    let queries = headCount * headDimension
    let keys = keyValueHeadCount * headDimension
    func site(_ path: String, _ inFeatures: Int, _ outFeatures: Int, heads: Int? = nil) -> Site {
      Site(path: path, inFeatures: inFeatures, outFeatures: outFeatures, rotaryHeads: heads)
    }
    sites =
      [site("model.embed_tokens", vocabularySize, hiddenSize)]
      + (0..<layerCount).flatMap { layer in
        let (attention, mlp) = ("model.layers.\(layer).self_attn", "model.layers.\(layer).mlp")
        return [
          site(attention + ".q_proj", hiddenSize, queries, heads: headCount),
          site(attention + ".k_proj", hiddenSize, keys, heads: keyValueHeadCount),
          site(attention + ".v_proj", hiddenSize, keys),
          site(attention + ".o_proj", queries, hiddenSize),
          site(mlp + ".gate_proj", hiddenSize, intermediateSize),
          site(mlp + ".up_proj", hiddenSize, intermediateSize),
          site(mlp + ".down_proj", intermediateSize, hiddenSize),
        ]
      } + [site("lm_head", hiddenSize, vocabularySize)]
    byPath = Dictionary(uniqueKeysWithValues: sites.enumerated().map { ($1.path, $0) })
  }

  package func site(path: String) -> Site? { byPath[path].map { sites[$0] } }

  /// - Throws: `AdapterError` naming the first pair that is for another model.
  func check(_ adapter: AdapterWeights) throws {
    for module in adapter.modules {
      guard let site = site(path: module.path), site.isEmbedding == module.isEmbedding else {
        let near = module.path.nearest(in: sites.map(\.path))
        throw adapter.failure(
          "the base has no layer \(module.path.shortened)",
          (near.map { "the nearest is \($0); " } ?? "")
            + "the base has \(layerCount) layers: was the adapter made for another model?")
      }
      guard module.inFeatures == site.inFeatures, module.outFeatures == site.outFeatures else {
        throw adapter.failure(
          "the pair of \(module.path) maps \(module.inFeatures) to \(module.outFeatures) features, "
            + "the base's layer \(site.inFeatures) to \(site.outFeatures)",
          module.rank == site.inFeatures && module.rank == site.outFeatures
            ? "the factors are transposed: the other form's orientation, or a broken converter"
            : "was the adapter made for another model?")
      }
    }
  }
}
