// `lora combine`: one adapter of several.

import ArgumentParser
import Foundation
import LoRA
import LoRAAdapters
import LoRAFormats
import LoRAJSON

struct CombineCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "combine", abstract: "Makes one adapter of several, each with a weight.",
    discussion: """
      lora combine --adapters french=0.7 polite=0.5 rude=-0.3 --output mixed

      cat is the exact sum, its rank the sum of the ranks; svd the best approximation of a given \
      rank; the others work on the factors and need equal ranks.
      """)

  @Option(
    parsing: .upToNextOption,
    help: "Adapters with their weights, FOLDER=WEIGHT; a weight may be negative, 1 if not given.")
  var adapters: [WeightedFolder]

  @Option(help: "cat, svd, linear, ties, dare-linear, dare-ties or magnitude-prune.")
  var method: CombinationMethod = .cat

  @Option(help: "The folder to write.")
  var output: String

  @Option(help: "The rank of the result, for svd (default: the largest of the ranks).")
  var rank: Int?

  @Option(
    help: "The share of elements kept, in (0, 1], for ties, dare and prune (default: 0.5).")
  var density: Double?

  @Option(help: "Which sign wins in ties: that of the sum (total) or of the number (frequency).")
  var majoritySign: MajoritySign?

  @Option(help: "The seed of the random elements of dare (default: 42).")
  var seed: UInt64?

  @Flag(help: "Replace the adapter in the folder, if there is one.")
  var overwrite = false

  func validate() throws {
    guard !adapters.isEmpty else { throw ValidationError("give --adapters FOLDER=WEIGHT …") }
    // A setting that has no effect is one that was meant to have one.
    let isTies = method == .ties || method == .dareTies
    let isDare = method == .dareLinear || method == .dareTies
    let unused = [
      ("--rank", rank != nil && method != .svd), ("--density", density != nil && !method.prunes),
      ("--majority-sign", majoritySign != nil && !isTies), ("--seed", seed != nil && !isDare),
    ]
    if let (flag, _) = unused.first(where: \.1) {
      throw ValidationError("\(flag) has no effect with --method \(method.rawValue)")
    }
  }

  func run() throws {
    let output = try AdapterOutput(
      output, overwrite: overwrite, inputs: adapters.map(\.folder))
    let weighted = try adapters.map { (try AdapterWeights($0.folder), $0.weight) }
    for (adapter, folder) in zip(weighted.map(\.0), adapters.map(\.folder)) {
      for warning in try adapter.warnings + adapter.leftOut(comparedWith: nil) {
        Console.warn("\(folder): \(warning)")
      }
    }
    let bases = Set(weighted.compactMap(\.0.baseModel))
    if bases.count > 1 {
      Console.warn("the adapters name different base models: " + bases.sorted().listed())
    }
    if Set(weighted.compactMap(\.0.baseIdentity)).count > 1 {
      Console.warn("the adapters were made on different base weights")
    }
    let combined = try AdapterWeights.combining(
      weighted,
      CombinationOptions(
        method: method, rank: rank, density: density ?? 0.5, majoritySign: majoritySign ?? .total,
        seed: seed ?? 42))
    try output.write(combined)
    let ranks = Set(combined.modules.map(\.rank)).sorted().map { String($0) }
    Console.say(
      "\(method.rawValue) of \(weighted.count.counted("adapter")): \(combined.modules.count.counted("layer")), rank "
        + ranks.listed(atMost: 8)
        + ", \(Console.short(combined.parameterCount)) numbers\nadapter: \(output.path)")
  }
}

/// An adapter's folder and its weight, like `my-adapter=-0.3`.
struct WeightedFolder: ExpressibleByArgument {
  let folder: String
  let weight: Double

  init?(argument: String) {
    // A name that is there is meant, whatever is in it: runs/lr=0.001.
    guard let sign = argument.lastIndex(of: "="),
      !FileManager.default.fileExists(atPath: argument)
    else {
      (folder, weight) = (argument, 1)
      return
    }
    guard let weight = Double(argument[argument.index(after: sign)...]), weight.isFinite,
      sign > argument.startIndex
    else { return nil }
    (folder, self.weight) = (String(argument[..<sign]), weight)
  }
}

/// A new adapter's folder: whole or not there.
struct AdapterOutput {
  let path: String

  /// - Throws: `OutputFileError` where files are in the way, or the folder is one that is read.
  init(_ path: String, overwrite: Bool, inputs: [String]) throws {
    self.path = path
    let isPart: (String) -> Bool = { AdapterWeights.fileNames.contains($0) || $0 == "README.md" }
    try AtomicFolder.check(path, replaceable: overwrite ? isPart : nil, kind: "an adapter")
    try AtomicFolder.checkDiffers(path, from: inputs)
  }

  func write(_ adapter: AdapterWeights) throws {
    try AtomicFolder.write(to: path) { try adapter.write(to: $0) }
  }
}
