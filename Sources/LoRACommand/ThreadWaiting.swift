// How long a thread that waits for another spins before it sleeps: not as long as libgomp would.

import Foundation

enum ThreadWaiting {
  /// Rounds of libgomp's loop: a tenth of a millisecond or two, longer than a thread waits in a step
  /// and short beside the scheduler's slice. Its own 300,000 keep the processor from the very thread
  /// that is waited for where other programs run: 12 to 28 times slower, instead of twice
  /// (Docs/performance.md).
  private static let spinCount = "5000"

  /// Begins the program anew with that limit in its environment, which libgomp reads as it is loaded,
  /// before any line of ours runs. What a user has set stays.
  static func limitSpinning() {
    guard getenv("GOMP_SPINCOUNT") == nil, getenv("OMP_WAIT_POLICY") == nil,
      setenv("GOMP_SPINCOUNT", spinCount, 1) == 0
    else { return }
    execv("/proc/self/exe", CommandLine.unsafeArgv)
    // Still here: there is no /proc. The program works as well without.
  }
}
