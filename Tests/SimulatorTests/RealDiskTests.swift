import Foundation
import Platform
import TestSupport
import Testing

/// The same promises on the machine's own disks: a process that writes to a store is stopped, and what it had been told is looked for.
@Suite(.serialized) struct RealDiskTests {
  /// Every call that changes what is on a disk.
  private static let calls = "pwrite64,pwritev,pwritev2,fdatasync,fsync,fallocate,rename,renameat,renameat2,ftruncate,unlink,unlinkat,rmdir"

  /// Starts the writer on `folder`, its words going to `output`.
  private static func start(_ folder: String, count: Int, output: String, under tracer: [String] = []) throws -> ChildProcess {
    var options = ChildProcess.Options()
    options.environment = RealDisk.environment
    options.output = .file(output)
    options.error = .null
    let command = tracer + [RealDisk.writer, folder, String(count)]
    return try ChildProcess.start(command[0], Array(command.dropFirst()), options)
  }

  @Test(
    "a process killed before any of its calls to the disk has lost nothing that it acknowledged",
    .enabled(if: RealDisk.has("strace"), "strace is not installed"))
  func killedAtEveryCall() async throws {
    let count = RealDisk.quick ? 6 : 16
    let folder = try TemporaryFolder()
    let trace = folder.path("trace")
    let whole = try Self.start(
      folder.path("whole"), count: count, output: folder.path("whole.out"),
      under: ["strace", "-f", "-o", trace, "-e", "trace=" + Self.calls])
    #expect(await whole.wait() == .exited(status: 0))
    let lines = try String(contentsOfFile: trace, encoding: .utf8).split(separator: "\n").filter {
      $0.contains("(") && !$0.contains("resumed")
    }
    let threads = Set(lines.compactMap { $0.split(separator: " ").first })
    // The injection counts each call by itself in each thread.
    #expect(threads.count == 1, "calls come from \(threads.count) threads")
    let names = lines.map { line in String(line.split(separator: " ")[1].prefix { $0 != "(" }) }
    // The short run comes to no end of a segment.
    let kinds: Set<String> =
      RealDisk.quick
      ? ["pwritev", "fdatasync", "fallocate"] : ["pwrite64", "pwritev", "fdatasync", "fsync", "fallocate", "rename", "ftruncate"]
    #expect(lines.count > 20 && kinds.isSubset(of: names), "\(lines.count) calls, \(Set(names))")
    var counts: [String: Int] = [:]
    var acknowledged: Set<Int> = []
    var killed = 0
    for (call, name) in names.enumerated() {
      counts[name, default: 0] += 1
      let (disk, output) = (folder.path("disk-\(call)"), folder.path("out-\(call)"))
      let writer = try Self.start(
        disk, count: count, output: output,
        under: ["strace", "-f", "-o", "/dev/null", "-e", "trace=" + name, "-e", "inject=\(name):signal=KILL:when=\(counts[name] ?? 0)"])
      if await writer.wait() != .exited(status: 0) { killed += 1 }
      let journal = try StoreJournal(path: output)
      acknowledged.insert(journal.acknowledgements)
      let faults = try await journal.faults(in: disk)
      #expect(faults.isEmpty, "killed before call \(call + 1) of \(lines.count), \(lines[call]): \(faults)")
      try Directory.removeTree(disk)
    }
    print("killed before each of \(lines.count) calls; \(killed) times in the middle, at \(acknowledged.count) different points")
    // How batches form depends on the moment, so the last calls may not come up again.
    #expect(killed >= lines.count * 3 / 4 && acknowledged.count > 5)
  }

  @Test(
    "a file system whose power fails has lost nothing that was acknowledged",
    .enabled(if: RealDisk.canMount, "needs root, loop devices and mkfs.ext4"))
  func powerLoss() async throws {
    var (rounds, acknowledgements) = (0, 0)
    try await MountedImage.with(megabytes: 96) { image in
      for round in 0..<(RealDisk.quick ? 3 : 12) {
        let (disk, output) = (image.path + "/disk-\(round)", image.folder.path("out-\(round)"))
        let writer = try Self.start(disk, count: 400, output: output)
        try await eventually("the writer has written") { try StoreJournal(path: output).acknowledgements > round * 9 }
        // A sync that is under way while the file system is shut down may answer success though its data is gone, which is this way of
        // failing and not the store's (a program of one loop of pwrite and fdatasync sees it in one of twenty; what was answered before the
        // shutdown began was there each time). A power failure would let nobody hear such an answer.
        let saidBefore = Int(try Directory.attributes(output)?.size ?? 0)
        try image.losePower()
        _ = await writer.wait()
        let journal = try StoreJournal(path: output, certainBytes: saidBefore)
        try await image.unmount()
        try await image.mount()
        let faults = try await journal.faults(in: disk)
        #expect(faults.isEmpty, "round \(round): \(faults)")
        try Directory.removeTree(disk)
        rounds += 1
        acknowledgements += journal.acknowledgements
      }
    }
    print("power failed \(rounds) times after \(acknowledgements) acknowledgements in all")
    #expect(acknowledgements > rounds * 9)
  }

  @Test(
    "a device that fails to write in the background fences the store, and nothing acknowledged is lost",
    .enabled(if: RealDisk.canMount, "needs root, loop devices and mkfs.ext4"))
  func writebackError() async throws {
    // The device says that it has 256 MiB; what lies under it has room for a few.
    try await MountedImage.with(megabytes: 256, hostMegabytes: 22) { image in
      let (disk, output) = (image.path + "/disk", image.folder.path("out"))
      let writer = try Self.start(disk, count: 4000, output: output)
      #expect(await writer.wait() == .exited(status: 3), "the writer is told of the failure")
      let journal = try StoreJournal(path: output)
      #expect(journal.acknowledgements > 20)
      let text = String(decoding: try AtomicFile.read(output, limit: 1 << 20) ?? [], as: UTF8.self)
      #expect(text.contains("nothing more is acknowledged"), "\(text.suffix(300))")
      try await image.unmount()
      try await image.growHost(toMegabytes: 300)
      try await image.mount()
      let faults = try await journal.faults(in: disk)
      #expect(faults.isEmpty, "\(faults)")
      print("writes failed after \(journal.acknowledgements) acknowledgements")
    }
  }
}
