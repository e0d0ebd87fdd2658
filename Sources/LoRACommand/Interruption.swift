// Ctrl-C and SIGTERM: the first asks for an end after the step, the second ends at once.

import ArgumentParser
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

  /// Ends the work where the first signal has come.
  ///
  /// - Throws: `ExitCode`, which a shell expects of a process that the signal ended.
  func check() throws { if isRequested { throw ExitCode(exitCode) } }

  /// Names an unfinished folder that the second signal, which ends the process at once, removes.
  func removeOnAbort(_ folder: String) { requests.unfinished.withLock { $0 = folder } }

  /// Removes that folder, also where the second signal is just doing so.
  func removeUnfinished() { requests.removeUnfinished() }

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
    let unfinished = Mutex<String?>(nil)
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
      guard isFirst else {
        removeUnfinished()
        _exit(128 + number)
      }
      Console.complain("\n\(note)\n")
    }

    /// The work and the signal's thread may both be removing the folder, and each then misses what
    /// the other took.
    func removeUnfinished() {
      let files = FileManager.default
      guard let folder = unfinished.withLock({ $0 }) else { return }
      for _ in 0..<100 where files.fileExists(atPath: folder) {
        try? files.removeItem(atPath: folder)
        usleep(1_000)
      }
    }
  }
}
