// What a trainer needs beside the adapter to go on as if it had never stopped.
//
// Order, dropout and learning rate follow from (seed, epoch, step): only AdamW has a memory.

import LoRAFormats
import LoRANN
import LoRATensor

extension Trainer {
  private static let format = "swift-lora trainer state 1"

  /// Writes the optimizer's moments and the place in the run to one file, in one step.
  ///
  /// - Parameters:
  ///   - settings: what must be the same when the run goes on, by name.
  ///   - note: a text of the caller's, given back by `restoreState`.
  package func saveState(
    to path: String, settings: [(key: String, value: String)], note: String = ""
  ) throws {
    var writer = SafeTensorsWriter(
      metadata: [("format", Self.format), ("step", "\(completedSteps)"), ("note", note)]
        + settings.map { ("setting." + $0.key, $0.value) })
    for (index, entry) in parameters.enumerated() {
      writer.add("first." + entry.path, StoredTensor(optimizer.firstMoments[index]))
      writer.add("second." + entry.path, StoredTensor(optimizer.secondMoments[index]))
    }
    try writer.write(to: path)
  }

  /// Goes on from a state; the model already has the adapter that was saved beside it.
  ///
  /// - Returns: the caller's note.
  /// - Throws: `ModelFileError` where the file is broken or of another run, naming what differs.
  @discardableResult
  package func restoreState(
    from path: String, settings: [(key: String, value: String)]
  ) throws -> String {
    let file = try SafeTensorsFile(contentsOf: path)
    func refuse(_ message: String, _ hint: String) -> ModelFileError {
      ModelFileError(file: path, message: message, hint: hint)
    }
    guard file.metadata["format"] == Self.format,
      let step = file.metadata["step"].flatMap(Int.init), step >= 0
    else {
      throw refuse("this is no state of a training run", "resume from an older checkpoint")
    }
    let differences = settings.compactMap { setting -> String? in
      let before = file.metadata["setting." + setting.key]
      // A setting that is newer than the file had no effect then.
      return before ?? "null" == setting.value
        ? nil : "\(setting.key) was \(before ?? "unset") and is \(setting.value)"
    }
    guard differences.isEmpty else {
      let isLonger = differences.contains { $0.hasPrefix("epochs ") || $0.hasPrefix("max_steps ") }
      throw refuse(
        "the run was started with other settings: " + differences.joined(separator: "; "),
        "resume with the settings of config.resolved.yaml, or start a new run"
          + (isLonger
            ? "; init_adapter begins one where this adapter is, for as many steps as you like" : "")
      )
    }
    guard step <= totalSteps else {
      throw refuse("the checkpoint is of step \(step) of \(totalSteps)", "start a new run")
    }
    func moments(_ kind: String) throws -> [Tensor] {
      try parameters.map { path, parameter in
        let name = kind + path
        guard let info = file.tensorInfo(name) else {
          throw refuse("the tensor \(name) is missing", "resume from an older checkpoint")
        }
        guard info.shape == parameter.value.shape, info.type.dtype == .float32 else {
          throw refuse(
            "the tensor \(name) is \(info.type.rawValue) of shape \(info.shape), expected F32 of "
              + "\(parameter.value.shape)", "resume from an older checkpoint")
        }
        return Tensor(try file.bytes(of: name)).copied()
      }
    }
    optimizer.restore(
      stepCount: step, firstMoments: try moments("first."), secondMoments: try moments("second."))
    completedSteps = step
    return file.metadata["note"] ?? ""
  }
}
