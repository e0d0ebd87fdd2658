// A new adapter as PEFT's folder.

import LoRAFormats

extension AdapterWeights {
  /// The files of PEFT's folder.
  package static let fileNames = [AdapterFile.tensorsName, AdapterFile.configurationName]

  /// Writes PEFT's files into a folder that is there.
  ///
  /// - Throws: `AdapterError` for what the files cannot hold; `OutputFileError`.
  package func write(to folder: String) throws {
    let (writer, configuration, _) = try peft(layout: nil)
    try writer.write(to: AdapterFile.path(folder, AdapterFile.tensorsName))
    try AtomicFile.write(
      configuration, to: AdapterFile.path(folder, AdapterFile.configurationName))
  }
}
