// The conversion kernels of every instruction set, bit for bit.

import CLoRAKernels
import LoRAFormats
import LoRATensor
import LoRATestSupport
import Testing

/// The instruction sets that this processor has.
private let instructionSets: [String] = ["baseline", "v3", "v4"].filter { isa in
  let available = lk_convert_with_isa(isa, LK_F32, nil, LK_F32, nil, 0) == 1
  if !available { print("kernels: this processor lacks \(isa), which is not tested") }
  return available
}

/// One call of the kernel: `count` elements of `source` as `Result` bits. The bytes around the result
/// are watched, and source and result are off the alignment of vectors.
private func convert<Result: FixedWidthInteger>(
  _ isa: String, _ source: [UInt8], _ type: lk_dtype, to resultType: lk_dtype, count: Int,
  offset: Int = 0, _: Result.Type = Result.self
) -> [Result] {
  let guardValue = Result(truncatingIfNeeded: 0x5A5A_5A5A)
  var result = [Result](repeating: guardValue, count: count + offset + 8)
  let shifted = [UInt8](repeating: 0xAA, count: offset * 4) + source
  shifted.withUnsafeBytes { input in
    result.withUnsafeMutableBytes { output in
      let from = input.baseAddress.map { $0 + offset * 4 }
      let to = output.baseAddress.map { $0 + offset * MemoryLayout<Result>.size }
      #expect(lk_convert_with_isa(isa, type, from, resultType, to, count) == 1)
    }
  }
  #expect(result[..<offset].allSatisfy { $0 == guardValue }, "wrote in front of the result")
  #expect(result[(offset + count)...].allSatisfy { $0 == guardValue }, "wrote behind the result")
  return Array(result[offset..<(offset + count)])
}

private func bytes<T: FixedWidthInteger>(_ values: [T]) -> [UInt8] {
  values.flatMap { value in withUnsafeBytes(of: value.littleEndian) { Array($0) } }
}

/// Floats that exercise rounding: random bits, and all neighbours of ties of both 16-bit types.
private let roundingInputs: [UInt32] = {
  var random = FixedGenerator(seed: 7)
  var values = (0..<20000).map { _ in UInt32.random(in: 0 ... .max, using: &random) }
  for _ in 0..<4000 {
    let high = UInt32.random(in: 0...0xFFFF, using: &random) << 16
    values += [0x7FFF, 0x8000, 0x8001].map { high | $0 }
  }
  for exponent in UInt32(96)...146 {
    for mantissa: UInt32 in [0, 0x0FFF, 0x1000, 0x1001, 0x2FFF, 0x3000, 0x3001, 0x7FEFFF, 0x7FFFFF]
    {
      values += [exponent << 23 | mantissa, 1 << 31 | exponent << 23 | mantissa]
    }
  }
  // Subnormal halves and their ties; zeros; infinities.
  for step in 0..<2100 { values.append((Float(step) * 0x1p-25).bitPattern) }
  return values + [0, 1 << 31, 1, 0x7F80_0000, 0xFF80_0000, 0x7F7F_FFFF, 0x477F_EFFF, 0x477F_F000]
}()

@Suite("Conversion kernels")
struct ConvertTests {
  static let blockTypes: [(DType, lk_dtype)] = [
    (.q4_0, LK_Q4_0), (.q4_1, LK_Q4_1), (.q5_0, LK_Q5_0), (.q5_1, LK_Q5_1), (.q8_0, LK_Q8_0),
  ]

