// Several adapters on one language model: which there are, which act, and a choice for each prompt.

public import Foundation

extension LanguageModel {
  /// Goes on training an adapter that was saved while it was trained, as if that had never stopped.
  ///
  /// - Parameter configuration: what it was added with.
  /// - Throws: `AdapterError`, `ModelFileError`.
  @discardableResult
  public func resumeAdapter(
    _ name: String, from url: URL, _ configuration: LoRAConfiguration
  ) throws -> LoadedAdapter {
    let loaded = try network.resumeAdapter(name, from: url.path, configuration)
    adapters[name] = loaded.configuration
    return loaded
  }

  /// The adapters that take part in what the model computes; their sum, if several. All that were
  /// added or loaded, unless changed.
  public var activeAdapters: [String] { network.activeAdapterNames }

  /// Lets these adapters take part, and no others; which of them are trained does not change.
  ///
  /// - Throws: `AdapterError` naming the adapters there are, where one is unknown.
  public func activateAdapters(_ names: [String]) throws { try network.activateAdapters(names) }

  /// Lets one adapter take part alone.
  ///
  /// - Throws: `AdapterError` naming the adapters there are, where it is unknown.
  public func activateAdapter(_ name: String) throws { try network.activateAdapters([name]) }

  /// Trains these adapters and nothing else; the others are frozen, and act as before.
  ///
  /// - Throws: `AdapterError` where one is unknown or not active.
  public func trainAdapters(_ names: [String]) throws { try network.trainAdapters(names) }

  /// Switches all adapters off until they are switched on again, or on.
  public func setAdaptersEnabled(_ isEnabled: Bool) { network.setAdaptersEnabled(isEnabled) }

  /// Runs `body` with the model as it is without adapters.
  public func withoutAdapters<Result>(_ body: () throws -> Result) rethrows -> Result {
    try network.withoutAdapters(body)
  }

  /// Takes an adapter out of the model. If it was the only active one, the first of the others by
  /// name becomes active.
  ///
  /// - Throws: `AdapterError` where the model has no such adapter.
  public func removeAdapter(_ name: String) throws {
    try network.removeAdapter(name)
    adapters[name] = nil
  }

  /// Gives an adapter another name.
  ///
  /// - Throws: `AdapterError` where there is no such adapter, or the new name cannot be.
  public func renameAdapter(_ name: String, to newName: String) throws {
    try network.renameAdapter(name, to: newName)
    guard name != newName else { return }
    adapters[newName] = adapters.removeValue(forKey: name)
  }

  /// Continues several conversations side by side, each with an adapter of its own.
  ///
  /// - Parameters:
  ///   - conversations: of each, (role, content), like ("user", "Hello!").
  ///   - adapters: one name for each conversation, nil for the model alone.
  /// - Throws: `AdapterError` naming the adapters there are, where one is unknown; `DataError`
  ///   where the template refuses messages; `GenerationError`.
  public func respond(
    toEach conversations: [[(role: String, content: String)]], adapters: [String?],
    options: GenerationOptions = .init()
  ) throws -> [String] {
    let prompts = try conversations.map { try encoder.prompt(messages: $0) }
    return try generator(stop: options.stop).generate(
      prompts, adapters: adapters, options: options
    ).map(\.text)
  }
}
