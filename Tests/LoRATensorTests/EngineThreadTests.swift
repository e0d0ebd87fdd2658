// One thread computes, whoever asks: the number of threads is the process's, callers that come and
// go leave nothing behind, and a body on the engine's thread has its caller's task-local values.

import Foundation
import LoRATensor
import LoRATestSupport
import Synchronization
import Testing

@Suite(.serialized) struct EngineThreadTests {
  private struct Refusal: Error, Equatable { let number: Int }

  private enum Caller { @TaskLocal static var name = "nobody" }

  private static func linear(_ x: Tensor, _ weight: Tensor) -> Tensor {
    LoRATensor.linear(.plain(x), [LinearOperand(weight: weight)])[0]
  }

  /// Runs `body` on a thread of its own, which ends before this returns.
  private func onNewThread(_ body: @escaping @Sendable () -> Void) {
    let isDone = DispatchSemaphore(value: 0)
    let thread = Thread {
      body()
      isDone.signal()
    }
    thread.start()
    isDone.wait()
    while !thread.isFinished { usleep(100) }
  }

  @Test func theNumberOfThreadsIsTheProcesses() {
    Engine.run {
      let before = Engine.threadCount
      defer { Engine.threadCount = before }
      Engine.threadCount = before + 3
      let seen = Mutex(0)
      // Asking does not wait for the engine's thread, which is waiting here.
      onNewThread { seen.withLock { $0 = Engine.threadCount } }
      #expect(seen.withLock { $0 } == before + 3)
    }
  }

  @Test func valuesAndErrorsComeBack() {
    #expect(Engine.run { 6 * 7 } == 42)
    #expect(Engine.run { Engine.run { Thread.current } == Thread.current })
    #expect(throws: Refusal(number: 7)) {
      try Engine.run { throw Refusal(number: 7) }
    }
  }

  @Test func taskLocalValuesGoAlong() {
    Caller.$name.withValue("a caller") {
      #expect(Engine.run { Caller.name } == "a caller")
    }
    let weight = Parameter(Tensor([1, 2, 3, 4], shape: [2, 2]))
    let x = Tensor([1, 1], shape: [1, 2])
    let (_, gradients) = valueAndGradient(of: [weight]) {
      // The tape is a task-local value: what is recorded on the engine's thread is on it too.
      Engine.run { Self.linear(x, weight.tensor).sum() }
    }
    #expect(gradients[0].elements == [1, 1, 1, 1])
  }

  @EngineActor private func product(_ x: Tensor) -> Bool {
    EngineActor.assertIsolated()
    return Engine.run { Self.linear(x, x).shape == [64, 64] }
  }

  @Test func anActorsJobsRunThere() async {
    var random = Random(seed: 1)
    #expect(await product(random.normal([64, 64])))
  }

  /// Each of them used to leave the memory that attention's kernels had for it: 588 MB in all.
  @Test func callersThatComeAndGoLeaveNothing() throws {
    var random = Random(seed: 2)
    let inputs = (0..<3).map { _ in random.normal([512, 256]) }
    @Sendable func gradient(_ inputs: [Tensor]) -> [UInt32] {
      let parameters = inputs.map { Parameter($0) }
      let (_, gradients) = valueAndGradient(of: parameters) {
        causalAttention(
          q: parameters[0].tensor, k: parameters[1].tensor, v: parameters[2].tensor,
          packing: Packing(lengths: [512]), heads: 4, kvHeads: 4
        ).sum()
      }
      return gradients.flatMap { $0.elements.map(\.bitPattern) }
    }
    let expected = gradient(inputs)
    let differing = Mutex(0)
    func call() {
      onNewThread {
        if gradient(inputs) != expected { differing.withLock { $0 += 1 } }
      }
    }
    for _ in 0..<20 { call() }
    let (memory, threads) = (try residentMegabytes(), try threadCount())
    for _ in 0..<200 { call() }
    #expect(differing.withLock { $0 } == 0)
    // Other tests run in the same process meanwhile.
    #expect(try residentMegabytes() - memory < 300)
    #expect(try threadCount() - threads < 100)
  }

  private func residentMegabytes() throws -> Int {
    let sizes = try String(contentsOfFile: "/proc/self/statm", encoding: .ascii)
    let fields = sizes.split(separator: " ")
    return (Int(fields[1]) ?? 0) * sysconf(Int32(_SC_PAGESIZE)) / (1 << 20)
  }

  private func threadCount() throws -> Int {
    try FileManager.default.contentsOfDirectory(atPath: "/proc/self/task").count
  }
}
