// Mapping files and replacing files, the failures above all.

import Foundation
import LoRAFormats
import LoRATestSupport
import Testing

@Suite("MappedFile")
struct MappedFileTests {
  @Test("Gives the bytes of the file and nothing beyond")
  func bytes() throws {
    let folder = try TemporaryFolder()
    let path = try folder.write([1, 2, 3, 4, 5], to: "five")
    let file = try MappedFile(path: path)
    #expect(file.path == path)
    #expect(Array(file.bytes) == [1, 2, 3, 4, 5])
    let inside: [(Int, Int, [UInt8])] = [(0, 5, [1, 2, 3, 4, 5]), (1, 3, [2, 3, 4]), (5, 0, [])]
    for (offset, count, expected) in inside {
      #expect(file.bytes(at: offset, count: count).map { Array($0) } == expected)
    }
    let outside = [(0, 6), (5, 1), (6, 0), (-1, 1), (0, -1), (1, Int.max), (Int.max, Int.max)]
    for (offset, count) in outside {
      #expect(file.bytes(at: offset, count: count) == nil, "\(offset), \(count)")
    }
  }

  @Test("Refuses what is not a readable file with content")
  func failures() throws {
    let folder = try TemporaryFolder()
    try folder.write([], to: "empty")
    try folder.write([1], to: "locked")
    #expect(mkfifo(folder.file("pipe"), 0o644) == 0)
    #expect(chmod(folder.file("locked"), 0) == 0)
    var cases = [
      ("missing", "the file does not exist"), ("locked/inside", "the file does not exist"),
      ("", "this is a folder, not a file"), ("empty", "the file is empty"),
      ("pipe", "this is not a regular file"),
    ]
    if geteuid() == 0 {
      print("MappedFile: running as root, whom no permission stops; that case is left out")
    } else {
      cases.append(("locked", "no permission to read the file"))
    }
    for (name, message) in cases {
      let path = folder.file(name)
      let error = #expect(throws: ModelFileError.self) { try MappedFile(path: path) }
      #expect(error?.message == message)
      #expect(error?.file == path)
      #expect(error?.description.hasPrefix("\(path): \(message)\nhint: ") == true)
    }
  }

  @Test("Keeps what was mapped when the file is replaced")
  func replaced() throws {
    let folder = try TemporaryFolder()
    let path = try folder.write([1, 2, 3], to: "file")
    let file = try MappedFile(path: path)
    try AtomicFile.write("a whole new content", to: path)
    #expect(Array(file.bytes) == [1, 2, 3])
  }
}

@Suite("AtomicFile")
struct AtomicFileTests {
  @Test(
    "Writes and replaces, and leaves nothing else behind", arguments: [0, 1, 65535, 65536, 300_000])
  func writes(count: Int) throws {
    let folder = try TemporaryFolder()
    let path = folder.file("out.bin")
    try AtomicFile.write("old", to: path)
    let bytes = (0..<count).map { UInt8(truncatingIfNeeded: $0 &* 31) }
    try AtomicFile.write(to: path) { sink in
      // In pieces that do and do not fit the buffer.
      for start in stride(from: 0, to: count, by: 7000) {
        try sink.write(Array(bytes[start..<min(start + 7000, count)]))
      }
      #expect(sink.byteCount == count)
      try sink.write(bytes)
    }
    #expect(try Data(contentsOf: URL(fileURLWithPath: path)) == Data(bytes + bytes))
    #expect(folder.contents == ["out.bin"])
    try AtomicFile.write(Data([1, 2]), to: path)
    #expect(try Data(contentsOf: URL(fileURLWithPath: path)) == Data([1, 2]))
  }

