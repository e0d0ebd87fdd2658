// Ctrl-C and SIGTERM: the first asks for an end after the step, the second ends at once.

import Dispatch
import Foundation
import Synchronization

/// Listens for SIGINT and SIGTERM while it lives.
final class Interruption {
  private let requests: Requests
  private let sources: [any DispatchSourceSignal]

  /// Whether an end was asked for.
  var isRequested: Bool { requests.first != nil }

  /// What a shell expects of a process that a signal ended: 130 after Ctrl-C, 143 after SIGTERM.
  var exitCode: Int32 { 128 + (requests.first ?? SIGINT) }

  /// - Parameter note: what the first signal makes the command do, for the person who sent it.
  init(note: String = "finishing the step, then saving; once more to end at once") {
    let requests = Requests(note: note)
    self.requests = requests
    sources = [SIGINT, SIGTERM].map { number in
      signal(number, SIG_IGN)
      let source = DispatchSource.makeSignalSource(signal: number, queue: .global())
      source.setEventHandler { requests.add(number) }
      source.resume()
      return source
    }
  }

  deinit {
    sources.forEach { $0.cancel() }
    signal(SIGINT, SIG_DFL)
    signal(SIGTERM, SIG_DFL)
  }

  private final class Requests: Sendable {
    private let received = Mutex<Int32?>(nil)
    private let note: String

    init(note: String) { self.note = note }

    /// The signal that came first.
    var first: Int32? { received.withLock { $0 } }

    func add(_ number: Int32) {
      let isFirst = received.withLock { first in
        defer { first = first ?? number }
        return first == nil
      }
      // Files are renamed into place: ending here leaves none half written.
      guard isFirst else { _exit(128 + number) }
      Console.error("\n\(note)\n")
    }
  }
}
