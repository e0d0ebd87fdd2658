// The variants of LoRA that a run may train with, as flags and as keys of the YAML file.

import ArgumentParser
import LoRA
import LoRAAdapters
import LoRANN
import Yams

/// How the factors start, by the name that a person writes.
struct InitializationChoice: Hashable, ExpressibleByArgument, CustomStringConvertible {
  let description: String
  let initialization: LoRAInitialization

  static let kaimingUniform = InitializationChoice("kaiming-uniform", .kaimingUniform)

  private static let choices = [
    kaimingUniform, InitializationChoice("normal", .normal(deviation: 0.02)),
    InitializationChoice("gaussian", .gaussian), InitializationChoice("orthogonal", .orthogonal),
    InitializationChoice("pissa", .pissa(iterations: nil)), InitializationChoice("olora", .olora),
  ]

  static let expected = choices.map(\.description).joined(separator: ", ") + " or pissa_niter_N"

  private init(_ name: String, _ initialization: LoRAInitialization) {
    description = name
    self.initialization = initialization
  }

  init?(argument: String) {
    let prefix = "pissa_niter_"
    if argument.hasPrefix(prefix), let count = Int(argument.dropFirst(prefix.count)), count >= 0 {
      self.init(argument, .pissa(iterations: count))
    } else if let choice = Self.choices.first(where: { $0.description == argument }) {
      self = choice
    } else {
      return nil
    }
  }

  static var allValueStrings: [String] { choices.map(\.description) + ["pissa_niter_N"] }
}

/// The variant of LoRA that a run trains.
struct VariantSettings {
  var initialization = InitializationChoice.kaimingUniform
  var useRSLoRA = false
  var useDoRA = false
  var loraBias = false
  var loraPlusRatio: Double?

  func apply(to configuration: inout LoRAConfiguration) {
    configuration.initialization = initialization.initialization
    configuration.isRankStabilized = useRSLoRA
    configuration.usesDoRA = useDoRA
    configuration.hasBiasOfB = loraBias
  }
}

/// The variant of LoRA that a run trains; each flag leaves the file's value or the default.
struct VariantFlags: ParsableArguments {
  @Option(
    name: .customLong("init"),
    help: ArgumentHelp(
      """
      The first values of the factors: \(InitializationChoice.expected) \
      (default: kaiming-uniform).
      """, valueName: "init"))
  var initialization: InitializationChoice?
  @Flag(inversion: .prefixedNo, help: "Scale by alpha/√rank instead of alpha/rank (rsLoRA).")
  var useRslora: Bool?
  @Flag(inversion: .prefixedNo, help: "Train the lengths of the adapted weights' rows too (DoRA).")
  var useDora: Bool?
  @Flag(inversion: .prefixedNo, help: "Give B a bias.")
  var loraBias: Bool?
  @Option(help: "B learns this many times as fast as A: LoRA+, for instance 16 (default: as fast).")
  var loraplusLrRatio: Double?

  func apply(to variants: inout VariantSettings) {
    if let initialization { variants.initialization = initialization }
    if let useRslora { variants.useRSLoRA = useRslora }
    if let useDora { variants.useDoRA = useDora }
    if let loraBias { variants.loraBias = loraBias }
    if let loraplusLrRatio { variants.loraPlusRatio = loraplusLrRatio }
  }

  /// Whether a flag is given that `--init-adapter` answers too.
  var isGiven: Bool {
    initialization != nil || useRslora != nil || useDora != nil || loraBias != nil
  }
}

extension Setting {
  /// The keys of the variant.
  static var variants: [Setting] {
    [
      Setting(
        name: "init",
        read: { run, node in
          guard let text = node.scalar?.string, let choice = InitializationChoice(argument: text)
          else { return InitializationChoice.expected }
          run.variants.initialization = choice
          return nil
        },
        text: { $0.variants.initialization.description }),
      .value("use_rslora", \.variants.useRSLoRA, "true or false") { $0.bool },
      .value("use_dora", \.variants.useDoRA, "true or false") { $0.bool },
      .value("lora_bias", \.variants.loraBias, "true or false") { $0.bool },
      .optional("loraplus_lr_ratio", \.variants.loraPlusRatio, "a number") { $0.float },
    ]
  }
}
