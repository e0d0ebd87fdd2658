// Rows of a file as text, read a piece at a time: a file of any size needs the memory of its longest
// row.

import Foundation

/// Reads the lines of a UTF-8 text file, or the elements of the one JSON array that it is.
struct LineReader {
  let file: String
  private let handle: FileHandle
  private(set) var buffer: [UInt8] = []
  /// Bytes of `buffer` that were given out.
  var position = 0
  /// Where `buffer` begins in the file.
  private var base = 0
  private(set) var isAtEnd = false
  /// The number of the line that was given out last, from 1; of an element, the line it begins in,
  /// or, where that is its predecessor's, the next: no two have the same.
  private(set) var line = 0
  /// Its bytes in the file, without the line's end.
  private(set) var range = 0..<0
  /// How far an array is read; nil for lines.
  var array: ArrayPosition?

  private static let chunk = 1 << 20
  static let longestLine = 1 << 28

  init(_ file: String) throws {
    self.file = file
    var status = stat()
    guard stat(file, &status) == 0 else {
      throw DataError(
        file: file, message: "cannot be read: \(String(cString: strerror(errno)))",
        hint: "check the path")
    }
    guard status.st_mode & S_IFMT != S_IFDIR else {
      throw DataError(
        file: file, message: "this is a folder", hint: "name a file of rows, one JSON object a line"
      )
    }
    guard let handle = FileHandle(forReadingAtPath: file) else {
      throw DataError(
        file: file, message: "cannot be opened", hint: "check that you may read the file")
    }
    self.handle = handle
    try fill()
    try checkEncoding()
    beginArray()
  }

  /// The next line without its end, or the next element, or nil after the last.
  mutating func next() throws -> String? {
    if array != nil { return try nextElement() }
    var searched = position
    while true {
      if let end = buffer[searched...].firstIndex(of: UInt8(ascii: "\n")) {
        defer { position = end + 1 }
        return try text(position..<end, line: line + 1)
      }
      searched = buffer.count
      if isAtEnd {
        guard position < buffer.count else { return nil }
        defer { position = buffer.count }
        return try text(position..<buffer.count, line: line + 1)
      }
      guard buffer.count - position <= Self.longestLine else {
        end()
        throw DataError(
          file: file, line: line + 1, message: "the line is longer than 256 MB",
          hint: "write one JSON object a line; is this a binary file?")
      }
      searched -= position
      try fill()
    }
  }

  /// Gives out a part of the buffer.
  mutating func text(_ range: Range<Int>, line: Int) throws -> String {
    self.line = line
    var range = range
    if buffer[range].last == UInt8(ascii: "\r") { range = range.lowerBound..<range.upperBound - 1 }
    self.range = base + range.lowerBound..<base + range.upperBound
    guard let text = String(validating: buffer[range], as: UTF8.self) else {
      throw DataError(
        file: file, line: line, message: "the line is not UTF-8",
        hint: "convert the file, for instance with iconv -f latin1 -t utf-8")
    }
    return text
  }

  /// Gives out nothing more: what cannot be read once would be met again.
  mutating func end() {
    isAtEnd = true
    buffer = []
    position = 0
  }

  mutating func fill() throws {
    buffer.removeFirst(position)
    base += position
    position = 0
    do {
      guard let data = try handle.read(upToCount: Self.chunk), !data.isEmpty else {
        isAtEnd = true
        return
      }
      buffer.append(contentsOf: data)
    } catch {
      end()
      throw DataError(
        file: file, line: line + 1, message: "cannot be read: \(error.localizedDescription)",
        hint: "check the disk and the file")
    }
  }

  /// Skips UTF-8's mark at the start, and names what is no text of JSON lines by its first bytes.
  private mutating func checkEncoding() throws {
    if let container = Self.containers.first(where: { buffer.starts(with: $0.start) }) {
      throw DataError(
        file: file, message: "the file is \(container.name), not text", hint: container.hint)
    }
    if buffer.starts(with: [0xEF, 0xBB, 0xBF]) { position = 3 }
    let isUTF16 =
      buffer.starts(with: [0xFF, 0xFE]) || buffer.starts(with: [0xFE, 0xFF])
      || buffer.prefix(2).contains(0)
    if isUTF16 {
      throw DataError(
        file: file, message: "the text is UTF-16, not UTF-8",
        hint: "convert the file with iconv -f utf-16 -t utf-8")
    }
  }

  /// What data sets also come as: its first bytes, its name, and how it becomes lines of JSON.
  private static let containers: [(start: [UInt8], name: String, hint: String)] = [
    ([0x1F, 0x8B], "compressed with gzip", "unpack it first: gzip -dc FILE > rows.jsonl"),
    (Array("PAR1".utf8), "Parquet", parquetHint), (Array("ARROW1".utf8), "Arrow", parquetHint),
    ([0xFF, 0xFF, 0xFF, 0xFF], "an Arrow stream", parquetHint),
    (
      [0x28, 0xB5, 0x2F, 0xFD], "compressed with zstd",
      "unpack it first: zstd -dc FILE > rows.jsonl"
    ),
    (Array("BZh".utf8), "compressed with bzip2", "unpack it first: bzip2 -dc FILE > rows.jsonl"),
    (
      [0xFD] + Array("7zXZ".utf8), "compressed with xz", "unpack it first: xz -dc FILE > rows.jsonl"
    ),
    (
      Array("PK\u{3}\u{4}".utf8), "a zip archive (or a spreadsheet)",
      "unpack it, or export the sheet, and write one JSON object a line"
    ),
    (Array("GGUF".utf8), "a GGUF model", "name the rows with --data and the model with --model"),
    (
      Array("SQLite format 3".utf8), "an SQLite database",
      "write its rows as JSON objects, one a line"
    ),
  ]

  private static let parquetHint =
    "write one JSON object a line: Python's pandas does it with "
    + "read_parquet(FILE).to_json(\"rows.jsonl\", orient=\"records\", lines=True)"
}
