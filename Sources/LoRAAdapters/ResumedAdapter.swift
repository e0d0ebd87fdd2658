// Goes on with an adapter whose file holds a plain difference: what it started as is found in it.

public import LoRANN

extension Module {
  /// Loads the adapter of a checkpoint so that training goes on as if it had never stopped.
  ///
  /// PiSSA and OLoRA are written as [A; A₀] and [B, −B₀]; the halves become A, B and the part that is
  /// taken out of the base again, bit for bit.
  /// - Parameter configuration: what the adapter was added with.
  /// - Throws: as `loadAdapter`; `AdapterError` where the file is none of this configuration.
  @discardableResult
  public func resumeAdapter(
    _ name: String, from directory: String, _ configuration: LoRAConfiguration
  ) throws -> LoadedAdapter {
    let loaded = try loadAdapter(name, from: directory, isTrainable: true)
    guard configuration.initialization.movesBase else { return loaded }
    let targets = try ModuleMap(self).select(configuration).layers
    let pairs = try targets.map { target in
      guard let pair = target.site.adapted?.pairs.last(where: { $0.name == name })?.pair,
        pair.rank == 2 * target.pair.rank
      else {
        throw AdapterError(
          file: directory,
          message: "the adapter at \(target.path) has not twice the rank \(target.pair.rank), as "
            + "one that began as a part of the weights",
          hint: "resume with the settings that the run began with")
      }
      return pair.withStart
    }
    for (target, pair) in zip(targets, pairs) {
      pair.scale = target.pair.scale
      pair.dropout = target.pair.dropout
      target.site.adapted?.remove(name)
      target.site.adapted?.add(name, pair)
    }
    return LoadedAdapter(
      configuration: configuration, summary: summary(of: name, warnings: loaded.summary.warnings))
  }
}
