// Values that begin with a minus sign, which the parser of arguments would take for flags.

extension [String] {
  /// The arguments with each flag joined to the value behind it where that begins with a minus sign
  /// and no flag does: `--alpha -1` becomes `--alpha=-1`, so that what checks the value gets it.
  var joiningNegativeValues: [String] {
    var result: [String] = []
    for (index, argument) in enumerated() {
      if argument == "--" { return result + self[index...] }
      if argument.isNegativeValue, let flag = result.last, flag.hasPrefix("--"),
        !flag.contains("=")
      {
        result[result.count - 1] = flag + "=" + argument
      } else {
        result.append(argument)
      }
    }
    return result
  }
}

extension String {
  /// A minus sign and what no flag begins with: a digit, a point, a space, or a number's name.
  fileprivate var isNegativeValue: Bool {
    guard first == "-", let second = dropFirst().first else { return false }
    return !(second.isLetter || second == "-")
      || ["-inf", "-infinity", "-nan"].contains(lowercased())
  }
}
