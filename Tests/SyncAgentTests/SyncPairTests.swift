import ClusterLogic
import Platform
import SyncAgent
import TestSupport
import Testing

@Suite("Pairs of folders")
struct SyncPairTests {
  private static func files(_ local: String, _ remote: String, _ state: String) -> SyncFiles {
    SyncFiles(state: state, gateway: "http://127.0.0.1:1", local: local, remote: remote)
  }

  @Test(
    "a local folder is in one pair: it overlaps with itself, with what it lies in and with what lies in it, and with no other",
    arguments: [
      ("/srv/ada/docs", "/elsewhere", true), ("/srv/ada/docs/plans", "/plans", true), ("/srv/ada", "/all", true), ("/", "/all", true),
      ("/srv/ada/docs", "/docs", false), ("/srv/ada/docs2", "/docs", false), ("/srv/ada/doc", "/docs", false),
      ("/home/bob", "/docs", false),
    ])
  func overlaps(local: String, remote: String, isRefused: Bool) throws {
    let folder = try TemporaryFolder()
    let first = Self.files("/srv/ada/docs", "/docs", folder.path)
    #expect(try first.lock() != nil)
    let pair = Self.files(local, remote, folder.path)
    #expect(try pair.overlap(of: local, state: folder.path) == nil, "what never ran is no pair")
    try first.write(
      SyncFiles.Status(local: "/srv/ada/docs", remote: "/docs", gateway: "http://127.0.0.1:1", activity: .idle, device: "desk"))
    #expect(try (pair.overlap(of: local, state: folder.path)?.remote == "/docs") == isRefused)
  }

  @Test("what was done is told with the right number", arguments: [(1, "1 folder made"), (2, "2 folders made")])
  func plurals(count: Int, line: String) {
    #expect(SyncText.summary((0..<count).map { SyncOperation.makeRemoteFolder($0) }) == [line])
  }
}
