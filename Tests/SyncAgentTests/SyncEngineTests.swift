import BlockModel
import ClusterLogic
import Platform
import SyncAgent
import Synchronization
import TestSupport
import Testing

@Suite("One agent")
struct SyncEngineTests {
  /// A device whose user writes what a test says.
  private final class Bench {
    let cluster: SimulatedCluster
    let machine: SimulatedMachine
    private var device: SyncSimulation.Device

    init(_ name: String, cluster: SimulatedCluster = SimulatedCluster(), time: ManualTime = ManualTime()) {
      self.cluster = cluster
      machine = SimulatedMachine(seed: 1, time: time, people: People())
      device = SyncSimulation.Device(name: name, machine: machine, cluster: cluster)
    }

    func change(_ body: (inout SimulatedDisk, Int64) -> Void) {
      let now = machine.time.wall().microseconds * 1000
      machine.state.withLock { body(&$0.disk, now) }
    }

    var paths: [String] { machine.state.withLock { $0.disk.paths } }

    func round() async throws { try await device.round() }

    /// Rounds until nothing is left to do.
    func settle() async throws {
      for _ in 0..<100 {
        machine.time.advance(by: .seconds(3))
        if try await device.round() { return }
      }
      throw SyncError(.unavailable, "It does not come to rest.")
    }
  }

  /// A bench with as many files in step.
  private func bench(files: Int) async throws -> Bench {
    let bench = Bench("one")
    bench.change { disk, now in for number in 0..<files { disk.write("\(number)", "text \(number)", now: now, anew: true) } }
    try await bench.settle()
    #expect(bench.cluster.summary().count == files)
    return bench
  }

  @Test("when most files are gone at once it stops and deletes nothing in the cluster; a few go as they should")
  func breaker() async throws {
    let few = try await bench(files: 60)
    few.change { disk, _ in disk.paths.forEach { disk.removeTree($0) } }
    try await few.settle()
    #expect(few.cluster.summary().isEmpty)
    let many = try await bench(files: 150)
    many.change { disk, _ in disk.paths.dropFirst(10).forEach { disk.removeTree($0) } }
    await #expect(throws: SyncError.self) { try await many.settle() }
    #expect(many.cluster.summary().count == 150)
  }

  @Test("when another disk is mounted, or none, it stops", arguments: [nil, "other"])
  func rootIdentity(identity: String?) async throws {
    let bench = try await bench(files: 3)
    bench.machine.state.withLock { $0.rootIdentity = identity }
    bench.change { disk, _ in disk.paths.forEach { disk.removeTree($0) } }
    await #expect(throws: SyncError.self) { try await bench.settle() }
    #expect(bench.cluster.summary().count == 3)
  }

  @Test("what .cairnignore names stays where it is, on both sides")
  func ignores() async throws {
    let one = Bench("one")
    one.change { disk, now in
      disk.write(".cairnignore", "*.tmp\n/build/\n", now: now, anew: true)
      disk.write("a.tmp", "mine", now: now, anew: true)
      disk.makeFolder("build", now: now)
      disk.write("build/x", "made", now: now, anew: true)
      disk.write("b", "text", now: now, anew: true)
    }
    try await one.settle()
    let two = Bench("two", cluster: one.cluster, time: one.machine.time)
    two.change { disk, now in disk.write("c.tmp", "also mine", now: now, anew: true) }
    try await two.settle()
    #expect(two.paths == [".cairnignore", "b", "c.tmp"])
    // What was synced and is left out from now on is deleted nowhere.
    one.change { disk, now in disk.write(".cairnignore", "b\n*.tmp\n/build/\n", now: now, anew: false) }
    try await one.settle()
    try await two.settle()
    one.change { disk, _ in disk.removeTree("b") }
    try await one.settle()
    try await two.settle()
    #expect(two.paths == [".cairnignore", "b", "c.tmp"])
  }

  @Test(
    "a file is read once nobody has written to it for a while, a longer one as long as a program has it open", arguments: [true, false])
  func stability(isOpen: Bool) async throws {
    let bench = try await bench(files: 1)
    let time = bench.machine.time
    if isOpen { bench.change { disk, _ in disk.writing = ["0"] } }
    let pause: Duration = isOpen ? .milliseconds(1900) : .milliseconds(200)
    for text in ["a", "ab", "abc"] {
      bench.change { disk, now in disk.write("0", text, now: now, anew: false) }
      // Less than the quiet period, so nothing travels.
      let before = bench.cluster.summary()
      time.advance(by: pause)
      try await bench.round()
      #expect(bench.cluster.summary() == before)
    }
    time.advance(by: .milliseconds(100))
    try await bench.round()
    #expect(bench.cluster.summary().first?.contains("abc") == true)
  }

  @Test("an upload revises the file that it was made from, and no other that came to its path with the same version")
  func anotherFileAtThePath() async throws {
    let bench = try await bench(files: 1)
    bench.change { disk, now in disk.write("0", "edited here", now: now, anew: false) }
    bench.cluster.duringUpload { state throws(SyncError) in
      let path = SimulatedCluster.path + "/0"
      guard let id = state.tree.child(try state.place(path)) else { throw SyncError(.stale, "It is gone.") }
      let place = try state.place(SimulatedCluster.path + "/moved away")
      state.tree.update(id) { $0.place = place }
      state.record(.moved, id, oldPath: path)
      _ = try state.make(path) { SyncNode($0, .file, content: "another file", modified: 5, version: 1, size: 12) }
    }
    try await bench.settle()
    #expect(bench.cluster.summary().map { $0.split(separator: " file ")[0] } == ["0", "moved away"])
    #expect(bench.cluster.summary()[0].contains("another file"))
    #expect(bench.cluster.summary()[1].contains("edited here"))
    #expect(bench.paths == ["0", "moved away"])
  }

  @Test("a dry run tells all that a sync would do, also below folders that are not there yet, and does none of it")
  func dryRun() async throws {
    let one = Bench("one")
    one.change { disk, now in
      for folder in ["a", "a/b"] { disk.makeFolder(folder, now: now) }
      for path in ["a/x", "a/b/y", "z"] { disk.write(path, "text \(path)", now: now, anew: true) }
    }
    one.machine.time.advance(by: .seconds(3))
    func preview(_ bench: Bench, _ name: String, _ remotePath: String = SimulatedCluster.path) async throws -> [String] {
      var options = SyncOptions(device: name)
      options.isDryRun = true
      let engine = try await SyncEngine.open(
        folder: SimulatedFolder(machine: bench.machine), remote: SimulatedRemote(cluster: bench.cluster, machine: bench.machine),
        remotePath: remotePath, state: SimulatedState(machine: bench.machine), time: bench.machine.time, options: options,
        executor: SyncSimulation.executor)
      return try await engine.round().plannedLines.sorted()
    }
    // A remote folder that is not there yet is like an empty one, and stays away.
    for remotePath in ["/not there", SimulatedCluster.path, "/not there"] {
      #expect(
        try await preview(one, "one", remotePath) == ["make there a/", "make there a/b/", "upload a/b/y", "upload a/x", "upload z"])
    }
    #expect(one.cluster.summary().isEmpty)
    try await one.settle()
    let two = Bench("two", cluster: one.cluster, time: one.machine.time)
    #expect(
      try await preview(two, "two") == ["download a/b/y", "download a/x", "download z", "make here a/", "make here a/b/"])
    #expect(two.paths.isEmpty)
  }
}
