// How long this process lives: the loading of its libraries counts, which its own clock would miss.

import Foundation

/// Seconds since the kernel made this process, to a hundredth; nil where it does not say.
func secondsSinceProcessStart() -> Double? {
  guard let text = try? String(contentsOfFile: "/proc/self/stat", encoding: .utf8),
    // The name of the program, in brackets, may hold spaces.
    let end = text.lastIndex(of: ")"), case let fields = text[end...].split(separator: " "),
    fields.count > 20, let ticks = Double(fields[20]),
    let uptime = try? String(contentsOfFile: "/proc/uptime", encoding: .utf8),
    let now = uptime.split(separator: " ").first.flatMap({ Double($0) })
  else { return nil }
  return max(now - ticks / Double(sysconf(Int32(_SC_CLK_TCK))), 0)
}
