// Numbers with what they count: 1 row, 2 rows.

extension Int {
  /// The number and its unit, in the plural where it is not 1.
  package func counted(_ unit: String) -> String { "\(self) \(unit)\(self == 1 ? "" : "s")" }
}
