// The guards that keep a template from hanging or filling the memory.

enum TemplateLimits {
  /// Bytes of the output and of any one string.
  static let longestText = 64 << 20
  /// Elements of a list that `*` makes.
  static let longestList = 1_000_000
  /// Units of work of one rendering: an expression, a statement, an element of a new list or 16
  /// bytes of a new string cost one. A long conversation needs some ten thousands.
  static let work = 20_000_000
  /// Expressions, statements, macros and recursive loops inside each other.
  static let depth = 200

  /// Refuses to make a text of `bytes + count * size` bytes when that is too long.
  static func check(_ bytes: Int, plus count: Int = 0, times size: Int = 0) throws {
    let (product, over) = count.multipliedReportingOverflow(by: size)
    let (sum, over2) = product.addingReportingOverflow(bytes)
    if over || over2 || sum > longestText {
      throw TemplateFault.limit("a text of more than \(longestText >> 20) MB")
    }
  }
}
