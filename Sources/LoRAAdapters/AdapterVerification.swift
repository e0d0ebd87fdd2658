// Reads back what was written: an adapter is hours of work, and disks fill up.

import LoRAFormats
import LoRANN
import LoRATensor

extension AdapterFile {
  /// Compares an adapter's folder with what was to be written.
  ///
  /// - Throws: `AdapterError` naming the tensor that differs; what reading the files throws.
  static func verify(
    _ directory: String, tensors: [(name: String, value: Tensor)],
    configuration: LoRAConfiguration
  ) throws {
    let tensorsPath = path(directory, tensorsName)
    let file = try SafeTensorsFile(contentsOf: tensorsPath)
    for (name, value) in tensors {
      let stored = try file.bytes(of: name)
      let count = DType.float32.byteCount(of: value.count)
      let isSame =
        stored.shape == value.shape
        && withExtendedLifetime((stored, value)) {
          UnsafeRawBufferPointer(start: stored.storage.pointer + stored.byteOffset, count: count)
            .elementsEqual(UnsafeRawBufferPointer(start: value.pointer, count: count))
        }
      guard isSame else { throw unlike(tensorsPath, name) }
    }
    let configurationPath = path(directory, configurationName)
    let read = try PEFTConfiguration.read(configurationPath)
    guard PEFTConfiguration.text(of: read) == PEFTConfiguration.text(of: configuration) else {
      throw unlike(configurationPath, "the configuration")
    }
  }

  private static func unlike(_ file: String, _ what: String) -> AdapterError {
    AdapterError(
      file: file, message: "\(what) was read back and is not what was written",
      hint: "the disk is failing, or another process writes to the folder: save to another place")
  }
}
