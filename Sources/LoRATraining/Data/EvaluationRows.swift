// Rows to evaluate on, read from their file each time: in memory is only where each of them is.

import Foundation

/// Where a row is in its file.
struct RowPlace: Sendable, Hashable {
  /// The first byte.
  let start: Int
  // 16 bytes a row: no line is as long as 4 GB, and no file of so many lines is evaluated on.
  private let shortLength: UInt32
  private let shortLine: UInt32

  init(line: Int, bytes: Range<Int>) {
    start = bytes.lowerBound
    shortLength = UInt32(clamping: bytes.count)
    shortLine = UInt32(clamping: line)
  }

  /// In bytes.
  var length: Int { Int(shortLength) }
  /// From 1.
  var line: Int { Int(shortLine) }
}

/// The rows of a file that a model is evaluated on; their number costs 16 bytes each.
public struct EvaluationRows: Sendable {
  /// The file.
  public let file: String
  /// The form of its rows.
  public let format: DataFormat
  /// The lines of rows of the file that were left out.
  public let droppedLines: [Int]
  /// The lines of rows that were cut.
  public let truncatedLines: [Int]
  /// Rows that are also trained on: their line, and that of the row in the training file.
  let overlap: [(line: Int, trained: Int)]
  /// Keys and fields that leave no trace.
  let oddities: OddityLines

  private let version: FileVersion
  private let places: [RowPlace]
  private let encoder: TextEncoder
  private let limit: LengthLimit

  /// Reads a file once, a piece at a time, and finds every fault in it.
  ///
  /// - Parameters:
  ///   - maxLength: the longest row in tokens; nil: no limit.
  ///   - training: rows that must not be among them.
  /// - Throws: `DataError` as `Dataset` does.
  public init(
    contentsOf file: String, encoder: TextEncoder, maxLength: Int? = nil,
    truncation: Truncation = .error, training: Dataset? = nil
  ) throws {
    let trained = Dictionary(
      training?.examples.map { ($0.tokens, $0.line) } ?? [], uniquingKeysWith: { first, _ in first }
    )
    let limit = LengthLimit(maxLength: maxLength, truncation: truncation)
    let version = FileVersion(file)
    var places: [RowPlace] = []
    var overlap: [(line: Int, trained: Int)] = []
    let scan = try ExampleScan(file, encoder: encoder, limit: limit) { example, place in
      places.append(place)
      if let line = trained[example.tokens] { overlap.append((example.line, line)) }
    }
    self.init(file, version, scan, places, encoder: encoder, limit: limit, overlap: overlap)
  }

  init(
    _ file: String, _ version: FileVersion, _ scan: ExampleScan, _ places: [RowPlace],
    encoder: TextEncoder, limit: LengthLimit, overlap: [(line: Int, trained: Int)] = []
  ) {
    let lines = Set(scan.truncatedLines)
    (self.file, self.version, self.places) = (file, version, places)
    (self.encoder, self.limit, self.overlap) = (encoder, limit, overlap)
    format = scan.format
    droppedLines = scan.droppedLines
    oddities = scan.oddities.fields
    truncatedLines = lines.isEmpty ? [] : places.map(\.line).filter(lines.contains)
  }

  /// How many rows there are.
  public var count: Int { places.count }

  /// The lines of the first rows.
  public func lines(first count: Int) -> [Int] { places.prefix(max(count, 0)).map(\.line) }

  /// Gives out the rows in the order of the file, a portion of them at a time.
  ///
  /// - Parameters:
  ///   - rows: how many, from the first.
  ///   - portion: how many are in memory together.
  /// - Throws: `DataError` where the file is no longer what it was; whatever `each` throws.
  package func forEachPortion(
    of portion: Int, first rows: Int = .max, _ each: ([Example]) throws -> Void
  ) throws {
    guard FileVersion(file) == version, let handle = FileHandle(forReadingAtPath: file) else {
      throw changed()
    }
    defer { try? handle.close() }
    let count = min(rows, places.count)
    for start in stride(from: 0, to: count, by: portion) {
      try each(places[start..<min(start + portion, count)].map { try example($0, handle) })
    }
  }

  /// A row as it was when the file was read first; whatever is wrong with it now was not wrong then.
  private func example(_ place: RowPlace, _ handle: FileHandle) throws -> Example {
    guard (try? handle.seek(toOffset: UInt64(place.start))) != nil,
      let bytes = try? handle.read(upToCount: place.length), bytes.count == place.length,
      let text = String(validating: bytes, as: UTF8.self), let row = try? ParsedRow(text).row,
      let encoded = try? encoder.encodeText(row),
      let example = limit.fitting(Example(encoded, line: place.line, file: file))
    else { throw changed(place.line) }
    return example
  }

  private func changed(_ line: Int? = nil) -> DataError {
    DataError(
      file: file, line: line,
      message: "the file is not what it was when the run began, so its rows cannot be evaluated on",
      hint: "leave the file alone while a run evaluates on it; put it back, and go on with --resume"
    )
  }
}

/// What tells one version of a file from another without reading it.
struct FileVersion: Sendable, Equatable {
  private let size: Int?
  private let number: Int?
  private let changed: Date?

  init(_ file: String) {
    // Of the file that a link leads to.
    let path = URL(fileURLWithPath: file).resolvingSymlinksInPath().path
    let attributes = try? FileManager.default.attributesOfItem(atPath: path)
    size = attributes?[.size] as? Int
    number = attributes?[.systemFileNumber] as? Int
    changed = attributes?[.modificationDate] as? Date
  }
}
