internal import BlockModel
internal import Platform

/// What is done to nodes' disks.
extension Storyteller {
  mutating func disk(_ fault: Scenario.DiskFault, _ name: String) async throws {
    guard let node = try untouched("node").randomElement(using: &random) else { return }
    let path = cluster.disk(of: node)
    switch fault {
    case .lose:
      tellUser("take \(node)'s disk away")
      done.append((name, .withoutDisk(node), begin("lose disk", node)))
      if scenario.diskBytes == nil { try Directory.removeTree(path) } else { try await cluster.emptyFolder(path) }
    case .fill:
      tellUser("fill \(node)'s disk")
      let ballast = path + "/ballast"
      done.append((name, .filled(node: node, ballast: ballast), begin("fill disk", node)))
      try fill(ballast)
    case .fail:
      tellUser("let \(node)'s syncs fail")
      let number = begin("fail disk", node)
      let tracer = try cluster.trace(node, ["fdatasync", "fsync"], "error=EIO")
      done.append((name, .traced(node, tracer, startsAnew: true), number))
    case .slow(let milliseconds):
      tellUser("let \(node)'s syncs take \(milliseconds) ms longer")
      let number = begin("slow disk", node)
      let tracer = try cluster.trace(node, ["fdatasync", "fsync"], "delay_exit=\(milliseconds * 1000)")
      done.append((name, .traced(node, tracer, startsAnew: false), number))
    case .power:
      tellUser("cut \(node)'s power")
      done.append((name, .down([node]), begin("power off", node)))
      try await cluster.command("kill", [node])
      try await cluster.losePower(path)
    }
  }

  mutating func undoOnDisk(_ what: Done) async throws {
    switch what {
    case .withoutDisk(let node):
      tellUser("give \(node) a new disk")
      try await cluster.command("kill", [node, "--signal", "SIGTERM"])
      try Directory.create(cluster.disk(of: node))
      try await cluster.replaceDisk(cluster.disk(of: node), of: node)
      try await start(node)
    case .filled(let node, let ballast):
      tellUser("make room on \(node)'s disk")
      try Directory.remove(ballast)
    case .traced(let target, let tracer, let startsAnew):
      tellUser("let \(target) be")
      tracer.send(.terminate)
      _ = await tracer.wait()
      if startsAnew, try cluster.isRunning(target) { try await cluster.command("kill", [target, "--signal", "SIGTERM"]) }
      try await start(target)
    case .clock(let target): try cluster.turnClock(of: target, bySeconds: 0)
    case .down, .paused, .links, .database: break
    }
  }

  /// Takes all the space there is, to the last page.
  private func fill(_ path: String) throws {
    let file = try File(path, [.write, .create])
    var offset: Int64 = 0
    for piece in [Int64(64 << 20), 1 << 20, 4096] {
      while (try? file.allocate(offset: offset, length: piece)) != nil { offset += piece }
    }
  }

  mutating func rot(_ places: Int) throws {
    guard let node = try untouched("node").randomElement(using: &random) else { return }
    let folder = cluster.disk(of: node) + "/segments"
    let names = try Directory.list(folder).sorted()
    guard !names.isEmpty else { return }
    tellUser("rot \(places) places of \(node)")
    end(begin("rot", node))
    for _ in 0..<places {
      let name = names[Int(random.next() % UInt64(names.count))]
      let file = try File(folder + "/" + name, [.read, .write])
      // Behind the segment's own header, in what was written so far.
      let written = max(8192, min(try file.size(), 64 << 20))
      let place = 4096 + Int64(random.next() % UInt64(written - 4096))
      var byte: [UInt8] = [0]
      guard try byte.withUnsafeMutableBytes({ try file.pread(into: $0, at: place) }) == 1, byte[0] != 0 else { continue }
      byte[0] ^= 1 << UInt8(random.next() % 8)
      try byte.withUnsafeBytes { try file.pwrite($0, at: place) }
    }
  }
}
