import BlockModel
import ClusterLogic
import Gateway
import HTTPTransport
import Platform
import ServiceAPI
import Synchronization
import TestSupport
import Testing

/// A view that the test changes while the cache follows.
private final class Present: Sendable {
  private let view: Mutex<ClusterView?>
  init(_ view: ClusterView?) { self.view = Mutex(view) }
  func set(_ new: ClusterView?) { view.withLock { $0 = new } }
  func answer() throws(Problem) -> ClusterView {
    guard let view = view.withLock({ $0 }) else { throw Problem(.unavailable, "away") }
    return view
  }
}

private func cache(_ present: Present) -> ClusterViewCache {
  let control = FakeControl()
  control.on(ClusterOperations.GetView.self) { _, _ in try present.answer() }
  return ClusterViewCache(control: control, time: SystemTime(), logger: .none)
}

@Suite("The view of the cluster")
struct ViewCacheTests {
  @Test("a change of the cluster arrives without being asked for")
  func follows() async throws {
    let present = Present(Samples.view(revision: 1))
    let cache = cache(present)
    cache.start()
    defer { cache.stop() }
    try await eventually("the first view") { cache.current?.revision == 1 }
    present.set(Samples.view(revision: 2, layoutVersion: 4))
    try await eventually("the second view") { cache.current?.layout.version == 4 }
  }

  @Test("with the coordinator away the last view stays, and the next is taken when it is back")
  func away() async throws {
    let present = Present(Samples.view(revision: 1))
    let cache = cache(present)
    await cache.refresh()
    present.set(nil)
    await cache.refresh()
    #expect(cache.current?.revision == 1)
    present.set(Samples.view(revision: 3, generation: 2))
    await cache.refresh()
    #expect(cache.current?.revision == 3)
  }

  @Test("a view of an older generation or layout is not taken")
  func neverBack() async throws {
    let present = Present(Samples.view(revision: 1, generation: 5, layoutVersion: 8))
    let cache = cache(present)
    await cache.refresh()
    present.set(Samples.view(revision: 2, generation: 4, layoutVersion: 9))
    await cache.refresh()
    #expect(cache.current?.generation == 5)
    present.set(Samples.view(revision: 3, generation: 5, layoutVersion: 7))
    await cache.refresh()
    #expect(cache.current?.layout.version == 8)
    present.set(Samples.view(revision: 4, generation: 6, layoutVersion: 8))
    await cache.refresh()
    #expect(cache.current?.generation == 6)
  }

  @Test("a stale-layout answer makes the gateway ask for the view before it signs again")
  func staleLayout() async throws {
    let present = Present(Samples.view(revision: 1))
    try await withGateway(view: nil) { gateway in
      gateway.control.answerAll()
      gateway.control.on(ClusterOperations.GetView.self) { _, _ in try present.answer() }
      gateway.control.on(UserOperations.CompleteUpload.self, fails: Problem(.staleLayout, "Moved on."))
      let upload = "/v1/uploads/\(Samples.uploadID.hex)"
      present.set(Samples.view(revision: 2, layoutVersion: 44))
      let refused = try await gateway.send(.post, upload + "/complete", json: "{}")
      #expect(refused.status == 409)
      let reply = try await gateway.send(.post, upload + "/blocks", json: "{\"start\":0,\"blocks\":[]}")
      #expect(try reply.decoded(UploadState.self).missing[0].put[0].url.contains("&lv=44&"))
    }
  }

  @Test("a gateway whose coordinator went away says so within seconds, and is ready again when it is back")
  func coordinatorAway() async throws {
    let present = Present(Samples.view(revision: 1))
    try await withGateway(view: nil) { gateway in
      gateway.control.answerAll()
      gateway.control.on(ClusterOperations.GetView.self) { _, _ in try present.answer() }
      try await eventually("ready") { try await gateway.send(.get, "/readyz").status == 200 }
      present.set(nil)
      try await eventually("not ready") { try await gateway.send(.get, "/readyz").status == 503 }
      present.set(Samples.view(revision: 2))
      try await eventually("ready again") { try await gateway.send(.get, "/readyz").status == 200 }
    }
  }

  @Test("a gateway that has never reached the coordinator says so and is not ready")
  func unready() async throws {
    try await withGateway(view: nil) { gateway in
      gateway.control.answerAll()
      let health = try await gateway.send(.get, "/healthz")
      #expect(health.status == 200)
      #expect(try await gateway.send(.get, "/readyz").status == 503)
      let reply = try await gateway.send(.post, "/v1/uploads", json: "{\"path\":\"/a\"}")
      #expect(reply.status == 503)
      #expect(reply.problem == "unavailable")
    }
  }
}