  @Test("Blocks decode to the bits of the gguf package", arguments: instructionSets)
  func blocks(isa: String) throws {
    let file = try GGUFFile(contentsOf: Fixture.path("formats/blocks.gguf"))
    let expected = try FixtureTensors("formats/blocks.safetensors")
    for (dtype, type) in Self.blockTypes {
      let name = "blocks.\(dtype.rawValue)"
      let blocks = try file.bytes(of: name)
      #expect(blocks.dtype == dtype)
      #expect(blocks.shape == [10, 192])
      let source = blocks.withBytes { Array($0) }
      let values: [UInt32] = convert(isa, source, type, to: LK_F32, count: 1920, offset: 1)
      #expect(values == (try expected.floats(name).map(\.bitPattern)), "\(dtype) to F32")
      let rounded: [UInt16] = convert(isa, source, type, to: LK_BF16, count: 1920, offset: 3)
      #expect(bytes(rounded) == (try expected.bytes(name + ".bf16")), "\(dtype) to BF16")
      let halves: [UInt16] = convert(isa, source, type, to: LK_F16, count: 1920)
      #expect(
        halves == (try expected.floats(name).map { Float16($0).bitPattern }), "\(dtype) to F16")
    }
  }

  @Test("Every half and every bf16 becomes the float it is", arguments: instructionSets)
  func widening(isa: String) {
    let all = (0...UInt16.max).map { $0 }
    let fromHalf: [UInt32] = convert(isa, bytes(all), LK_F16, to: LK_F32, count: all.count)
    let fromBrain: [UInt32] = convert(isa, bytes(all), LK_BF16, to: LK_F32, count: all.count)
    var wrong: [UInt16] = []
    for (bits, value) in zip(all, fromHalf) {
      let expected = Float(Float16(bitPattern: bits))
      let same =
        expected.isNaN ? Float(bitPattern: value).isNaN : expected.bitPattern == value
      if !same { wrong.append(bits) }
    }
    #expect(wrong.isEmpty, "\(wrong.count) halves, the first \(wrong.first ?? 0)")
    #expect(fromBrain == all.map { UInt32($0) << 16 })
  }

  @Test("Floats are rounded to nearest, ties to even", arguments: instructionSets)
  func narrowing(isa: String) {
    let source = bytes(roundingInputs)
    let count = roundingInputs.count
    let halves: [UInt16] = convert(isa, source, LK_F32, to: LK_F16, count: count)
    let brains: [UInt16] = convert(isa, source, LK_F32, to: LK_BF16, count: count)
    var wrong: [String] = []
    for (index, bits) in roundingInputs.enumerated() {
      let value = Float(bitPattern: bits)
      let half = Float16(bitPattern: halves[index])
      let brain = Float(bitPattern: UInt32(brains[index]) << 16)
      if value.isNaN {
        if !half.isNaN || !brain.isNaN { wrong.append("NaN \(bits)") }
        continue
      }
      if half.bitPattern != Float16(value).bitPattern { wrong.append("F16 of \(value): \(half)") }
      if brain.bitPattern != nearestBrainFloat(value).bitPattern {
        wrong.append("BF16 of \(value): \(brain)")
      }
    }
    #expect(wrong.isEmpty, "\(wrong.count) of \(count), the first: \(wrong.first ?? "")")
  }

  /// By comparing the two neighbours in double precision, unlike the kernel.
  private func nearestBrainFloat(_ value: Float) -> Float {
    guard value.isFinite else { return value }
    let below = Float(bitPattern: value.bitPattern & 0xFFFF_0000)
    let above = Float(bitPattern: (value.bitPattern & 0xFFFF_0000) &+ 0x10000)
    // Behind the largest finite value the next step is where infinity stands.
    let aboveValue =
      above.isInfinite ? Double(sign: below.sign, exponent: 128, significand: 1) : Double(above)
    let toBelow = abs(Double(value) - Double(below))
    let toAbove = abs(aboveValue - Double(value))
    if toBelow != toAbove { return toBelow < toAbove ? below : above }
    return (below.bitPattern >> 16) & 1 == 0 ? below : above
  }

  @Test("Dense types of 0 to 70 elements, at odd places", arguments: instructionSets)
  func counts(isa: String) {
    let floats = roundingInputs.filter { !Float(bitPattern: $0).isNaN }
    for count in 0...70 {
      let values = Array(floats.suffix(count))
      let halves = values.map { Float16(Float(bitPattern: $0)).bitPattern }
      let brains = values.map { nearestBrainFloat(Float(bitPattern: $0)) }
      let brainBits = brains.map { UInt16($0.bitPattern >> 16) }
      for offset in [0, 1, 5] {
        let copy: [UInt32] = convert(
          isa, bytes(values), LK_F32, to: LK_F32, count: count, offset: offset)
        #expect(copy == values)
        let toHalf: [UInt16] = convert(
          isa, bytes(values), LK_F32, to: LK_F16, count: count, offset: offset)
        #expect(toHalf == halves)
        let toBrain: [UInt16] = convert(
          isa, bytes(values), LK_F32, to: LK_BF16, count: count, offset: offset)
        #expect(toBrain == brainBits)
        let fromHalf: [UInt32] = convert(
          isa, bytes(halves), LK_F16, to: LK_F32, count: count, offset: offset)
        #expect(fromHalf == halves.map { Float(Float16(bitPattern: $0)).bitPattern })
        let fromBrain: [UInt32] = convert(
          isa, bytes(brainBits), LK_BF16, to: LK_F32, count: count, offset: offset)
        #expect(fromBrain == brains.map(\.bitPattern))
        let brainToHalf: [UInt16] = convert(
          isa, bytes(brainBits), LK_BF16, to: LK_F16, count: count, offset: offset)
        #expect(brainToHalf == brains.map { Float16($0).bitPattern })
        let halfToBrain: [UInt16] = convert(
          isa, bytes(halves), LK_F16, to: LK_BF16, count: count, offset: offset)
        #expect(
          halfToBrain
            == halves.map {
              UInt16(nearestBrainFloat(Float(Float16(bitPattern: $0))).bitPattern >> 16)
            })
      }
    }
  }

  @Test("The driver splits long conversions over threads without a seam")
  func driver() throws {
    let file = try GGUFFile(contentsOf: Fixture.path("formats/blocks.gguf"))
    let expected = try FixtureTensors("formats/blocks.safetensors")
    for (dtype, type) in Self.blockTypes {
      let name = "blocks.\(dtype.rawValue)"
      let once = try file.bytes(of: name).withBytes { Array($0) }
      let repeats = 40
      let source = Array(repeatElement(once, count: repeats).joined())
      var result = [Float](repeating: 0, count: 1920 * repeats)
      lk_convert(type, source, LK_F32, &result, result.count)
      let block = try expected.floats(name).map(\.bitPattern)
      #expect(
        result.map(\.bitPattern) == Array(repeatElement(block, count: repeats).joined()))
    }
  }
}

