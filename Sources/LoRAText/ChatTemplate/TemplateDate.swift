// The day that a template writes where it asks for today's: a run has one, whenever it goes on.

import Foundation

/// A day as `strftime_now` of a chat template sees it, from its first second in local time.
public struct TemplateDate: Sendable, Hashable, LosslessStringConvertible {
  /// The day like 2026-11-27.
  public let description: String
  let seconds: TimeInterval

  /// A day like 2026-11-27; nil where it is none.
  public init?(_ text: String) {
    guard let match = text.wholeMatch(of: /(\d{4})-(\d{2})-(\d{2})/),
      let year = Int32(match.1), let month = Int32(match.2), let day = Int32(match.3)
    else { return nil }
    var parts = tm()
    (parts.tm_year, parts.tm_mon, parts.tm_mday) = (year - 1900, month - 1, day)
    parts.tm_isdst = -1
    let time = mktime(&parts)
    // mktime takes the 30th of February for the 1st or 2nd of March.
    guard (parts.tm_year, parts.tm_mon, parts.tm_mday) == (year - 1900, month - 1, day) else {
      return nil
    }
    description = text
    seconds = TimeInterval(time)
  }

  /// The day on which this is asked for.
  public static var today: TemplateDate? {
    (try? TemplateGlobals.format("%Y-%m-%d", Date().timeIntervalSince1970)).flatMap(Self.init)
  }
}