  @Test("A failure in the middle keeps the old file and removes the new one")
  func bodyFails() throws {
    struct Interruption: Error {}
    let folder = try TemporaryFolder()
    let path = folder.file("out.txt")
    try AtomicFile.write("old", to: path)
    #expect(throws: Interruption.self) {
      try AtomicFile.write(to: path) { sink in
        try sink.write([UInt8](repeating: 1, count: 200_000))
        #expect(folder.contents.count == 2)
        throw Interruption()
      }
    }
    #expect(try String(contentsOfFile: path, encoding: .utf8) == "old")
    #expect(folder.contents == ["out.txt"])
  }

  @Test("Says why a file cannot be written")
  func failures() throws {
    let folder = try TemporaryFolder()
    try folder.write([1], to: "file")
    #expect(mkfifo(folder.file("pipe"), 0o644) == 0)
    let cases = [
      ("no/such/folder.txt", "cannot create a file in its folder: No such file or directory"),
      ("file/inside.txt", "cannot create a file in its folder: Not a directory"),
      ("", "cannot write: a folder has this name"),
      ("pipe", "cannot write: this is not a regular file"),
    ]
    for (name, message) in cases {
      let error = #expect(throws: OutputFileError.self) {
        try AtomicFile.write("text", to: folder.file(name))
      }
      #expect(error?.message == message)
      #expect(error?.file == folder.file(name))
    }
    #expect(folder.contents == ["file", "pipe"])
  }

  @Test("Writes through a symbolic link and keeps the link")
  func link() throws {
    let folder = try TemporaryFolder()
    try AtomicFile.write("old", to: folder.file("real"))
    #expect(symlink("real", folder.file("link")) == 0)
    try AtomicFile.write("new", to: folder.file("link"))
    #expect(try String(contentsOfFile: folder.file("real"), encoding: .utf8) == "new")
    #expect(folder.contents == ["link", "real"])
    let kind = try FileManager.default.attributesOfItem(atPath: folder.file("link"))[.type]
    #expect(kind as? FileAttributeType == .typeSymbolicLink)
  }

  #if compiler(>=6.2) && os(Linux)
    @Test("A full disk keeps the old file: a limit on the size of files in a process of its own")
    func fileSizeLimit() async {
      await #expect(processExitsWith: .success) {
        let folder = try TemporaryFolder()
        let path = folder.file("adapter.bin")
        try AtomicFile.write("old", to: path)
        // Without the handler, exceeding the limit ends the process before `write` can fail.
        signal(SIGXFSZ, SIG_IGN)
        var limit = rlimit(rlim_cur: 100_000, rlim_max: 100_000)
        #expect(setrlimit(__rlimit_resource_t(RLIMIT_FSIZE.rawValue), &limit) == 0)
        let error = #expect(throws: OutputFileError.self) {
          try AtomicFile.write(Data(count: 1_000_000), to: path)
        }
        #expect(error?.message == "cannot write the content: File too large")
        #expect(try String(contentsOfFile: path, encoding: .utf8) == "old")
        #expect(folder.contents == ["adapter.bin"])
      }
    }
  #endif

  @Test("A full disk keeps the old file: a small file system of its own")
  func fullDisk() throws {
    let folder = try TemporaryFolder()
    guard geteuid() == 0, run("mount", "-t", "tmpfs", "-o", "size=256k", "none", folder.path) == 0
    else {
      print("AtomicFile: mounting a small file system needs root; that test is left out")
      return
    }
    defer { _ = run("umount", folder.path) }
    let path = folder.file("adapter.bin")
    try AtomicFile.write("old", to: path)
    let error = #expect(throws: OutputFileError.self) {
      try AtomicFile.write(Data(count: 1_000_000), to: path)
    }
    #expect(error?.message == "cannot write the content: No space left on device")
    #expect(try String(contentsOfFile: path, encoding: .utf8) == "old")
    #expect(folder.contents == ["adapter.bin"])
  }

  /// Runs a command of the system; its exit code, or nil where there is no such command.
  private func run(_ command: String...) -> Int32? {
    let process = Process()
    process.executableURL = URL(fileURLWithPath: "/usr/bin/env")
    process.arguments = command
    process.standardError = FileHandle.nullDevice
    guard (try? process.run()) != nil else { return nil }
    process.waitUntilExit()
    return process.terminationStatus
  }
}
