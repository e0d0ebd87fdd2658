// An adapter's files looked at without a model: what `lora inspect` shows.

import Foundation
import LoRAFormats
import LoRAJSON
public import LoRANN
import LoRATensor

/// What is in an adapter, of whatever form, as far as it can be told without the model.
public struct AdapterInspection: Sendable {
  /// What a pair adds to a layer: ΔW = scale·B·A.
  public struct Layer: Sendable {
    /// The layer's path in the model.
    public let path: String
    /// The layer's inputs; of an embedding, the vocabulary.
    public let inFeatures: Int
    /// The layer's outputs.
    public let outFeatures: Int
    /// r of this layer.
    public let rank: Int
    /// s of this layer.
    public let scale: Double
    /// √ Σ a².
    public let normOfA: Double
    /// √ Σ b².
    public let normOfB: Double
    /// The singular values of ΔW that can differ from 0, the largest first; DoRA's lengths aside.
    public let singularValues: [Double]
    /// Whether the layer has DoRA's lengths.
    public let hasMagnitude: Bool
    /// The numbers of the pair.
    public let parameterCount: Int
    /// ‖W‖ of the base's weight, where the model was given.
    public let baseNorm: Double?

    /// ‖ΔW‖/‖W‖, where the model was given.
    public var relativeNorm: Double? { baseNorm.map { $0 > 0 ? norm / $0 : .infinity } }

    /// ‖ΔW‖: √ Σ Δw², which is √ Σ σ².
    public var norm: Double { singularValues.reduce(0) { $0 + $1 * $1 }.squareRoot() }

    /// e to the entropy of σ/Σσ (Roy & Vetterli 2007): r where all directions are as strong, 1 where
    /// one does everything, 0 where nothing is changed.
    public var effectiveRank: Double {
      let sum = singularValues.reduce(0, +)
      guard sum > 0 else { return 0 }
      return exp(
        singularValues.reduce(0) { entropy, value in
          value > 0 ? entropy - value / sum * log(value / sum) : entropy
        })
    }
  }

  /// "PEFT", "GGUF" or "MLX".
  public let form: String
  /// What PEFT's adapter_config.json says; nil for the other forms.
  public let configuration: LoRAConfiguration?
  /// The base model's name, where the files tell it.
  public let baseModel: String?
  /// SHA-256 of the base's weights, where the files tell it.
  public let baseIdentity: String?
  /// The probability of dropout while training.
  public let dropout: Float
  /// The layers in the order of the model.
  public let layers: [Layer]
  /// Tensors that are no part of a pair: name, role and number of elements.
  public let extras: [(name: String, role: String, count: Int)]
  /// What is odd about the files, and what of them does not act.
  public let warnings: [String]
  /// The types of the factors, like "F32".
  public let types: [String]
  /// The bytes of the file of tensors.
  public let byteCount: Int

  /// A layer that changes less than this share of the layer in the middle is as good as untrained.
  public static let negligibleShare = 1e-4

  /// Layers that change nothing, or next to nothing beside the others.
  public var deadLayers: [Layer] {
    let norms = layers.map(\.norm).sorted()
    let limit = (norms.isEmpty ? 0 : norms[norms.count / 2]) * Self.negligibleShare
    return layers.filter { $0.norm <= limit }
  }

  /// The ranks that occur, in order.
  public var ranks: [Int] { Set(layers.map(\.rank)).sorted() }

  /// The scales that occur, in order.
  public var scales: [Double] { Set(layers.map(\.scale)).sorted() }

  /// The numbers in the pairs.
  public var parameterCount: Int { layers.reduce(0) { $0 + $1.parameterCount } }

  /// Reads an adapter: a folder of PEFT's or MLX's, or a GGUF file.
  ///
  /// - Parameter model: the base, for the norms of its weights; may be as stored.
  /// - Throws: `AdapterError` naming the key, the tensor, or the layer that the model does not have;
  ///   `ModelFileError`.
  public init(_ path: String, model: (any Module)? = nil) throws {
    // Without the base's layout: rows in another order have the same norms and singular values.
    let weights = try AdapterWeights(path)
    form = weights.form.title
    configuration = weights.configuration
    baseModel = weights.baseModel
    baseIdentity = weights.baseIdentity
    dropout = weights.dropout
    extras = weights.extras.map { ($0.name, $0.role, $0.count) }
    warnings = try weights.warnings + weights.leftOut(comparedWith: model)
    types = Set(weights.modules.flatMap { [$0.a.dtype.rawValue, $0.b.dtype.rawValue] }).sorted()
    byteCount = try MappedFile(path: weights.source).byteCount
    let sites = model.map { ModuleMap($0).sites }
    layers = try weights.modules.map { module in
      let baseNorm = try sites.map { try module.baseNorm(in: $0, file: path) }
      return Layer(
        path: module.path, inFeatures: module.inFeatures, outFeatures: module.outFeatures,
        rank: module.rank, scale: module.scale, normOfA: module.a.euclideanNorm,
        normOfB: module.b.euclideanNorm, singularValues: try module.singularValues(),
        hasMagnitude: module.magnitude != nil, parameterCount: module.parameterCount,
        baseNorm: baseNorm)
    }
  }
}

extension AdapterWeights.Module {
  /// ‖W‖ of the layer that the pair is for.
  fileprivate func baseNorm(in sites: [ModuleSite], file: String) throws -> Double {
    let site = sites.first { $0.path == path }
    guard let weight = site?.linear?.operand.weight ?? site?.embedding?.weight.value,
      weight.shape == (isEmbedding ? [inFeatures, outFeatures] : [outFeatures, inFeatures])
    else {
      throw AdapterError(
        file: file,
        message: "the model has no \(isEmbedding ? "embedding" : "linear layer") \(path.shortened) "
          + "from \(inFeatures) to \(outFeatures) features",
        hint: "name the base that the adapter was made on with --model")
    }
    return squaredRowNorms(weight).elements.reduce(0.0) { $0 + Double($1) }.squareRoot()
  }

  /// The singular values of s·B·A, from the small matrix R_B·R_Aᵀ of the factors' QR decompositions:
  /// the product itself, out × in, never exists.
  fileprivate func singularValues() throws -> [Double] {
    let b = b.converted(to: .float32)
    let a = a.converted(to: .float32)
    let left = b.shape[0] >= rank ? try b.orthonormalColumns().r : b
    let right =
      a.shape[1] >= rank ? try a.transposed().orthonormalColumns().r : a.transposed()
    let values = try left.times(transposeOf: right).singularValueDecomposition().s
    return values.map { Double($0) * abs(scale) }
  }
}

extension Tensor {
  fileprivate var euclideanNorm: Double {
    elements.reduce(0.0) { $0 + Double($1) * Double($1) }.squareRoot()
  }

  /// M·Nᵀ of small matrices, in double precision.
  fileprivate func times(transposeOf other: Tensor) -> Tensor {
    let (x, y) = (elements, other.elements)
    let width = shape[1]
    precondition(other.shape[1] == width, "times: \(shape) and the transpose of \(other.shape)")
    let result = (0..<shape[0]).flatMap { row in
      (0..<other.shape[0]).map { column in
        Float(
          (0..<width).reduce(0.0) {
            $0 + Double(x[row * width + $1]) * Double(y[column * width + $1])
          })
      }
    }
    return Tensor(result, shape: [shape[0], other.shape[0]])
  }
}
