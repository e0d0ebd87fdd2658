// Signals that ask for an end: the work stops where nothing is lost; a second Ctrl-C ends it at once.

import ArgumentParser
import Dispatch
import Foundation
import Synchronization

/// Listens for the signals that ask a process to end while it lives: Ctrl-C, SIGTERM, SIGHUP (the
/// terminal or the connection is gone) and SIGUSR1 (as batch systems send before the time is up).
final class Interruption {
  private let requests: Requests
  private let sources: [(number: Int32, source: any DispatchSourceSignal)]

  /// Whether an end was asked for.
  var isRequested: Bool { requests.first != nil }

  /// What a shell expects of a process that a signal ended: 130 after Ctrl-C, 143 after SIGTERM.
  var exitCode: Int32 { 128 + (requests.first ?? SIGINT) }

  /// The name of the signal that came first.
  var name: String {
    switch requests.first {
    case SIGTERM: "SIGTERM"
    case SIGHUP: "SIGHUP"
    case SIGUSR1: "SIGUSR1"
    default: "Ctrl-C"
    }
  }

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
    sources = [SIGINT, SIGTERM, SIGHUP, SIGUSR1].compactMap { number in
      // What nohup has made deaf stays so.
      if number == SIGHUP, Self.isIgnored(number) { return nil }
      signal(number, SIG_IGN)
      let source = DispatchSource.makeSignalSource(signal: number, queue: .global())
      source.setEventHandler { requests.add(number) }
      source.resume()
      return (number, source)
    }
  }

  deinit {
    for (number, source) in sources {
      source.cancel()
      signal(number, SIG_DFL)
    }
  }

  private static func isIgnored(_ number: Int32) -> Bool {
    var action = sigaction()
    sigaction(number, nil, &action)
    return unsafeBitCast(action.__sigaction_handler.sa_handler, to: Int.self)
      == unsafeBitCast(SIG_IGN, to: Int.self)
  }

  private final class Requests: Sendable {
    let unfinished = Mutex<String?>(nil)
    private let received = Mutex<(first: Int32?, wasAskedToEnd: Bool)>((nil, false))
    private let note: String

    init(note: String) { self.note = note }

    /// The signal that came first.
    var first: Int32? { received.withLock { $0.first } }

    func add(_ number: Int32) {
      // A line that drops sends SIGHUP twice, from the kernel and from the shell, and a batch system
      // SIGTERM some time after SIGUSR1: only who asks by Ctrl-C or SIGTERM twice cannot wait.
      let asksToEnd = number == SIGINT || number == SIGTERM
      let (isFirst, endsAtOnce) = received.withLock { state in
        defer { state = (state.first ?? number, state.wasAskedToEnd || asksToEnd) }
        return (state.first == nil, asksToEnd && state.wasAskedToEnd)
      }
      // Files are renamed into place: ending here leaves none half written.
      if endsAtOnce {
        removeUnfinished()
        _exit(128 + number)
      }
      if isFirst { Console.complain("\n\(note)\n") }
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
