// What experience says of a run's settings: fine, or what to change.
//
// Sources: Thinking Machines, "LoRA Without Regret" (2025), and the defaults of its cookbook;
// Biderman et al. 2024 (2405.09673); Kalajdzievski 2023 (2312.03732).

import Foundation
import LoRAAdapters
import LoRAJSON
import LoRATraining

/// What is said of one setting.
struct SettingVerdict {
  /// The key of the setting.
  let setting: String
  /// Its value as it is shown.
  let value: String
  /// Why it is fine, or what is wrong with it.
  let text: String
  /// What to change; empty where it is fine.
  var hint = ""

  var finding: Finding? {
    hint.isEmpty ? nil : Finding(setting, text, hint: hint)
  }
}

/// What the verdicts depend on beside the settings.
struct RunSizes {
  let steps: Int
  let supervisedTokens: Int
  let trainableParameters: Int
  let context: Int
  let hiddenWidth: Int
  let hasEvaluation: Bool
  let modulePaths: [String]
}

extension RunConfiguration {
  /// What experience says of each setting that decides whether a run learns.
  func verdicts(_ sizes: RunSizes) -> [SettingVerdict] {
    [
      learningRateVerdict(sizes), scaleVerdict, rankVerdict(sizes), batchVerdict,
      stepsVerdict(sizes), warmupVerdict, epochsVerdict(sizes), lengthVerdict(sizes),
      targetsVerdict(sizes), threadsVerdict,
    ].compactMap { $0 }
  }

  /// A rate at which models of this width learned best with alpha = 32: 5e-4·(2000/width)^0.781,
  /// at least 1e-4, at most 1e-3; a larger alpha makes the same step larger.
  private func usualLearningRate(_ sizes: RunSizes) -> Double {
    let rate = 5e-4 * pow(2000 / Double(max(sizes.hiddenWidth, 1)), 0.781)
    let rounded = min(max(rate * 32 / max(alpha, 1), 1e-4), 1e-3)
    return Double(String(format: "%.0e", rounded)) ?? rounded
  }

  private func learningRateVerdict(_ sizes: RunSizes) -> SettingVerdict {
    let usual = usualLearningRate(sizes)
    func verdict(_ text: String, _ hint: String = "") -> SettingVerdict {
      SettingVerdict(setting: "learning_rate", value: "\(learningRate)", text: text, hint: hint)
    }
    if learningRate > 2e-3 {
      return verdict(
        "the learning rate \(learningRate) is high for LoRA: runs often diverge above 2e-3",
        "try \(usual)")
    }
    if learningRate < 5e-5 {
      return verdict(
        "the learning rate \(learningRate) is one for full fine-tuning; LoRA needs about ten times "
          + "as much", "try \(usual)")
    }
    return verdict("usual for LoRA; models of this width learned best at about \(usual)")
  }

  private var scaleVerdict: SettingVerdict? {
    guard initAdapter == nil else { return nil }
    let scale = adapter.scale
    func verdict(_ text: String, _ hint: String = "") -> SettingVerdict {
      SettingVerdict(setting: "alpha", value: "\(alpha)", text: text, hint: hint)
    }
    if scale > 8 {
      return verdict(
        "alpha/rank is \(scale): a scale this large makes steps large", "lower --alpha")
    }
    if scale < 0.25 {
      return verdict("alpha/rank is \(scale): a scale this small slows learning", "raise --alpha")
    }
    if alpha < 16 {
      return verdict(
        "alpha is \(alpha): adapters with less than 16 were seen not to learn when to stop",
        "try 32")
    }
    if rank > 64, alpha >= Double(2 * rank) {
      return verdict(
        "alpha is twice a rank of \(rank): each step is \(Int(alpha / 32)) times that of alpha 32",
        "keep alpha at 32, or lower the learning rate as much")
    }
    return verdict("alpha/rank is \(scale)")
  }

