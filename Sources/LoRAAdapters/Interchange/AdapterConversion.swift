// Converts adapters between PEFT's, llama.cpp's and MLX's files; checked whole before anything is
// written.

import Foundation
import LoRAFormats
import LoRAJSON
package import LoRANN
public import LoRATensor

/// The forms that an adapter can be converted to.
public enum AdapterTarget: String, Sendable, CaseIterable {
  /// One GGUF file for llama.cpp.
  case gguf
  /// A folder for PEFT and for this project.
  case peft
  /// A folder for mlx-lm and mlx-swift-lm.
  case mlx
  /// A folder of PEFT's with alpha = r, one rank and no patterns, for readers that know no more.
  case portable

  fileprivate var form: AdapterForm? { AdapterForm(rawValue: rawValue) }
}

/// What a conversion did.
public struct ConversionReport: Sendable, Hashable {
  /// Where the adapter was written.
  public let output: String
  /// The number of layers with a pair.
  public let layerCount: Int
  /// The numbers in the pairs.
  public let parameterCount: Int
  /// Layers whose B took in a part of the scale without rounding.
  public let exactlyFolded: Int
  /// Layers whose B took in a part of the scale, each number rounded once to float32.
  public let roundedFolded: Int
  /// Layers whose factors got zeros to have the rank of the others.
  public let padded: Int
  /// The element type that was asked for.
  public let dtype: DType?
  /// Tensors with numbers that were rounded to that type.
  public let narrowed: Int
  /// Numbers that are too small for that type and became 0.
  public let vanished: Int
  /// What is odd about the adapter, what of it was left out, and what readers of the new form take
  /// otherwise than PEFT does; for people.
  public package(set) var warnings: [String]

  /// Whether the factors are bit for bit those of the input.
  public var isExact: Bool { exactlyFolded + roundedFolded + padded == 0 && dtype == nil }
}

