// The character classes of the pre-tokenizers' patterns, written so that they mean the same everywhere.

/// Members of PCRE2 character classes (to be put between brackets).
///
/// Which characters are letters depends on the Unicode version of the one who asks. Hugging Face's
/// `tokenizers` (0.23) splits with Unicode 16, Debian 12's PCRE2 knows Unicode 14: the characters
/// that came between are added by hand. A PCRE2 with Unicode 15 or 16 has them already, which does
/// no harm. `Scripts/fixtures/tokenizer.py --classes` writes their classes to a fixture, and a test
/// names every code point of Unicode that is not where the fixture has it.
enum UnicodeClasses {
  /// Letters.
  static let letters = #"\p{L}"# + lettersSinceUnicode15

  /// Numbers of all kinds.
  static let numbers = #"\p{N}"# + numbersSinceUnicode15

  /// Numbers as Rust's standard library knows them (Unicode 17), which `Digits` goes by.
  static let digits = numbers + #"\x{11DE0}-\x{11DE9}\x{16FF4}-\x{16FF6}"#

  /// Punctuation.
  static let punctuation = #"\p{P}"# + punctuationSinceUnicode15

  /// White space by Unicode's property. PCRE2's own `\s` has U+180E too, which left it in Unicode 6.3.
  static let spaces =
    #"\t-\r\x20\x{85}\x{A0}\x{1680}\x{2000}-\x{200A}\x{2028}\x{2029}\x{202F}\x{205F}\x{3000}"#

  private static let lettersSinceUnicode15 =
    #"\x{1C89}-\x{1C8A}\x{A7CB}-\x{A7CD}\x{A7DA}-\x{A7DC}\x{105C0}-\x{105F3}"#
    + #"\x{10D4A}-\x{10D65}\x{10D6F}-\x{10D85}\x{10EC2}-\x{10EC4}\x{1123F}-\x{11240}"#
    + #"\x{11380}-\x{11389}\x{1138B}\x{1138E}\x{11390}-\x{113B5}\x{113B7}\x{113D1}\x{113D3}"#
    + #"\x{11BC0}-\x{11BE0}\x{11F02}\x{11F04}-\x{11F10}\x{11F12}-\x{11F33}\x{1342F}"#
    + #"\x{13441}-\x{13446}\x{13460}-\x{143FA}\x{16100}-\x{1611D}\x{16D40}-\x{16D6C}"#
    + #"\x{18CFF}\x{1B132}\x{1B155}\x{1DF25}-\x{1DF2A}\x{1E030}-\x{1E06D}\x{1E4D0}-\x{1E4EB}"#
    + #"\x{1E5D0}-\x{1E5ED}\x{1E5F0}\x{2B739}\x{2EBF0}-\x{2EE5D}\x{31350}-\x{323AF}"#

  private static let numbersSinceUnicode15 =
    #"\x{10D40}-\x{10D49}\x{116D0}-\x{116E3}\x{11BF0}-\x{11BF9}\x{11F50}-\x{11F59}"#
    + #"\x{16130}-\x{16139}\x{16D70}-\x{16D79}\x{1CCF0}-\x{1CCF9}\x{1D2C0}-\x{1D2D3}"#
    + #"\x{1E4F0}-\x{1E4F9}\x{1E5F1}-\x{1E5FA}"#

  private static let punctuationSinceUnicode15 =
    #"\x{1B4E}-\x{1B4F}\x{1B7F}\x{10D6E}\x{113D4}-\x{113D5}\x{113D7}-\x{113D8}"#
    + #"\x{11B00}-\x{11B09}\x{11BE1}\x{11F43}-\x{11F4F}\x{16D6D}-\x{16D6F}\x{1E5FF}"#
}
