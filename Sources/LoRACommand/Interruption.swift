// Ctrl-C and SIGTERM: the first asks for an end after the step, the second ends at once.

import Dispatch
import Foundation
import Synchronization

/// Listens for SIGINT and SIGTERM while it lives.
final class Interruption {
  private let requests: Requests
  private let sources: [any DispatchSourceSignal]

  /// Whether an end was asked for.
  var isRequested: Bool { requests.count > 0 }

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
    private let received = Mutex(0)
    private let note: String

    init(note: String) { self.note = note }

    var count: Int { received.withLock { $0 } }

    func add(_ number: Int32) {
      let count = received.withLock {
        $0 += 1
        return $0
      }
      // Files are renamed into place: ending here leaves none half written.
      if count > 1 { _exit(128 + number) }
      Console.error("\n\(note)\n")
    }
  }
}
