import ClusterLogic
import Testing

@Suite("What .cairnignore leaves out")
struct IgnoreRulesTests {
  struct Case: Sendable, CustomTestStringConvertible {
    var rules: String
    var path: String
    var isIgnored: Bool
    var testDescription: String { "\(rules.debugDescription) on \(path)" }
    init(_ rules: String, _ path: String, _ isIgnored: Bool) { (self.rules, self.path, self.isIgnored) = (rules, path, isIgnored) }
  }

  /// As the agent asks: from the top down, and nothing below what is left out. A slash at the end marks a folder.
  private func isIgnored(_ tree: IgnoreTree, _ path: String) -> Bool {
    let names = path.split(separator: "/").map(String.init)
    for depth in 1...names.count {
      if tree.isIgnored(Array(names.prefix(depth)), isFolder: depth < names.count || path.hasSuffix("/")) { return true }
    }
    return false
  }

  /// One line or more for each rule of gitignore(5).
  @Test(
    "the rules of gitignore",
    arguments: [
      // Blank lines, comments, and their escapes.
      Case("\n\n", "a", false), Case("#a", "#a", false), Case("\\#a", "#a", true), Case("\\!a", "!a", true),
      // Spaces at the end.
      Case("a   ", "a", true), Case("a\\ ", "a ", true), Case("a\\ ", "a", false), Case("a b", "a b", true),
      // Names at every depth.
      Case("a.o", "a.o", true), Case("a.o", "x/y/a.o", true), Case("a.o", "x/a.oo", false), Case("build", "x/build/deep/file", true),
      // A slash in front or in the middle ties it to the folder of the file.
      Case("/a", "a", true), Case("/a", "x/a", false), Case("doc/frotz", "doc/frotz", true), Case("doc/frotz", "a/doc/frotz", false),
      Case("/doc/frotz", "doc/frotz", true),
      // A slash at the end asks for a folder, at every depth.
      Case("frotz/", "frotz/", true), Case("frotz/", "a/frotz/x", true), Case("frotz/", "frotz", false),
      Case("doc/frotz/", "a/doc/frotz/x", false),
      // Wildcards do not cross folders.
      Case("*.o", "a.o", true), Case("foo/*", "foo/test.json", true), Case("foo/*", "foo/bar/hello.c", true),
      Case("/foo/*.c", "foo/bar/hello.c", false),
      Case("a?c", "abc", true), Case("a?c", "ac", false), Case("a?c", "a/c", false), Case("[a-c]x", "bx", true),
      Case("[a-c]x", "dx", false),
      Case("[!a-c]x", "dx", true), Case("[^a-c]x", "ax", false), Case("[]]x", "]x", true), Case("[[:digit:]]x", "7x", true),
      Case("[[:digit:]]x", "ax", false), Case("[a", "a", false), Case("\\*", "*", true), Case("\\*", "a", false),
      Case("*a*a*a*a*b", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaac", false),
      // Two asterisks.
      Case("**/foo", "foo", true), Case("**/foo", "a/b/foo", true), Case("**/foo/bar", "a/foo/bar", true),
      Case("**/foo/bar", "a/foo/x/bar", false),
      Case("abc/**", "abc/x", true), Case("abc/**", "abc/x/y", true), Case("abc/**", "abc/", false), Case("a/**/b", "a/b", true),
      Case("a/**/b", "a/x/b", true), Case("a/**/b", "a/x/y/b", true), Case("a/**/b", "a/x/y/c", false), Case("a**b", "axyb", true),
      // Negation: the last that fits counts, and nothing comes back below what is left out.
      Case("*.log\n!keep.log", "keep.log", false), Case("*.log\n!keep.log", "x.log", true), Case("!keep.log\n*.log", "keep.log", true),
      Case("dir/\n!dir/keep", "dir/keep", true), Case("/*\n!/foo\n/foo/*\n!/foo/bar", "foo/bar/x", false),
      Case("/*\n!/foo\n/foo/*\n!/foo/bar", "foo/y", true), Case("/*\n!/foo\n/foo/*\n!/foo/bar", "z", true),
      // Line ends of other systems.
      Case("a\r\nb\r\n", "a", true),
    ])
  func rules(_ example: Case) {
    var tree = IgnoreTree()
    tree.set(IgnoreRules(example.rules), in: [])
    #expect(isIgnored(tree, example.path) == example.isIgnored)
  }

  @Test("the file nearest to a path counts most")
  func nearestFile() {
    var tree = IgnoreTree()
    tree.set(IgnoreRules("*.tmp\n/top"), in: [])
    tree.set(IgnoreRules("!*.tmp\n/here"), in: ["sub"])
    #expect(isIgnored(tree, "a.tmp"))
    #expect(!isIgnored(tree, "sub/a.tmp"))
    #expect(isIgnored(tree, "sub/here"))
    #expect(!isIgnored(tree, "here"))
    #expect(!isIgnored(tree, "sub/top"))
  }
}
