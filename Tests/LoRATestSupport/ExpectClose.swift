// The comparison of computed numbers with reference numbers, element by element.

package import Testing

/// Expects `|actual − expected| ≤ atol + rtol·|expected|` of every element, and no NaN or infinity
/// that the reference does not have.
///
/// A failure is one issue at the caller's line that says how many elements are off and shows the one
/// that is off the most, in units of its tolerance.
package func expectClose(
  actual: [Float], expected: [Float], atol: Float, rtol: Float, name: String = "values",
  sourceLocation: SourceLocation = #_sourceLocation
) {
  guard atol >= 0, rtol >= 0 else {
    Issue.record(
      "\(name): negative or NaN tolerance, atol \(atol), rtol \(rtol)",
      sourceLocation: sourceLocation)
    return
  }
  guard actual.count == expected.count else {
    Issue.record(
      "\(name): \(actual.count) elements, expected \(expected.count)",
      sourceLocation: sourceLocation)
    return
  }
  var failures = 0
  var worst = (index: 0, excess: -Double.infinity)
  for index in actual.indices {
    // In double precision, so that the tolerance itself is not rounded.
    let a = Double(actual[index])
    let e = Double(expected[index])
    if a == e || (a.isNaN && e.isNaN) { continue }
    let difference = abs(a - e)
    let tolerance = Double(atol) + Double(rtol) * abs(e)
    if e.isFinite && difference <= tolerance { continue }
    failures += 1
    let excess = difference.isFinite ? difference / max(tolerance, 1e-300) : .infinity
    if excess > worst.excess { worst = (index, excess) }
  }
  if failures > 0 {
    let a = actual[worst.index]
    let e = expected[worst.index]
    Issue.record(
      """
      \(name): \(failures) of \(actual.count) elements are off; the worst is [\(worst.index)]: \
      \(a), expected \(e), difference \(abs(Double(a) - Double(e))), \
      tolerance \(Double(atol) + Double(rtol) * abs(Double(e)))
      """, sourceLocation: sourceLocation)
  }
}
