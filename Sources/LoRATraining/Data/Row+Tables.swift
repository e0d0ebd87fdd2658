// Tables (CSV, TSV) where rows of JSON are expected: how to convert them.

import LoRAJSON

extension Row {
  /// What to do about a file whose first line is the head of a table; nil for all others.
  static func tableError(_ line: String, _ file: String) -> DataError? {
    guard let first = line.first, first != "{", first != "[" else { return nil }
    let known = Set(
      DataFormat.allCases.flatMap(\.keys) + ["input", "question", "answer", "system"])
    let isNamed = [".csv", ".tsv"].contains(where: file.lowercased().hasSuffix)
    for (separator, option) in [
      (Character(","), ""), ("\t", #", delimiter="\t""#), (";", #", delimiter=";""#),
    ] {
      let cells = line.split(separator: separator).map {
        $0.filter { $0 != "\"" && !$0.isWhitespace }.lowercased()
      }
      guard cells.count > 1, isNamed || cells.contains(where: known.contains) else { continue }
      return DataError(
        file: file, message: "the file is a table (CSV), not JSON",
        hint: "python3 -c 'import csv, json; "
          + #"f = open("FILE", newline="", encoding="utf-8-sig"); "#
          + "[print(json.dumps(r)) for r in csv.DictReader(f\(option))]' > rows.jsonl converts it "
          + "(the first line names the keys)")
    }
    return nil
  }
}
