// A language model as a user meets it: the network, its tokenizer and template, its adapters.

public import Foundation
public import LoRAJSON

/// A language model from a file, with the tokenizer and the chat template that belong to it.
public final class LanguageModel {
  /// The network.
  public let network: Llama
  /// What turns rows and conversations into tokens.
  public let encoder: TextEncoder
  /// The path that the model was read from.
  public let path: String
  /// What each adapter was added or loaded with.
  public package(set) var adapters: [String: LoRAConfiguration] = [:]

  /// Loads a GGUF file, or a folder with config.json, *.safetensors and tokenizer.json.
  ///
  /// - Parameter asStored: weights stay mapped as the file holds them, which is right to generate: it
  ///   starts at once. To train or to score they are better converted once.
  /// - Throws: `ModelFileError` naming the key or tensor that is missing, broken or not supported.
  public convenience init(
    contentsOf url: URL, precision: Precision = .auto, asStored: Bool = false
  ) throws {
    try self.init(path: url.path, precision: precision, asStored: asStored)
  }

  /// Loads the GGUF file or folder at a path.
  ///
  /// - Parameters:
  ///   - templateVariables: what the chat template gets beside the messages, like enable_thinking.
  ///   - templateDate: the day that it writes where it asks for today's; nil: today.
  /// - Throws: `ModelFileError`; `DataError` naming a variable that the template does not read.
  public convenience init(
    path: String, precision: Precision = .auto, asStored: Bool = false,
    templateVariables: JSONObject = [:], templateDate: TemplateDate? = nil
  ) throws {
    let source = try ModelSource(path: path)
    try self.init(
      source: source,
      encoder: source.encoder().with(templateVariables: templateVariables).dated(templateDate),
      precision: precision, asStored: asStored)
  }

  package init(
    source: ModelSource, encoder: TextEncoder, precision: Precision,
    asStored: Bool = false
  ) throws {
    network = try source.network(computeType: precision.computeType, asStored: asStored)
    self.encoder = encoder
    path = source.path
    try source.check(encoder, fits: network.configuration)
  }

  /// Puts a new adapter beside the model's linear layers; everything else is frozen.
  ///
  /// The model computes what it did before until the adapter is trained.
  /// - Throws: `LoRAConfigurationError`, `AdapterError`; the model is then as before.
  @discardableResult
  public func addAdapter(
    _ name: String, _ configuration: LoRAConfiguration, seed: UInt64 = 42
  ) throws -> AdapterSummary {
    var configuration = configuration
    configuration.baseModel = configuration.baseModel ?? path
    let summary = try network.addAdapter(name, configuration, seed: seed)
    adapters[name] = configuration
    return summary
  }

  /// Puts the adapter in a folder, of this project or of PEFT, into the model.
  ///
  /// - Throws: `AdapterError`, `ModelFileError`; the model is then as before.
  @discardableResult
  public func loadAdapter(
    _ name: String, from url: URL, isTrainable: Bool = false
  ) throws -> LoadedAdapter {
    let loaded = try network.loadAdapter(name, from: url.path, isTrainable: isTrainable)
    adapters[name] = loaded.configuration
    return loaded
  }

  /// Writes an adapter as a folder that PEFT reads.
  ///
  /// - Throws: `AdapterError` where there is no such adapter; `OutputFileError`.
  public func saveAdapter(_ name: String, to url: URL) throws {
    // A name without a configuration is unknown to the network too, whose error says which exist.
    try network.saveAdapter(name, adapters[name] ?? LoRAConfiguration(), to: url.path)
  }

  /// Continues a conversation with the model's turn.
  ///
  /// - Parameter messages: (role, content), like ("user", "Hello!").
  /// - Throws: `DataError` where the template refuses the messages; `GenerationError`.
  public func respond(
    to messages: [(role: String, content: String)], options: GenerationOptions = .init()
  ) throws -> String {
    let prompt = try encoder.prompt(messages: messages)
    return try generator(stop: options.stop).generate([prompt], options: options).first?.text ?? ""
  }

  /// A generator of the model's texts, without control tokens.
  ///
  /// - Parameter stop: the stop strings that will be asked for: one that is the spelling of a control
  ///   token, which no text shows, ends a text at that token.
  package func generator(stop: [String] = [], batchSize: Int = 16) -> Generator {
    let tokenizer = encoder.tokenizer
    let spelled = stop.compactMap(tokenizer.tokenID).filter {
      tokenizer.decodeBytes([$0], skipSpecialTokens: true).isEmpty
    }
    return Generator(
      model: network, stopTokens: tokenizer.endOfGenerationTokenIDs.union(spelled),
      batchSize: batchSize
    ) { tokenizer.decodeBytes([$0], skipSpecialTokens: true) }
  }
}

extension Trainer {
  /// A run over a data set.
  ///
  /// - Parameter adapter: the adapter to train; unset, the one that is trainable.
  /// - Throws: `TrainingError` when an option cannot be, or the adapter is not there or not clear.
  public convenience init(
    _ model: LanguageModel, adapter: String? = nil, data: Dataset,
    options: TrainingOptions = .init()
  ) throws {
    try self.init(
      model.network, adapter: adapter, examples: data.examples, options: options)
  }
}

extension Dataset {
  /// Reads a file of rows as a model sees them.
  ///
  /// - Throws: `DataError` with file and line.
  public init(
    contentsOf url: URL, for model: LanguageModel, maxLength: Int? = nil,
    truncation: Truncation = .error
  ) throws {
    try self.init(
      contentsOf: url.path, encoder: model.encoder, maxLength: maxLength, truncation: truncation)
  }
}
