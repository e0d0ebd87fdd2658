// Paths taken apart, names of one character among them.

import LoRAFormats
import Testing

struct PathTests {
  @Test(arguments: [
    ("x", "", "x"), ("é", "", "é"), ("ab", "", "ab"), ("/x", "/", "x"), ("a/x", "a", "x"),
    ("a/b/c.txt", "a/b", "c.txt"), ("/a/b/", "/a", "b"), ("a//b", "a", "b"), ("x/", "", "x"),
    ("/", "/", "/"), ("//", "/", "/"), ("", "", ""), ("./x", ".", "x"),
  ])
  func parts(path: String, folder: String, name: String) {
    #expect(path.folderOfPath == folder)
    #expect(path.nameOfPath == name)
  }

  @Test func aFileOfOneLetterIsWritten() throws {
    try OutputFolder.checkCreatable("x")
  }
}