/// An adapter that can be written in another form.
package struct AdapterConversion {
  private let target: AdapterTarget
  private let adapter: AdapterWeights
  private let writer: Writer
  private let report: FoldingReport
  private let dtype: DType?
  private let warnings: [String]

  private enum Writer {
    case file(GGUFWriter)
    case folder(SafeTensorsWriter, tensorsName: String, configuration: String)
  }

  /// Reads an adapter and makes its new form.
  ///
  /// - Parameters:
  ///   - layout: the modules of the base; needed to and from GGUF.
  ///   - dtype: the type of the new factors, float32, float16 or bfloat16; nil: the old ones' types.
  ///   - base: the base, if it can be had; asked for only where the file has copies of its weights.
  /// - Throws: `AdapterError` naming what the new form cannot hold, or is broken in the old one;
  ///   `ModelFileError`.
  package init(
    _ path: String, to target: AdapterTarget, layout: LlamaLayout?, dtype: DType? = nil,
    base: () -> (any Module)? = { nil }
  ) throws {
    precondition(
      dtype.map { [.float32, .float16, .bfloat16].contains($0) } ?? true,
      "AdapterConversion: factors are float32, float16 or bfloat16")
    self.target = target
    self.dtype = dtype
    let form = try AdapterForm.detect(path)
    guard form != target.form || dtype != nil else {
      throw AdapterError(
        file: path, message: "the adapter is in the form \"\(target.rawValue)\" already",
        hint: (form == .peft
          ? "to fold its scale into the factors, use --to portable"
          : "copy it, or choose another form") + "; with --dtype it gets another element type"
      )
    }
    if layout == nil, form == .gguf || target == .gguf {
      throw AdapterError(
        file: path,
        message:
          "the base model is not known: GGUF has the rows of q and k in another order, which "
          + "depends on its heads",
        hint: "give --model: the base's GGUF file, or its folder (config.json is enough)")
    }
    let adapter = try AdapterWeights(path, layout: layout)
    self.adapter = adapter
    if form == .mlx {
      try adapter.refuseTied(layout) { _ in
        "mlx-lm changes the head with it as well, which \(target.form?.title ?? "a PEFT folder") "
          + "cannot say"
      }
    }
    // PEFT to PEFT everything stays in the file.
    let leftOut =
      target == .peft
      ? [] : try adapter.leftOut(comparedWith: adapter.hasBaseCopies ? base() : nil)
    let dropout =
      target == .mlx && adapter.dropout == 1
      ? ["dropout 1 is written as 0, since MLX refuses it; it counts in training alone"] : []
    warnings =
      adapter.warnings + leftOut + dropout
      + (target == .portable ? adapter.tiedWarnings(layout) : [])
    var report = FoldingReport()
    switch target {
    case .gguf:
      guard let layout else { preconditionFailure("AdapterConversion: checked above") }
      let made = try adapter.gguf(layout: layout, dtype: dtype)
      writer = .file(made.writer)
      report = made.report
    case .mlx:
      let made = try adapter.mlx(layout: layout, dtype: dtype)
      var style = JSONStyle.indented(4)
      style.sortKeys = true
      writer = .folder(
        made.writer, tensorsName: MLXAdapter.tensorsName,
        configuration: JSONValue.object(made.settings).serialized(style) + "\n")
      report = made.report
    case .peft:
      // Of one that is PEFT's already everything stays, also what no other form has.
      let made =
        if form == .peft, let dtype { try adapter.retyped(dtype) } else {
          try adapter.peft(layout: layout, dtype: dtype)
        }
      writer = .folder(
        made.writer, tensorsName: AdapterFile.tensorsName, configuration: made.configuration)
      report = made.report
    case .portable:
      let made = try adapter.portable(layout: layout, dtype: dtype)
      writer = .folder(
        made.writer, tensorsName: AdapterFile.tensorsName, configuration: made.configuration)
      report = made.report
    }
    self.report = report
  }

  /// Writes the adapter, whole or not at all.
  ///
  /// - Throws: `OutputFileError` where something is in the way, before anything is written, or where
  ///   the disk does not take it.
  package func write(to output: String, overwrite: Bool) throws -> ConversionReport {
    switch writer {
    case .file(let writer):
      try checkFree(output, overwrite: overwrite)
      let folder = output.folderOfPath
      if !folder.isEmpty { try OutputFolder.make(folder) }
      try writer.write(to: output)
    case .folder(let writer, let tensorsName, let configuration):
      let files = [
        AdapterFile.configurationName, AdapterFile.tensorsName, MLXAdapter.tensorsName, "README.md",
      ]
      try AtomicFolder.check(
        output, replaceable: overwrite ? { files.contains($0) } : nil, kind: "an adapter")
      try AtomicFolder.write(to: output) { folder in
        try writer.write(to: AdapterFile.path(folder, tensorsName))
        try AtomicFile.write(
          configuration, to: AdapterFile.path(folder, AdapterFile.configurationName))
      }
    }
    return ConversionReport(
      output: output, layerCount: adapter.modules.count, parameterCount: adapter.parameterCount,
      exactlyFolded: report.exact, roundedFolded: report.rounded, padded: report.padded,
      dtype: dtype, narrowed: report.narrowed, vanished: report.vanished,
      warnings: warnings)
  }

  private func checkFree(_ file: String, overwrite: Bool) throws {
    var isFolder: ObjCBool = false
    guard FileManager.default.fileExists(atPath: file, isDirectory: &isFolder) else { return }
    if isFolder.boolValue {
      throw OutputFileError(
        file: file, message: "this is a folder; a GGUF adapter is one file",
        hint: "name a file, like \(AdapterFile.path(file, "adapter.gguf"))")
    }
    if !overwrite {
      throw OutputFileError(
        file: file, message: "the file is there already",
        hint: "name a new file, or give --overwrite")
    }
  }
}
