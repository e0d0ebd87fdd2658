// The one thread that computes, as Swift sees it: a series of operations in one go, and an actor.

import CLoRAKernels
import Dispatch

extension Engine {
  /// Runs `body` on the engine's thread and waits for it; at once where the caller is there already.
  ///
  /// Operations may be called from any thread: each is handed to the engine's thread where it has
  /// something to share. A series of them costs one such hand-over in here (some 10 µs) instead of one
  /// for each, and no other caller's work comes between. Task-local values are those of the caller.
  ///
  /// `body` must not wait for another thread that computes: that one waits for this one.
  public static func run<Value, Failure: Error>(
    _ body: () throws(Failure) -> Value
  ) throws(Failure) -> Value {
    if lk_is_engine_thread() != 0 { return try body() }
    var outcome: Result<Value, Failure>?
    withoutActuallyEscaping(body) { body in
      outcome = EngineCall(body).outcomeOnEngine()
    }
    guard let outcome else { preconditionFailure("the engine's thread gave no outcome") }
    return try outcome.get()
  }
}

/// A closure on its way to the engine's thread, and what came of it.
///
/// Invariant for `Sendable`: the caller waits while the engine's thread has it, so that one thread at
/// a time touches it.
private final class EngineCall<Value, Failure: Error>: @unchecked Sendable {
  private var body: (() throws(Failure) -> Value)?
  private var outcome: Result<Value, Failure>?
  private let isDone = DispatchSemaphore(value: 0)

  init(_ body: @escaping () throws(Failure) -> Value) { self.body = body }

  func outcomeOnEngine() -> Result<Value, Failure>? {
    // A task, because it takes the caller's task-local values along.
    Task { @EngineActor in
      self.perform()
      self.isDone.signal()
    }
    isDone.wait()
    return outcome
  }

  private func perform() {
    guard let body else { return }
    do throws(Failure) {
      outcome = .success(try body())
    } catch {
      outcome = .failure(error)
    }
    // The closure may not outlive the caller's wait, whatever this object does.
    self.body = nil
  }
}

/// The actor whose thread is the engine's: what is isolated to it computes without a hand-over.
@globalActor public actor EngineActor {
  /// The one engine of the process.
  public static let shared = EngineActor()

  private static let executor = EngineExecutor()

  public nonisolated var unownedExecutor: UnownedSerialExecutor {
    Self.executor.asUnownedSerialExecutor()
  }
}

/// Hands jobs to the engine's thread in the order they come.
private final class EngineExecutor: SerialExecutor {
  func enqueue(_ job: consuming ExecutorJob) {
    let waiting = UnsafeMutablePointer<UnownedJob>.allocate(capacity: 1)
    waiting.initialize(to: UnownedJob(job))
    lk_post_to_engine(
      { context in
        guard let job = context?.assumingMemoryBound(to: UnownedJob.self) else { return }
        job.pointee.runSynchronously(on: EngineActor.sharedUnownedExecutor)
        job.deallocate()
      }, waiting)
  }

  func checkIsolated() {
    precondition(lk_is_engine_thread() != 0, "this is not the engine's thread")
  }
}
