// What a network is made of: modules with named children and named parameters.

public import LoRATensor

/// A part of a network: it lists its parameters and its children under the names that Hugging Face
/// gives them, so that dotted paths like `model.layers.0.self_attn.q_proj` lead to every part.
public protocol Module: AnyObject {
  /// The parameters that the module itself holds, by name.
  var parameters: [(name: String, parameter: Parameter)] { get }
  /// The modules directly below, by name.
  var children: [ModuleChild] { get }
  /// The modules below that use the weight of another one, both by their dotted paths.
  var tiedModules: [(path: String, owner: String)] { get }
}

extension Module {
  /// No parameters of its own.
  public var parameters: [(name: String, parameter: Parameter)] { [] }

  /// No children.
  public var children: [ModuleChild] { [] }

  /// None.
  public var tiedModules: [(path: String, owner: String)] { [] }

  /// Every module below this one with its dotted path, parents before children.
  public var namedModules: [(path: String, child: ModuleChild)] {
    children.flatMap { child in
      [(path: child.name, child: child)]
        + child.module.namedModules.map { (path: child.name + "." + $0.path, child: $0.child) }
    }
  }

  /// Every parameter at or below this module with its dotted path; an adapter's replacement of
  /// `weight` is `modules_to_save.ADAPTER.weight`.
  public var namedParameters: [(path: String, parameter: Parameter)] {
    var result: [(path: String, parameter: Parameter)] = []
    for (name, parameter) in parameters {
      result.append((name, parameter))
      for (adapter, replacement) in parameter.replacements {
        result.append(("modules_to_save.\(adapter).\(name)", replacement))
      }
    }
    for child in children {
      for (path, parameter) in child.module.namedParameters {
        result.append((child.name + "." + path, parameter))
      }
    }
    return result
  }

  /// The parameters that training changes, with their dotted paths.
  public var trainableParameters: [(path: String, parameter: Parameter)] {
    namedParameters.filter { $0.parameter.isTrainable }
  }

  /// The parameters by which the present pass is differentiated.
  package var recordedParameters: [Parameter] {
    Tape.leaves(among: namedParameters.map(\.parameter))
  }

  /// Makes every parameter at or below this module constant.
  public func freeze() {
    for (_, parameter) in namedParameters { parameter.isTrainable = false }
  }
}

extension String {
  /// Whether the parameter at this path is an adapter's, not the model's.
  package var isPathOfAdapter: Bool {
    contains(".lora_") || contains("modules_to_save.") || contains(".token_adapter.")
  }
}

/// A module's place in its parent; a linear layer can be replaced there by an adapted one.
public struct ModuleChild {
  /// The name in the parent.
  public let name: String
  /// The module that stands there.
  public let module: any Module
  /// Puts another linear layer in its place; nil where none may stand.
  public let replace: ((any LinearLayer) -> Void)?
  /// Puts another embedding in its place; nil where none may stand.
  public let replaceEmbedding: ((any EmbeddingLayer) -> Void)?

  /// A child that stays.
  public init(_ name: String, _ module: any Module) {
    self.name = name
    self.module = module
    replace = nil
    replaceEmbedding = nil
  }

  /// An embedding held in a property of its parent, which an adapted one can take over.
  public init<Parent: AnyObject>(
    _ name: String, in parent: Parent,
    _ property: ReferenceWritableKeyPath<Parent, any EmbeddingLayer>
  ) {
    self.name = name
    module = parent[keyPath: property]
    replace = nil
    replaceEmbedding = { [unowned parent] in parent[keyPath: property] = $0 }
  }

  /// A linear layer held in a property of its parent, which an adapted layer can take over.
  public init<Parent: AnyObject>(
    _ name: String, in parent: Parent,
    _ property: ReferenceWritableKeyPath<Parent, any LinearLayer>
  ) {
    self.name = name
    module = parent[keyPath: property]
    replace = { [unowned parent] in parent[keyPath: property] = $0 }
    replaceEmbedding = nil
  }
}
