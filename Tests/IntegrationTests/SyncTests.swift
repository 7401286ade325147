import BlockModel
import Foundation
import Platform
import TestSupport
import Testing

@Suite("Two sync agents, on real processes", .serialized)
struct SyncTests {
  /// One device: an agent with notes of its own, and a folder whose user never rests.
  private struct Device {
    let name: String
    let folder: String
    let user: User
    let state: String

    func start() throws -> ChildProcess {
      var options = ChildProcess.Options()
      var environment = user.cluster.environment(of: user)
      environment["XDG_STATE_HOME"] = state
      options.environment = environment
      options.output = .file(state + ".log")
      options.error = .file(state + ".error")
      return try ChildProcess.start("\(LocalCluster.bin)/cairn", ["sync", folder, "/shared", "--device", name], options)
    }

    func once() async throws -> ProcessRunner.Outcome {
      var environment = user.cluster.environment(of: user)
      environment["XDG_STATE_HOME"] = state
      return try await ProcessRunner.run(
        "\(LocalCluster.bin)/cairn", ["sync", folder, "/shared", "--device", name, "--once"], environment: environment)
    }
  }

  @Test("two agents with busy users, one of them killed in the middle, come to one tree, and nothing that was written is lost")
  func twoAgents() async throws {
    try await LocalCluster.with(["--nodes", "3"]) { cluster in
      let ada = try await cluster.user("ada")
      var random = Seeds.random()
      let devices = ["desk", "lap"].map {
        Device(name: $0, folder: cluster.folder.path($0), user: ada, state: cluster.folder.path("state-\($0)"))
      }
      for device in devices { try Directory.create(device.folder, mode: 0o755) }
      try Directory.create(cluster.folder.path("scratch"))
      var editor = Editor(folders: devices.map(\.folder), scratch: cluster.folder.path("scratch"))
      var agents = try devices.map { try $0.start() }
      do {
        for step in 0..<120 {
          try editor.act(&random)
          try await Task.sleep(for: .milliseconds(Int.random(in: 0...150, using: &random)))
          if step == 60 {
            agents[1].send(.kill)
            _ = await agents[1].wait()
            agents[1] = try devices[1].start()
          }
        }
        try await eventually(within: .seconds(180), every: .milliseconds(500), "The two folders are the same") {
          try await FileTree.difference(devices[0].folder, devices[1].folder).isEmpty
        }
      } catch {
        for agent in agents { agent.send(.kill) }
        throw error
      }
      for agent in agents {
        agent.send(.terminate)
        _ = await agent.wait()
      }
      // Equal for a moment might be by chance; after one more run of each they still are.
      for device in devices + devices {
        let outcome = try await device.once()
        #expect(outcome.succeeded, "\(outcome.error)")
      }
      #expect(try await FileTree.difference(devices[0].folder, devices[1].folder) == "")
      let there = try Editor.contents(below: devices[0].folder)
      #expect(editor.mustSurvive.subtracting(there).sorted() == [])
      try await ada.cairn("get", "-r", "/shared", cluster.folder.path("copy"))
      #expect(try await FileTree.difference(devices[0].folder, cluster.folder.path("copy")) == "")
    }
  }
}

/// Somebody who writes, moves and deletes in several folders; each content is written once.
private struct Editor {
  let folders: [String]
  /// On the same file system and out of the agents' sight.
  let scratch: String
  private(set) var mustSurvive: Set<String> = []
  private var next = 0
  private static let names = ["a.txt", "b.txt", "sub", "c", "deep"]

  init(folders: [String], scratch: String) { (self.folders, self.scratch) = (folders, scratch) }

  private static func paths(below folder: String) throws -> [String] {
    var found: [String] = []
    for name in try Directory.list(folder) where !name.contains(".cairn-part-") {
      let path = folder + "/" + name
      found.append(path)
      if try Directory.attributes(path)?.kind == .directory { found += try paths(below: path) }
    }
    return found
  }

  private static func content(_ path: String) -> String? {
    guard (try? Directory.attributes(path))??.kind == .file, let bytes = try? AtomicFile.read(path, limit: 1 << 20) else { return nil }
    return String(decoding: bytes, as: UTF8.self)
  }

  static func contents(below folder: String) throws -> Set<String> { Set(try paths(below: folder).compactMap(content)) }

  mutating func act(_ random: inout SeededRandom) throws {
    guard let folder = folders.randomElement(using: &random) else { return }
    // The agent works in the same folder: what was there a moment ago may be gone.
    do {
      let paths = try Self.paths(below: folder)
      let places = [folder] + paths.filter { (try? Directory.attributes($0))??.kind == .directory }
      let target = (places.randomElement(using: &random) ?? folder) + "/" + (Self.names.randomElement(using: &random) ?? "a.txt")
      let path = paths.randomElement(using: &random)
      switch Int.random(in: 0..<10, using: &random) {
      case 0...3: try create(target, &random)
      case 4, 5: if let path { try edit(path, &random) }
      case 6, 7: if let path, !target.hasPrefix(path + "/") { try Directory.renameExclusively(path, to: target) }
      default: if let path { try delete(path) }
      }
    } catch let error as FileError where error.isNotFound || error.alreadyExists || error.isDirectoryNotEmpty {}
  }

  private mutating func write(_ path: String, _ random: inout SeededRandom, options: FileOpenOptions) throws {
    next += 1
    let content = "content \(next) " + String(repeating: "x", count: Int.random(in: 0...20_000, using: &random))
    let file = try File(path, options, mode: 0o644)
    try Array(content.utf8).withUnsafeBytes { try file.pwrite($0, at: 0) }
    mustSurvive.insert(content)
  }

  private mutating func create(_ path: String, _ random: inout SeededRandom) throws {
    guard try Directory.attributes(path) == nil else { return }
    if path.hasSuffix(".txt") { return try write(path, &random, options: [.write, .create, .exclusive]) }
    try Directory.create(path, mode: 0o755)
  }

  /// As editors save: a new file in place of the old one. What was replaced is read from what was really replaced.
  private mutating func edit(_ path: String, _ random: inout SeededRandom) throws {
    guard try Directory.attributes(path)?.kind == .file else { return }
    let fresh = "\(scratch)/fresh"
    try write(fresh, &random, options: [.write, .create, .exclusive])
    defer { try? Directory.removeTree(fresh) }
    do { guard try Directory.exchange(fresh, path) else { return } } catch {
      // The agent took it away first.
      if let lost = Self.content(fresh) { mustSurvive.remove(lost) }
      throw error
    }
    // The agent may have put a folder there in between; its files are as good as deleted.
    if try Directory.attributes(fresh)?.kind == .directory { mustSurvive.subtract(try Self.contents(below: fresh)) }
    if let old = Self.content(fresh) { mustSurvive.remove(old) }
  }

  private mutating func delete(_ path: String) throws {
    let gone = "\(scratch)/gone"
    try Directory.renameExclusively(path, to: gone)
    let contents = try Directory.attributes(gone)?.kind == .directory ? try Self.contents(below: gone) : Set([Self.content(gone) ?? ""])
    mustSurvive.subtract(contents)
    try Directory.removeTree(gone)
  }
}
