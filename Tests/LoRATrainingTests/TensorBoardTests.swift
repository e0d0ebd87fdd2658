// TensorBoard's file, byte for byte as TensorBoard's own Python writer makes it.

import Foundation
import LoRATestSupport
import LoRATraining
import Testing

struct TensorBoardTests {
  /// What `tensorboard.summary.writer.record_writer` 2.21 writes for these two events.
  private static let expected =
    "1800000000000000a37f4b22090000506884c1da411a0d627261696e2e4576656e743a32f516abfd"
    + "33000000000000000ca72056090000a06884c1da4110ac022a250a110a0a747261696e2f6c6f7373"
    + "150000c03f0a100a096576616c2f6c6f737315000080be1e3b120a"

  @Test func theBytesAreThoseOfTensorBoardsWriter() throws {
    let folder = try TemporaryFolder()
    let path = folder.file("events.out.tfevents.0.x")
    let file = try TensorBoardFile(path, wallTime: 1_795_559_841.25)
    try file.add(
      step: 300, wallTime: 1_795_559_842.5, [("train/loss", 1.5), ("eval/loss", -0.25)])
    let bytes = try Data(contentsOf: URL(fileURLWithPath: path))
    #expect(bytes.map { String(format: "%02x", $0) }.joined() == Self.expected)
  }

  /// RFC 3720, appendix B.4, and the check value of the catalogue of CRCs.
  @Test(
    arguments: [
      ([UInt8](repeating: 0, count: 32), 0x8A91_36AA),
      ([UInt8](repeating: 0xFF, count: 32), 0x62A8_AB43),
      ([UInt8](0..<32), 0x46DD_794E), ([UInt8]((0..<32).reversed()), 0x113F_DB5C),
      (Array("123456789".utf8), 0xE306_9283), ([], 0),
    ] as [([UInt8], UInt32)]) func checksums(bytes: [UInt8], expected: UInt32)
  {
    #expect(CRC32C.of(bytes) == expected)
  }
}