  private func rankVerdict(_ sizes: RunSizes) -> SettingVerdict? {
    guard initAdapter == nil, sizes.supervisedTokens > 0 else { return nil }
    let ratio = Double(sizes.trainableParameters) / Double(sizes.supervisedTokens)
    let ratioText = ratio < 10 ? String(format: "%.1f", ratio) : "\(Int(ratio))"
    func verdict(_ text: String, _ hint: String = "") -> SettingVerdict {
      SettingVerdict(setting: "rank", value: "\(rank)", text: text, hint: hint)
    }
    if ratio > 2000 {
      return verdict(
        "the adapter has \(ratioText) parameters for each token with loss: it can learn the rows by "
          + "heart", "lower --rank or add rows")
    }
    if ratio < 1 {
      let enough = min(256, Int((Double(rank) / ratio).rounded(.up)))
      return verdict(
        "the adapter has fewer parameters (\(Console.short(sizes.trainableParameters))) than there "
          + "are tokens with loss: it may not hold what they say", "raise --rank, up to \(enough)")
    }
    return verdict("\(ratioText) parameters for each token with loss")
  }

  private var batchVerdict: SettingVerdict {
    SettingVerdict(
      setting: "batch_size", value: "\(batchSize)",
      text: batchSize > 64
        ? "a batch of \(batchSize) rows: LoRA learns less from large batches" : "8 to 32 are usual",
      hint: batchSize > 64 ? "8 to 32 are usual" : "")
  }

  private func stepsVerdict(_ sizes: RunSizes) -> SettingVerdict {
    let steps = sizes.steps
    return SettingVerdict(
      setting: "steps", value: "\(steps)",
      text: steps < 20
        ? "only \(steps.counted("step"))"
        : steps < 100
          ? "enough for a narrow task; 100 and more are better" : "100 and more are good",
      hint: steps < 20 ? "raise --epochs or lower --batch-size; some tens are needed" : "")
  }

  private var warmupVerdict: SettingVerdict? {
    warmupSteps == nil && warmupRatio > 0.1
      ? SettingVerdict(
        setting: "warmup_ratio", value: "\(warmupRatio)",
        text: "warm-up takes \(Int(warmupRatio * 100))% of the run", hint: "3% to 10% are usual")
      : nil
  }

  private func epochsVerdict(_ sizes: RunSizes) -> SettingVerdict? {
    maxSteps == nil && epochs > 1 && !sizes.hasEvaluation
      ? SettingVerdict(
        setting: "epochs", value: epochs.shortText,
        text:
          "\(epochs.shortText) epochs without rows to evaluate on: nothing will show when the model starts "
          + "to learn rows by heart", hint: "give --eval-data or --eval-split 0.05")
      : nil
  }

  private func lengthVerdict(_ sizes: RunSizes) -> SettingVerdict? {
    guard let maxLength, maxLength > sizes.context else { return nil }
    return SettingVerdict(
      setting: "max_length", value: "\(maxLength)",
      text: "--max-length \(maxLength) is more than the model's context of \(sizes.context) tokens",
      hint: "lower it")
  }

  private func targetsVerdict(_ sizes: RunSizes) -> SettingVerdict? {
    let names = Set(sizes.modulePaths.compactMap { $0.split(separator: ".").last })
    guard !names.isEmpty, names.isSubset(of: ["q_proj", "k_proj", "v_proj", "o_proj"]) else {
      return nil
    }
    return SettingVerdict(
      setting: "target_modules", value: names.sorted().joined(separator: ","),
      text: "only attention is adapted: that learns less than adapting every linear layer",
      hint: "leave --target-modules out, or add gate_proj,up_proj,down_proj")
  }

  private var threadsVerdict: SettingVerdict? {
    let processors = ProcessInfo.processInfo.activeProcessorCount
    guard let threads, threads > processors else { return nil }
    return SettingVerdict(
      setting: "threads", value: "\(threads)",
      text: "\(threads) threads on \(processors) processors are slower than one for each",
      hint: "leave --threads out")
  }
}
