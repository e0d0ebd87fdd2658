// What an adapter is written as, byte for byte: a change of a format is seen here, and meant.

import Foundation
import LoRAAdapters
import LoRATestSupport
import Testing

@Suite struct GoldenExportTests {
  private let folder: TemporaryFolder

  init() throws {
    folder = try TemporaryFolder()
    // A matrix in every layer, one configuration of each file format.
    let model = try tinyModel()
    let loaded = try model.loadAdapter("x", from: Fixture.path("adapters/all-linear"))
    try model.saveAdapter("x", loaded.configuration, to: folder.file("peft"))
    try convert(Fixture.path("adapters/all-linear"), .gguf, folder.file("adapter.gguf"))
    try convert(Fixture.path("adapters/all-linear"), .mlx, folder.file("mlx"))
  }

  /// `LORA_RECORD_GOLDEN=1` writes the files anew; Scripts/fixtures/manifest.py is to be run then.
  @Test(arguments: [
    "peft/adapter_config.json", "peft/adapter_model.safetensors", "adapter.gguf",
    "mlx/adapter_config.json", "mlx/adapters.safetensors",
  ]) func theFilesAreTheRecordedOnes(name: String) throws {
    let written = try Data(contentsOf: URL(fileURLWithPath: folder.file(name)))
    if ProcessInfo.processInfo.environment["LORA_RECORD_GOLDEN"] != nil {
      let url = URL(fileURLWithPath: Fixture.path("golden/" + name))
      try FileManager.default.createDirectory(
        at: url.deletingLastPathComponent(), withIntermediateDirectories: true)
      try written.write(to: url)
    }
    let recorded = try Fixture.data("golden/" + name)
    let place = zip(written, recorded).enumerated().first { $1.0 != $1.1 }?.offset
    #expect(
      written == recorded,
      "\(name): \(written.count) bytes, \(recorded.count) recorded; they differ at \(place ?? -1)")
  }
}
