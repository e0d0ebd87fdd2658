// Adapters on their way to and from other programs: conversion with what is known of the base.

public import Foundation
import LoRAAdapters
import LoRAFormats
import LoRAModels
public import LoRATensor

/// Converts an adapter to the form of another program.
///
/// Its own form is detected. Where the new form knows fewer ranks or scales, they are folded into the
/// factors; what it cannot hold is an error, before anything is written.
/// - Parameters:
///   - adapter: a folder of PEFT's or MLX's, or a GGUF file.
///   - target: the form that is wanted.
///   - output: the new folder, or for GGUF the new file.
///   - base: the base model's GGUF file or folder; needed to and from GGUF.
///   - dtype: the type of the new factors, float32, float16 or bfloat16; nil: the types that the old
///     ones have. A PEFT folder may be given another type without another form.
/// - Throws: `AdapterError`, `ModelFileError`, `OutputFileError`.
@discardableResult
public func convertAdapter(
  at adapter: URL, to target: AdapterTarget, output: URL, base: URL? = nil,
  dtype: DType? = nil, overwrite: Bool = false
) throws -> ConversionReport {
  let source = try base.map { try ModelSource(path: $0.path) }
  let layout = try source.map { try LlamaLayout($0.configuration()) }
  var report = try AdapterConversion(
    adapter.path, to: target, layout: layout, dtype: dtype,
    // A base of which config.json is all there is has no weights to compare with.
    base: { try? source?.network(computeType: .float32, asStored: true) }
  ).write(to: output.path, overwrite: overwrite)
  if target == .mlx, case .folder(let folder) = source {
    report.warnings += try ModelConfiguration.warningsForMLX(folder)
  }
  return report
}

extension LlamaLayout {
  /// The layout of a model of these sizes.
  package init(_ sizes: ModelConfiguration) {
    self.init(
      layerCount: sizes.layerCount, hiddenSize: sizes.hiddenSize,
      intermediateSize: sizes.intermediateSize, headCount: sizes.headCount,
      keyValueHeadCount: sizes.keyValueHeadCount, headDimension: sizes.headDimension,
      vocabularySize: sizes.vocabularySize, tiesEmbeddings: sizes.tiesEmbeddings)
  }
}
