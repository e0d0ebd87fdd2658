// Adapters that something has happened to: each is refused, with what is wrong and what to do.

import Foundation
import LoRAAdapters
import LoRAJSON
import LoRANN
import LoRATensor
import LoRATestSupport
import Testing

/// One spoilt adapter.
struct HostileAdapter: CustomTestStringConvertible, Sendable {
  let testDescription: String
  var spoil: @Sendable (inout AdapterFolder) -> Void = { _ in }
  /// The file that is spoilt after it was written.
  var file: String?
  var change: @Sendable ([UInt8]) -> [UInt8] = { $0 }
  let expected: String
}

@Suite struct HostileAdapterTests {
  @Test func thereAreEnough() {
    #expect(Self.cases.count >= 80)
    #expect(Set(Self.cases.map(\.testDescription)).count == Self.cases.count)
  }

  @Test(arguments: cases) func isRefused(adapter: HostileAdapter) throws {
    var files = try AdapterFolder()
    adapter.spoil(&files)
    let path = try files.write()
    if let file = adapter.file {
      let bytes = [UInt8](try Data(contentsOf: URL(fileURLWithPath: path + "/" + file)))
      try files.folder.write(adapter.change(bytes), to: file)
    }
    let model = try tinyModel()
    let parameters = model.namedParameters.map(\.path)
    let found = message(in: path) { try model.loadAdapter("x", from: path) }
    #expect(found == adapter.expected)
    // Nothing of it is in the model.
    #expect(model.namedParameters.map(\.path) == parameters)
    #expect(model.adapterNames == [])
  }

  static let cases = HostileAdapter.tensors + HostileAdapter.configurations
}
