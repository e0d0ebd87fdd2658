// The one adapter that a trainer trains: which it is, its passes, and that it stays where it is.

import LoRAAdapters
import LoRAJSON
import LoRAModels
import LoRANN
import LoRATensor

/// The adapter of a model that is trainable.
///
/// - Throws: `TrainingError` where it is none, or one of several.
func trainableAdapter(of model: Llama) throws -> String {
  let names = model.adapterNames.filter { name in
    model.namedParameters(ofAdapter: name).contains { $0.parameter.isTrainable }
  }
  guard let name = names.first else {
    throw TrainingError(
      message: "nothing in the model is trainable", hint: "add an adapter before training")
  }
  guard names.count == 1 else {
    throw TrainingError(
      message: "the adapters \(names.map { "\"\($0)\"" }.listed()) are all trainable",
      hint: "say which one is to be trained: a run trains one")
  }
  return name
}

extension Trainer {
  /// Runs a pass of a step as this trainer's: with its adapter alone and the step's dropout.
  func inContext<Result>(of pass: Pass, step: Int, _ body: () -> Result) -> Result {
    PassContext.with(
      {
        $0.isTraining = true
        $0.adapters = .only(adapter)
        $0.dropout = DropoutKeys(seed: options.seed, step: step, rowKeys: pass.rowKeys)
      }, body)
  }

  /// - Throws: `TrainingError` where the adapter is no longer in the model under its name.
  func checkAdapterIsThere() throws {
    let there = model.namedParameters(ofAdapter: adapter).map { ObjectIdentifier($0.parameter) }
    guard Set(parameters.map { ObjectIdentifier($0.parameter) }).isSubset(of: there) else {
      throw TrainingError(
        message: "the adapter \"\(adapter)\" was taken out of the model, or renamed, in the middle "
          + "of its run",
        hint: "leave it as it is until the run has ended")
    }
  }
}
