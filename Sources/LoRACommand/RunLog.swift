// What a run writes down of each step: metrics.jsonl, and the same numbers for TensorBoard.

import Foundation
import LoRAFormats
import LoRAJSON
import LoRATraining

/// The figures of every step, on the disk as soon as the step is done.
///
/// `metrics.jsonl` is the record; TensorBoard's file is made from it anew when a run is resumed, so
/// that steps which were worked twice are in neither twice.
final class RunLog {
  static let tensorBoardFolder = "tensorboard"
  /// One name for the whole run: TensorBoard would show two files of a run side by side.
  static let tensorBoardName = "events.out.tfevents.0.swift-lora"

  private let file: AppendedFile
  private let board: TensorBoardFile

  /// - Parameters:
  ///   - steps: keeps the lines of this many steps of an earlier part of the run.
  ///   - missing: what the last of them lacks.
  init(
    _ folder: RunFolder, keepingSteps steps: Int = 0, completing missing: JSONObject = [:]
  ) throws {
    let path = folder.file("metrics.jsonl")
    let earlier = steps > 0 ? (try? String(contentsOfFile: path, encoding: .utf8)) ?? "" : ""
    var kept = earlier.split(separator: "\n").compactMap { line -> (String, JSONObject)? in
      guard let object = (try? JSONValue(parsing: String(line)))?.objectValue,
        let step = object["step"]?.integerValue, step <= steps
      else { return nil }
      return (String(line), object)
    }
    if !missing.isEmpty, var last = kept.popLast()?.1 {
      for (key, value) in missing { last[key] = value }
      kept.append((JSONValue.object(last).serialized(.compact), last))
    }
    try AtomicFile.write(kept.map { $0.0 + "\n" }.joined(), to: path)
    file = try AppendedFile(path)

    let objects = kept.map(\.1)
    var time =
      Date().timeIntervalSince1970
      - objects.reduce(0) { $0 + ($1["seconds"]?.numberValue ?? 0) }
    try OutputFolder.make(folder.file(Self.tensorBoardFolder))
    board = try TensorBoardFile(
      folder.file(Self.tensorBoardFolder + "/" + Self.tensorBoardName), wallTime: time)
    for object in objects {
      time += object["seconds"]?.numberValue ?? 0
      try show(object, at: time)
    }
  }

  /// Adds a step.
  func write(_ object: JSONObject) throws {
    try file.append(Array((JSONValue.object(object).serialized(.compact) + "\n").utf8))
    try show(object, at: Date().timeIntervalSince1970)
  }

  private func show(_ object: JSONObject, at time: Double) throws {
    let scalars = object.compactMap { key, value -> (String, Double)? in
      guard key != "step", let number = value.numberValue else { return nil }
      return (key.hasPrefix("eval_") ? "eval/" + key.dropFirst(5) : "train/" + key, number)
    }
    try board.add(step: object["step"]?.integerValue ?? 0, wallTime: time, scalars)
  }
}
