// PCRE2 behind two small types: a compiled pattern that threads share, and a matcher for one thread.

private import CPCRE2

/// A compiled pattern over UTF-8. It never changes, so threads may share it.
final class RegularExpression: @unchecked Sendable {
  fileprivate let code: OpaquePointer
  fileprivate let isCompiledToMachineCode: Bool

  /// Compiles a pattern; throws if PCRE2 does not understand it.
  init(_ pattern: String) throws {
    var pattern = pattern
    var errorCode: Int32 = 0
    var errorOffset = 0
    let code = pattern.withUTF8 { bytes in
      pcre2_compile_8(
        bytes.baseAddress, bytes.count, PCRE2_UTF | PCRE2_UCP, &errorCode, &errorOffset, nil)
    }
    guard let code else {
      throw TokenizerError(
        message: "PCRE2 refused a pre-tokenizer's pattern at offset \(errorOffset): "
          + "error \(errorCode)",
        hint: "use PCRE2 10.30 or later, built with Unicode support")
    }
    self.code = code
    // Where memory must not be both written and executed there is no JIT; the interpreter remains.
    isCompiledToMachineCode = pcre2_jit_compile_8(code, PCRE2_JIT_COMPLETE) == 0
  }

  deinit { pcre2_code_free_8(code) }

  /// The Unicode version of PCRE2's tables, such as `14.0.0`.
  static var unicodeVersion: String {
    var buffer = [UInt8](repeating: 0, count: 64)
    guard pcre2_config_8(UInt32(PCRE2_CONFIG_UNICODE_VERSION), nil) <= buffer.count,
      pcre2_config_8(UInt32(PCRE2_CONFIG_UNICODE_VERSION), &buffer) > 0
    else { return "unknown" }
    return String(decoding: buffer.prefix { $0 != 0 }, as: UTF8.self)
  }
}

/// The place where one thread's matches of a pattern are written.
struct RegularExpressionMatcher: ~Copyable {
  private let expression: RegularExpression
  private let data: OpaquePointer
  private let bounds: UnsafeMutablePointer<Int>

  /// A matcher of the expression.
  init(_ expression: RegularExpression) {
    self.expression = expression
    guard let data = pcre2_match_data_create_8(1, nil),
      let bounds = pcre2_get_ovector_pointer_8(data)
    else { preconditionFailure("PCRE2: no memory for match data") }
    self.data = data
    self.bounds = bounds
  }

  deinit { pcre2_match_data_free_8(data) }

  /// The first match at or after an offset. The bytes must be valid UTF-8, as those of a `String`.
  @inline(__always)
  borrowing func firstMatch(in bytes: UnsafeBufferPointer<UInt8>, from start: Int) -> Range<Int>? {
    var result: Int32
    if expression.isCompiledToMachineCode {
      result = pcre2_jit_match_8(
        expression.code, bytes.baseAddress, bytes.count, start, 0, data, nil)
    } else {
      result = pcre2_match_8(
        expression.code, bytes.baseAddress, bytes.count, start, PCRE2_NO_UTF_CHECK, data, nil)
    }
    if result == PCRE2_ERROR_NOMATCH { return nil }
    if result < 0 {
      // The machine code has a small stack of its own; the interpreter takes what it needs.
      result = pcre2_match_8(
        expression.code, bytes.baseAddress, bytes.count, start,
        PCRE2_NO_UTF_CHECK | PCRE2_NO_JIT, data, nil)
      if result == PCRE2_ERROR_NOMATCH { return nil }
      precondition(result >= 0, "PCRE2: match failed with error \(result)")
    }
    return bounds[0]..<bounds[1]
  }
}
