import BlockModel
import HTTPTransport
import Platform

/// One node against a plain HTTP server on the same disk: PUT and GET of whole blocks, in turn, round by round.
struct NodeAgainstServer: Sendable {
  let load: LoadGenerator
  let targets: ClusterTargets
  /// Base URL of the plain server, with a slash at its end.
  let peer: String
  let rounds: Int
  let count: Int
  let sizeBytes: Int

  func run(label: String, putGoal: Double?, getGoal: Double?) async throws -> [Comparison] {
    var put = Comparison(name: "\(label) PUT", ours: [], theirs: [], goal: putGoal)
    var get = Comparison(name: "\(label) GET", ours: [], theirs: [], goal: getGoal)
    for round in 0...rounds {
      let objects = Objects(count: count, sizeBytes: sizeBytes)
      let ourPuts = try objects.ids.map { try targets.put($0, sizeBytes: sizeBytes) }
      let ourGets = try objects.ids.map { try targets.get($0, sizeBytes: sizeBytes) }
      let theirs = objects.ids.map { peer + $0.hex }
      // Whoever comes first in a pair finds another machine: they take turns.
      var results: [RoundResult] = []
      if round % 2 == 0 {
        results = [await putRound(theirs, objects), await putRound(ourPuts, objects)]
        results += [await getRound(theirs, objects), await getRound(ourGets, objects)]
      } else {
        results = [await putRound(ourPuts, objects), await putRound(theirs, objects)].reversed()
        results += [await getRound(ourGets, objects), await getRound(theirs, objects)].reversed()
      }
      for result in results where !result.failures.isEmpty { throw BenchFailed(reason: result.failures[0]) }
      // The first round warms both up and does not count.
      guard round > 0 else { continue }
      put.theirs.append(results[0])
      put.ours.append(results[1])
      get.theirs.append(results[2])
      get.ours.append(results[3])
    }
    return [put, get]
  }

  private func putRound(_ urls: [String], _ objects: Objects) async -> RoundResult {
    await load.run(count: objects.count) { [load] index in
      try await load.put(urls[index], objects.bodies[index], sizeBytes: objects.sizeBytes)
    }
  }

  /// Every object is read once more than it was written; the first of each round is compared with what was sent.
  private func getRound(_ urls: [String], _ objects: Objects) async -> RoundResult {
    let pool = BufferPool(bufferCapacity: objects.sizeBytes, limit: load.concurrency)
    return await load.run(count: objects.count) { [load] index in
      let buffer = try await pool.acquire(patience: .seconds(60))
      let bytes = try await load.get(urls[index], into: buffer)
      if index % 16 == 0, BlockID(words: SHA256Hasher.hash(buffer.bytes(0..<bytes))) != objects.ids[index] {
        throw BenchFailed(reason: "object \(index) came back different")
      }
      return bytes
    }
  }
}

/// Blocks straight to the nodes of a cluster, all replicas durable or at least the quorum, as the signed URLs ask.
struct ClusterBlocks: Sendable {
  let load: LoadGenerator
  let targets: ClusterTargets

  func put(count: Int, sizeBytes: Int) async throws -> RoundResult {
    try await put(Objects(count: count, sizeBytes: sizeBytes))
  }

  func put(_ objects: Objects) async throws -> RoundResult {
    let urls = try objects.ids.map { try targets.put($0, sizeBytes: objects.sizeBytes) }
    let result = await load.run(count: objects.count) { [load] index in
      try await load.put(urls[index], objects.bodies[index], sizeBytes: objects.sizeBytes)
    }
    if let failure = result.failures.first { throw BenchFailed(reason: failure) }
    return result
  }
}

struct BenchFailed: Error, CustomStringConvertible {
  let reason: String
  var description: String { reason }
}