@Suite("Reference quantisers")
struct QuantizationTests {
  @Test(
    "Blocks are the bytes of the gguf package",
    arguments: [DType.q4_0, .q4_1, .q5_0, .q5_1, .q8_0])
  func blocks(dtype: DType) throws {
    let fixture = try FixtureTensors("formats/quantised.safetensors")
    let values = try fixture.floats("values")
    let shape = Shape(try fixture.shape("values"))
    let stored = try StoredTensor(values, shape: shape, dtype: dtype)
    #expect(stored.withBytes { Array($0) } == (try fixture.bytes(dtype.rawValue)))
  }

  @Test("What blocks cannot hold is refused, tiny blocks become zeros")
  func limits() throws {
    var values = [Float](repeating: 1, count: 64)
    values[40] = .nan
    let error = #expect(throws: QuantizationError.self) {
      try StoredTensor(values, shape: [64], dtype: .q4_0)
    }
    #expect(error?.message == "a value near element 32 is NaN or infinite")
    values[40] = 1e9
    let range = #expect(throws: QuantizationError.self) {
      try StoredTensor(values, shape: [64], dtype: .q8_0)
    }
    #expect(
      range?.message
        == "Q8_0 stores the scale of a block in f16, and 7874015.5 is beyond it")
    for dtype in [DType.q4_0, .q4_1, .q5_0, .q5_1, .q8_0] {
      let tiny = (0..<32).map { Float($0 - 16) * Float(bitPattern: 700) }
      let stored = try StoredTensor(tiny, shape: [32], dtype: dtype)
      #expect(stored.byteCount == dtype.bytesPerBlock)
    }
  }
}
