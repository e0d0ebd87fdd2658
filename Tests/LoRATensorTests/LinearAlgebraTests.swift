// Singular values and QR: the factors make the matrix again, and are orthonormal.

import LoRATensor
import LoRATestSupport
import Testing

@Suite struct LinearAlgebraTests {
  struct Size: CustomTestStringConvertible {
    let m: Int
    let n: Int
    let rank: Int
    var testDescription: String { "\(m) × \(n), rank \(rank)" }
  }

  static let sizes = [
    Size(m: 1, n: 1, rank: 1), Size(m: 1, n: 7, rank: 1), Size(m: 7, n: 1, rank: 1),
    Size(m: 5, n: 5, rank: 5), Size(m: 33, n: 17, rank: 3), Size(m: 17, n: 33, rank: 17),
    Size(m: 65, n: 129, rank: 4), Size(m: 129, n: 65, rank: 4), Size(m: 70, n: 70, rank: 8),
  ]

  @Test(arguments: sizes)
  func wholeDecompositionMakesTheMatrix(_ size: Size) throws {
    var random = Random(seed: 1)
    let matrix = random.normal([size.m, size.n])
    let svd = try matrix.singularValueDecomposition()
    let (a, b) = svd.factors()
    expectClose(
      actual: b.matmul(a).elements, expected: matrix.elements, atol: 2e-5, rtol: 1e-5, name: "BA")
    expectOrthonormalRows(svd.u.transposed(), "U")
    expectOrthonormalRows(svd.vt, "V")
    #expect(svd.s == svd.s.sorted(by: >) && svd.s.allSatisfy { $0 >= 0 })
  }

  @Test(arguments: sizes)
  func fewValuesAreTheFirstOfAll(_ size: Size) throws {
    var random = Random(seed: 2)
    let matrix = random.normal([size.m, size.n])
    let all = try matrix.singularValueDecomposition()
    let few = try matrix.singularValueDecomposition(rank: size.rank)
    #expect(few.u.shape == [size.m, size.rank] && few.vt.shape == [size.rank, size.n])
    expectClose(
      actual: few.s, expected: Array(all.s.prefix(size.rank)), atol: 1e-6, rtol: 1e-6, name: "S")
    // With the signs fixed, the vectors are the same, not only the product.
    expectClose(
      actual: few.vt.elements, expected: Array(all.vt.elements.prefix(size.rank * size.n)),
      atol: 2e-5, rtol: 0, name: "V")
    expectOrthonormalRows(few.u.transposed(), "U")
  }

  @Test func matrixOfLowRankIsMadeExactlyAndTheRestIsZero() throws {
    var random = Random(seed: 3)
    let matrix = random.normal([90, 3]).matmul(random.normal([3, 70]))
    let svd = try matrix.singularValueDecomposition(rank: 6)
    let (a, b) = svd.factors()
    expectClose(
      actual: b.matmul(a).elements, expected: matrix.elements, atol: 2e-5, rtol: 1e-5, name: "BA")
    #expect(svd.s.dropFirst(3).allSatisfy { $0 < 1e-5 })
    let zeros = try Tensor.zeros([40, 50]).singularValueDecomposition(rank: 2)
    #expect(zeros.s == [0, 0] && zeros.vt.elements.allSatisfy(\.isFinite))
  }

  @Test func subspaceIterationFindsTheLargestValues() throws {
    var random = Random(seed: 4)
    // Values that fall off, as those of weights do.
    let matrix = random.normal([96, 60]) * Tensor((0..<60).map { 1 / Float(1 + $0) }, shape: [60])
    let exact = try matrix.singularValueDecomposition(rank: 5)
    let close = try matrix.singularValueDecomposition(rank: 5, iterations: 16, random: &random)
    expectClose(actual: close.s, expected: exact.s, atol: 0, rtol: 1e-3, name: "S")
    let rough = try matrix.singularValueDecomposition(rank: 5, iterations: 0, random: &random)
    expectOrthonormalRows(rough.vt, "V")
    #expect(rough.s[0] <= exact.s[0] * 1.00001 && rough.s[0] > exact.s[0] / 2)
  }

  @Test(arguments: [(1, 1), (5, 5), (33, 17), (64, 8)])
  func qrMakesTheMatrix(_ m: Int, _ n: Int) throws {
    var random = Random(seed: 5)
    let matrix = random.normal([m, n])
    let (q, r) = try matrix.orthonormalColumns()
    expectClose(
      actual: q.matmul(r).elements, expected: matrix.elements, atol: 1e-5, rtol: 1e-5, name: "QR")
    expectOrthonormalRows(q.transposed(), "Q")
    for row in 0..<n {
      for column in 0..<row { #expect(r.elements[row * n + column] == 0) }
    }
    let first = try matrix.orthonormalColumns(first: 1).q
    expectClose(
      actual: first.elements, expected: (0..<m).map { q.elements[$0 * n] }, atol: 1e-6, rtol: 0,
      name: "first column")
  }

  @Test func brokenMatrixIsRefused() throws {
    let matrix = Tensor([1, .nan, 2, 3], shape: [2, 2])
    let expected =
      "a matrix of shape [2, 2] has no decomposition: it holds NaN or infinity\n"
      + "hint: the weights are broken: look for where they came from"
    var random = Random(seed: 6)
    for decompose in [
      { _ = try matrix.singularValueDecomposition() },
      { _ = try matrix.singularValueDecomposition(rank: 1) },
      { _ = try matrix.singularValueDecomposition(rank: 1, iterations: 2, random: &random) },
      { _ = try matrix.orthonormalColumns() },
    ] {
      let error = #expect(throws: LinearAlgebraError.self) { try decompose() }
      #expect(error?.description == expected)
    }
  }

  private func expectOrthonormalRows(_ matrix: Tensor, _ name: String) {
    let product = matrix.matmul(matrix.transposed())
    let size = matrix.shape[0]
    let identity = (0..<size * size).map { Float($0 / size == $0 % size ? 1 : 0) }
    expectClose(
      actual: product.elements, expected: identity, atol: 2e-6, rtol: 0,
      name: "\(name) times itself")
  }
}
