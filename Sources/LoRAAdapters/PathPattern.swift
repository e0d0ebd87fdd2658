// A regular expression over a module's path, as Python's `re` reads it, through PCRE2.

private import CPCRE2
import LoRAJSON

/// A pattern over the whole of a path: Python's `re.fullmatch`.
///
/// Invariant for `Sendable`: the compiled code never changes after `init`; every match brings its
/// own working memory.
final class PathPattern: @unchecked Sendable {
  /// The pattern as it was given.
  let text: String
  private let code: OpaquePointer

  /// Steps after which a match is given up: some hundredths of a second; paths take some hundred.
  private static let matchLimit: UInt32 = 1_000_000

  /// Compiles a pattern.
  ///
  /// - Parameters:
  ///   - prefix: what stands before the text in the pattern that is compiled.
  ///   - suffix: what stands behind it.
  /// - Throws: `AdapterError` where PCRE2 does not understand it.
  init(_ text: String, prefix: String = "", suffix: String = "") throws {
    self.text = text
    var pattern = prefix + text + suffix
    var code: Int32 = 0
    var offset = 0
    let compiled = pattern.withUTF8 { bytes in
      pcre2_compile_8(
        bytes.baseAddress, bytes.count, PCRE2_UTF | PCRE2_UCP | PCRE2_NEVER_BACKSLASH_C, &code,
        &offset, nil)
    }
    guard let compiled else {
      throw AdapterError(
        message: "\"\(text.shortened)\" is not a regular expression: \(Self.message(of: code)), at "
          + "offset \(min(max(offset - prefix.utf8.count, 0), text.utf8.count))",
        hint: "write it as Python's re.fullmatch takes it, like \".*\\.(q_proj|v_proj)\"")
    }
    self.code = compiled
  }

  deinit { pcre2_code_free_8(code) }

  /// Whether the pattern matches the whole path.
  ///
  /// - Throws: `AdapterError` where the match takes so many steps that it might never end.
  func matches(_ path: String) throws -> Bool { try groups(path, whole: true) != nil }

  /// The text of the last group in a match at the start of the path; nil without a match.
  ///
  /// - Throws: as `matches`.
  func lastGroup(atStartOf path: String) throws -> String? { try groups(path, whole: false)?.last }

  private func groups(_ path: String, whole: Bool) throws -> [String]? {
    guard let context = pcre2_match_context_create_8(nil),
      let data = pcre2_match_data_create_from_pattern_8(code, nil)
    else { preconditionFailure("PCRE2: no memory for a match") }
    defer {
      pcre2_match_data_free_8(data)
      pcre2_match_context_free_8(context)
    }
    pcre2_set_match_limit_8(context, Self.matchLimit)
    var subject = path
    return try subject.withUTF8 { bytes -> [String]? in
      let options = PCRE2_ANCHORED | (whole ? PCRE2_ENDANCHORED : 0) | PCRE2_NO_UTF_CHECK
      let count = pcre2_match_8(code, bytes.baseAddress, bytes.count, 0, options, data, context)
      if count == PCRE2_ERROR_NOMATCH { return nil }
      guard count > 0, let bounds = pcre2_get_ovector_pointer_8(data) else {
        throw AdapterError(
          message: "the regular expression \"\(text.shortened)\" does not come to an end on "
            + "\(path): \(Self.message(of: count))",
          hint: "avoid repetitions within repetitions, like (a+)+")
      }
      return (0..<Int(count)).map { group in
        let range = bounds[2 * group]..<bounds[2 * group + 1]
        // An optional group that took no part has no bounds.
        return range.upperBound <= bytes.count
          ? String(decoding: bytes[range], as: UTF8.self) : ""
      }
    }
  }

  private static func message(of code: Int32) -> String {
    var buffer = [UInt8](repeating: 0, count: 256)
    guard pcre2_get_error_message_8(code, &buffer, buffer.count) > 0 else {
      return "error \(code)"
    }
    return String(decoding: buffer.prefix { $0 != 0 }, as: UTF8.self)
  }
}

extension String {
  /// The text with what has a meaning in a pattern made to stand for itself.
  var escapedForPattern: String {
    reduce(into: "") { result, character in
      if "\\.^$*+?{}[]|()".contains(character) { result.append("\\") }
      result.append(character)
    }
  }
}
