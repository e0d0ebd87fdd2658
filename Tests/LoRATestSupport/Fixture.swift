// Where the tests find their files: fixtures in the repository and the demo model outside of it.

package import Foundation

/// Paths of the files that tests read.
package enum Fixture {
  /// The folder `Fixtures/` of the package, found from the place of this source file.
  package static let directory: String = {
    var url = URL(fileURLWithPath: #filePath)
    for _ in 0..<3 { url.deleteLastPathComponent() }
    return url.appendingPathComponent("Fixtures").path
  }()

  /// The path of `Fixtures/<relative>`, for instance `formats/blocks.safetensors`.
  package static func path(_ relative: String) -> String { directory + "/" + relative }

  /// The bytes of `Fixtures/<relative>`.
  package static func data(_ relative: String) throws -> Data {
    try Data(contentsOf: URL(fileURLWithPath: path(relative)))
  }

  /// The UTF-8 text of `Fixtures/<relative>`.
  package static func text(_ relative: String) throws -> String {
    try String(contentsOf: URL(fileURLWithPath: path(relative)), encoding: .utf8)
  }
}

/// The GGUF file of the demo model, or nil (with the reason printed) where it has not been fetched.
///
/// Looks at the environment variable `LORA_DEMO_MODEL`, then in `~/.cache/swift-lora`.
package func demoModelPath() -> String? {
  let name = "SmolLM2-135M-Instruct.Q4_1.gguf"
  if let path = ProcessInfo.processInfo.environment["LORA_DEMO_MODEL"], !path.isEmpty {
    if FileManager.default.fileExists(atPath: path) { return path }
    print("demo model: LORA_DEMO_MODEL names \(path), which does not exist")
    return nil
  }
  let path = NSHomeDirectory() + "/.cache/swift-lora/" + name
  if FileManager.default.fileExists(atPath: path) { return path }
  print("demo model: not at \(path), and LORA_DEMO_MODEL is not set (`make demo` fetches it)")
  return nil
}
