// What a run was made of and with: hashes and versions, for config.resolved.yaml.

import ArgumentParser
import Dispatch
import LoRAFormats
import LoRATensor
import Synchronization

/// The SHA-256 of a file, or of the digests of several, computed beside other work.
final class FileHash: Sendable {
  private let result = Mutex<Result<String, any Error>?>(nil)
  private let done = DispatchGroup()

  init(_ paths: [String]) {
    done.enter()
    DispatchQueue.global().async { [self] in
      let value = Result {
        let digests = try paths.map { try SHA256.hex(ofFile: $0) }
        return digests.count == 1 ? digests[0] : SHA256.hex(of: digests.joined(separator: "\n"))
      }
      result.withLock { $0 = value }
      done.leave()
    }
  }

  func value() throws -> String {
    done.wait()
    return try result.withLock { $0 }?.get() ?? ""
  }
}

/// The facts that decide what a run computes, and those that only explain it.
struct RunFacts {
  /// What a resumed run must share with the run that it goes on with.
  let deciding: [(key: String, value: String)]
  private let informative: [(key: String, value: String)]

  var all: [(key: String, value: String)] { deciding + informative }

  /// - Parameter evalData: the file of rows to evaluate on, where it is one of its own: they decide
  ///   which adapter is the best, and when a run ends early.
  init(
    base: FileHash, data: String, evalData: String?, template: String?, precision: String
  ) throws {
    let evaluation = try evalData.map { [("eval_data_sha256", try SHA256.hex(ofFile: $0))] } ?? []
    deciding =
      [("base_sha256", try base.value()), ("data_sha256", try SHA256.hex(ofFile: data))]
      + evaluation + [
        ("template_sha256", template.map { SHA256.hex(of: $0) } ?? "none"),
        ("compute_type", precision),
      ]
    informative = [
      ("swift_lora", Lora.configuration.version), ("onednn", Engine.oneDNNVersion),
      ("instruction_set", Engine.instructionSet), ("threads", "\(Engine.threadCount)"),
    ]
  }

  /// What is not as it was when an earlier run recorded its facts.
  func differences(from earlier: [String: String]) -> [String] {
    Self.differences(deciding, from: earlier, "will not be the same")
      + environmentDifferences(from: earlier)
  }

  /// What the run is made with, and not of, that is not as it was: versions, instructions, threads.
  func environmentDifferences(from earlier: [String: String]) -> [String] {
    Self.differences(informative, from: earlier, "may differ in its last bits")
  }

  private static func differences(
    _ facts: [(key: String, value: String)], from earlier: [String: String], _ effect: String
  ) -> [String] {
    facts.compactMap { fact in
      guard let before = earlier[fact.key], before != fact.value else { return nil }
      return "\(fact.key) was \(before) in the recorded run and is \(fact.value): "
        + "the adapter \(effect)"
    }
  }
}
