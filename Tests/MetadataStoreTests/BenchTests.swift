import BlockModel
import MetadataStore
import ServiceAPI
import TestSupport
import Testing

/// Rates of the store alone; run with `CAIRN_BENCH=1`, in a release build, on a folder of the disk that matters (`CAIRN_TEST_FOLDER`).
@Suite("Rates", .enabled(if: Environment.value("CAIRN_BENCH") != nil), .serialized)
struct BenchTests {
  private static let callers = 32

  @Test("one-block files by 32 callers, and in batches", arguments: Engine.allCases)
  func commits(engine: Engine) async throws {
    let fixture = try await Fixture(engine)
    print("engine: \(engine)")
    let ada = try await fixture.user()
    let clock = ContinuousClock()
    let single = try await clock.measure {
      try await withThrowingTaskGroup(of: Void.self) { group in
        for caller in 0..<Self.callers {
          group.addTask {
            for number in 0..<150 {
              try await fixture.put("/s\(caller)/\(number)", [Fixture.block(UInt64(caller * 1000 + number))], as: ada)
            }
          }
        }
        try await group.waitForAll()
      }
    }
    print("opened and committed one by one: \(Int(Double(Self.callers * 150) / Self.seconds(single))) files/s")
    let batches = try await clock.measure {
      try await withThrowingTaskGroup(of: Void.self) { group in
        for caller in 0..<4 {
          group.addTask { for batch in 0..<10 { try await Self.putBatch(fixture, ada, caller, batch) } }
        }
        try await group.waitForAll()
      }
    }
    print("opened and committed in batches of 100: \(Int(4000 / Self.seconds(batches))) files/s")
    let reads = try await clock.measure {
      try await withThrowingTaskGroup(of: Void.self) { group in
        for caller in 0..<Self.callers {
          group.addTask {
            for number in 0..<150 {
              _ = try await fixture.store.downloadPlan(
                .path("/s\(caller)/\(number)"), version: nil, cursor: nil, limit: 1000, for: ada)
            }
          }
        }
        try await group.waitForAll()
      }
    }
    print("download plans: \(Int(Double(Self.callers * 150) / Self.seconds(reads)))/s")
  }

  @Test("listing a folder of 100,000 entries", arguments: Engine.allCases)
  func listing(engine: Engine) async throws {
    let fixture = try await Fixture(engine)
    print("engine: \(engine)")
    let ada = try await fixture.user()
    for batch in 0..<400 {
      let requests = (0..<250).map { UploadRequest(path: "/big/\(batch * 250 + $0)", blocks: [], parents: true) }
      let states = try await fixture.store.openUploads(requests, for: ada, once: nil).compactMap(\.value)
      _ = try await fixture.store.completeUploads(states.map { Completion(upload: $0.uploadID) }, for: ada)
    }
    let time = try await ContinuousClock().measure {
      var cursor: String?
      repeat {
        cursor = try await fixture.store.list(.path("/big"), recursive: false, limit: 1000, cursor: cursor, for: ada).next
      } while cursor != nil
    }
    print("listed: \(Int(100_000 / Self.seconds(time))) entries/s")
  }

  private static func putBatch(_ fixture: Fixture, _ ada: Principal, _ caller: Int, _ batch: Int) async throws {
    let requests = (0..<100).map {
      UploadRequest(
        path: "/b\(caller)/\(batch)-\($0)", blocks: [Fixture.block(UInt64(caller * 100_000 + batch * 1000 + $0))], parents: true)
    }
    let states = try await fixture.store.openUploads(requests, for: ada, once: nil).compactMap(\.value)
    let completions = states.map { state in
      Completion(
        upload: state.uploadID,
        receipts: state.missing.flatMap { Fixture.receipts(state.uploadID, BlockRef(id: $0.id, size: $0.size)) })
    }
    #expect(try await fixture.store.completeUploads(completions, for: ada).allSatisfy { $0.value != nil })
  }

  private static func seconds(_ duration: Duration) -> Double { duration.inSeconds }
}
