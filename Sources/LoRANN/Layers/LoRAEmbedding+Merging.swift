// An embedding's table with adapters merged into it, row by row.

package import LoRATensor

extension LoRAEmbedding {
  /// Rows of E + s·(B·A)ᵀ, for DoRA m/n∘ of it, with the trained tokens in their places, over the named adapters, float32.
  package func mergedRows(_ range: Range<Int>, of names: Set<String>) -> Tensor {
    let own = base.weight.replacements.last { names.contains($0.name) }?.parameter
    var rows = (own ?? base.weight).value.rows(range).converted(to: .float32)
    let ids = range.map { Int32($0) }
    for (name, pair) in pairs where names.contains(name) {
      let p = embeddingColumns(pair.a.value, at: ids) * Tensor(pair.scale)
      rows = linear(.plain(p), [LinearOperand(weight: pair.b.value)], residual: rows)[0]
      if let stretch = pair.stretch(ofTable: base.weight.value) {
        rows = stretched(rows, by: stretch)
      }
    }
    return replacingTokens(of: rows, at: range, of: names)
  }

  /// Rows of a table that shares its trained tokens with this one: the tokens' rows are the trained.
  package func replacingTokens(
    of rows: Tensor, at range: Range<Int>, of names: Set<String>
  ) -> Tensor {
    tokens.reduce(rows) { rows, entry in
      guard names.contains(entry.name) else { return rows }
      return replacingRows(
        rows, from: entry.tokens.rows.value, range.map { entry.tokens.place(of: Int32($0)) })
    }
  }
}
