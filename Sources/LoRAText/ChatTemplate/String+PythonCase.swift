// Python's methods of strings about case and classes of characters.

extension String {
  func pythonUppercased() -> String { mapping(\.properties.uppercaseMapping) }

  /// Lower case; a sigma at the end of a word becomes its final form.
  func pythonLowercased() -> String {
    guard unicodeScalars.contains("\u{3A3}") else { return mapping(\.properties.lowercaseMapping) }
    let scalars = Array(unicodeScalars)
    var result = ""
    for place in scalars.indices {
      result +=
        scalars[place] == "\u{3A3}"
        ? Self.isFinalSigma(scalars, place) ? "\u{3C2}" : "\u{3C3}"
        : scalars[place].properties.lowercaseMapping
    }
    return result
  }

  /// The first character in title case, the rest in lower case.
  func pythonCapitalized() -> String {
    guard let first = unicodeScalars.first else { return "" }
    // The rest is lowered with the first in sight: a sigma after it may be final.
    let lowered = Self.loweredTail(Array(unicodeScalars), from: 1)
    return first.properties.titlecaseMapping + lowered
  }

  /// Each run of cased characters capitalized: the method `title`, not the filter.
  func pythonTitled() -> String {
    let scalars = Array(unicodeScalars)
    var result = ""
    var followsCased = false
    for place in scalars.indices {
      result +=
        followsCased
        ? Self.lowered(scalars, place) : scalars[place].properties.titlecaseMapping
      followsCased = scalars[place].properties.isCased
    }
    return result
  }

  func pythonSwappedCase() -> String {
    let scalars = Array(unicodeScalars)
    var result = ""
    for place in scalars.indices {
      let properties = scalars[place].properties
      if properties.isUppercase {
        result += Self.lowered(scalars, place)
      } else if properties.isLowercase {
        result += properties.uppercaseMapping
      } else {
        result.unicodeScalars.append(scalars[place])
      }
    }
    return result
  }

  /// Whether there is a cased character and all cased ones are lower case.
  var isPythonLower: Bool { hasCase(\.isLowercase) }
  /// Whether there is a cased character and all cased ones are upper case.
  var isPythonUpper: Bool { hasCase(\.isUppercase) }

  /// Whether the string is not empty and every scalar passes.
  func isAll(_ test: (Unicode.Scalar) -> Bool) -> Bool {
    !isEmpty && unicodeScalars.allSatisfy(test)
  }

  private func mapping(_ map: (Unicode.Scalar) -> String) -> String {
    if utf8.allSatisfy({ $0 < 0x80 }) {
      var result = String.UnicodeScalarView()
      for scalar in unicodeScalars { result.append(contentsOf: map(scalar).unicodeScalars) }
      return String(result)
    }
    var result = ""
    for scalar in unicodeScalars { result += map(scalar) }
    return result
  }

  private func hasCase(_ wanted: (Unicode.Scalar.Properties) -> Bool) -> Bool {
    var found = false
    for scalar in unicodeScalars {
      let properties = scalar.properties
      if wanted(properties) {
        found = true
      } else if properties.isUppercase || properties.isLowercase
        || properties.generalCategory == .titlecaseLetter
      {
        return false
      }
    }
    return found
  }

  private static func loweredTail(_ scalars: [Unicode.Scalar], from start: Int) -> String {
    var result = ""
    for place in scalars.indices.dropFirst(start) { result += lowered(scalars, place) }
    return result
  }

  private static func lowered(_ scalars: [Unicode.Scalar], _ place: Int) -> String {
    guard scalars[place] == "\u{3A3}" else { return scalars[place].properties.lowercaseMapping }
    return isFinalSigma(scalars, place) ? "\u{3C2}" : "\u{3C3}"
  }

  /// Unicode's Final_Sigma: a cased character before and none after, ignorable ones aside.
  private static func isFinalSigma(_ scalars: [Unicode.Scalar], _ place: Int) -> Bool {
    let before = scalars[..<place].last { !$0.properties.isCaseIgnorable }
    let after = scalars[(place + 1)...].first { !$0.properties.isCaseIgnorable }
    return before?.properties.isCased == true && after?.properties.isCased != true
  }
}
