// Packing and order: every token once, nothing beyond the budget, the same from run to run.

import LoRATensor
import LoRATraining
import Testing

struct PackingTests {
  private func examples(_ lengths: [Int], seed: UInt64 = 1) -> [Example] {
    var random = Random(seed: seed)
    return lengths.enumerated().map { index, length in
      Example(
        tokens: (0..<length).map { _ in Int32(random.index(below: 1000)) },
        mask: (0..<length).map { _ in random.index(below: 2) == 1 }, line: index + 1, file: "f")
    }
  }

  @Test(arguments: [1, 17, 64, 100, 512, 100_000]) func everyTokenOnce(budget: Int) {
    var random = Random(seed: UInt64(budget))
    let rows = examples((0..<61).map { _ in 1 + random.index(below: 150) })
    let packs = passes(rows, tokenBudget: budget)
    #expect(packs.flatMap(\.examples).sorted() == Array(rows.indices))
    for pass in packs {
      let lengths = pass.examples.map { rows[$0].tokens.count }
      let used = lengths.reduce(0, +)
      #expect(used <= budget || pass.examples.count == 1)
      #expect(Array(pass.tokens.prefix(used)) == pass.examples.flatMap { rows[$0].tokens })
      // The tail belongs to no example and carries no loss.
      #expect(pass.tokens.count % 32 == 0 && pass.tokens.count - used < 32)
      #expect(pass.packing.tokenCount == pass.tokens.count)
      #expect(pass.rowKeys.count == pass.tokens.count)
      #expect(Set(pass.rowKeys.prefix(used)).count == used)
      var rowsSeen: [Int] = []
      var start = 0
      for index in pass.examples {
        let example = rows[index]
        for place in example.tokens.indices.dropFirst() where example.mask[place] {
          rowsSeen.append(start + place - 1)
        }
        start += example.tokens.count
      }
      #expect(pass.rows == rowsSeen)
      #expect(pass.targets == rowsSeen.map { pass.tokens[$0 + 1] })
      #expect(pass.rows.count == pass.examples.reduce(0) { $0 + rows[$1].supervisedCount })
    }
    #expect(packs.map(\.examples) == passes(rows, tokenBudget: budget).map(\.examples))
    // First fit: no two passes could have been one.
    let sizes = packs.map { pass in pass.examples.reduce(0) { $0 + rows[$1].tokens.count } }
      .sorted()
    if sizes.count > 1 { #expect(sizes[0] + sizes[1] > budget) }
  }

  @Test func aRowsKeysDoNotDependOnItsNeighbours() throws {
    let rows = examples([5, 9, 3])
    let together = try #require(passes(rows, tokenBudget: 100).first)
    var start = 0
    for index in together.examples {
      let alone = try #require(passes([rows[index]], tokenBudget: 100).first)
      let count = rows[index].tokens.count
      #expect(Array(alone.rowKeys.prefix(count)) == Array(together.rowKeys[start..<start + count]))
      start += count
    }
  }

  @Test func theFirstTokenNeverCarriesLoss() {
    let example = Example(tokens: [1, 2], mask: [true, true], line: 1, file: "f")
    #expect(example.mask == [false, true] && example.supervisedCount == 1)
  }

  @Test func orderIsAPermutationOfEachEpoch() {
    let file = dataOrder(count: 10, batchSize: 4, epoch: 3, seed: nil)
    #expect(file == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9]])
    let first = dataOrder(count: 100, batchSize: 7, epoch: 0, seed: 42)
    #expect(first.map(\.count) == [Int](repeating: 7, count: 14) + [2])
    #expect(first.flatMap { $0 }.sorted() == Array(0..<100))
    #expect(first == dataOrder(count: 100, batchSize: 7, epoch: 0, seed: 42))
    #expect(first != dataOrder(count: 100, batchSize: 7, epoch: 1, seed: 42))
    #expect(first != dataOrder(count: 100, batchSize: 7, epoch: 0, seed: 43))
    #expect(dataOrder(count: 1, batchSize: 7, epoch: 0, seed: 1) == [[0]])
  }
}
