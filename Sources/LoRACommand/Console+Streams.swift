// Standard output that cannot be written: a full disk, a closed pipe, a terminal that is gone.

import Foundation
import LoRAFormats
import Synchronization

extension Console {
  private static let outputIsResult = Atomic(true)
  private static let hasWarned = Atomic(false)

  /// Makes a stream that cannot be written an error of writing, which no signal ends the process
  /// for; and sees to it that no file gets the number of a stream that was closed at the start.
  static func prepareStreams() {
    signal(SIGPIPE, SIG_IGN)
    for stream in Int32(0)...2 where fcntl(stream, F_GETFD) < 0 {
      // Opened the wrong way round, so that it can be used as little as before.
      _ = open("/dev/null", stream == 0 ? O_WRONLY : O_RDONLY)
    }
  }

  /// From now on standard output only shows how far work is whose result is in files: where it cannot
  /// be written that is said once, and the work goes on. Elsewhere it is the result, and ends.
  static func outputIsProgress() { outputIsResult.store(false, ordering: .relaxed) }

  /// Writes to standard output at once, so that a log that is followed is up to date.
  static func putStyled(_ text: String) {
    let code = write(text, to: 1)
    if code != 0 { outputFailed(code) }
  }

  /// Closes standard output: some file systems say only then that a disk is full.
  static func finishOutput() {
    if close(1) != 0, errno != EBADF { outputFailed(errno) }
  }

  static func write(_ text: String, to stream: Int32) -> Int32 {
    var text = text
    return text.withUTF8 { writeAll(UnsafeRawBufferPointer($0), to: stream) }
  }

  private static func outputFailed(_ code: Int32) {
    let message = "standard output cannot be written: \(String(cString: strerror(code)))"
    guard outputIsResult.load(ordering: .relaxed) else {
      if !hasWarned.exchange(true, ordering: .relaxed) {
        warn(message + "; the work goes on without it")
      }
      return
    }
    if code == EPIPE {
      // Whoever read it has seen enough, as with `| head`: the quiet end that a shell expects.
      signal(SIGPIPE, SIG_DFL)
      raise(SIGPIPE)
    }
    complain("Error: \(message)\n")
    exit(1)
  }
}
