import BlockModel
import ClusterLogic
import Gateway
import HTTPTransport
import Platform
import ServiceAPI
import Synchronization
import TestSupport
import Testing

/// Work that goes on when the test says so.
private final class Doors: Sendable {
  private struct State {
    var order: [String] = []
    var closed: [CheckedContinuation<Void, Never>] = []
  }
  private let state = Mutex(State())

  /// Who was let in, in order.
  var order: [String] { state.withLock { $0.order } }

  func wait(_ name: String) async {
    await withCheckedContinuation { continuation in
      state.withLock { state in
        state.order.append(name)
        state.closed.append(continuation)
      }
    }
  }

  func openOne() async throws {
    try await eventually { self.state.withLock { !$0.closed.isEmpty } }
    state.withLock { $0.closed.removeFirst() }.resume()
  }
}

@Suite("Fair turns")
struct FairnessTests {
  @Test("the next one comes from each key in turn, however many one of them has waiting")
  func turns() {
    var queue = FairQueue<String, Int>(bound: 100, laneBound: 100, largestCost: 1)
    var taken = (0..<50).map { queue.append($0, of: "flood") }
    taken += [(100, "a"), (101, "b"), (102, "a")].map { queue.append($0.0, of: $0.1) }
    #expect(taken == Array(repeating: true, count: 53))
    let first = (0..<6).map { _ in queue.next() }
    #expect(first == [0, 100, 101, 1, 102, 2])
    let rest = (0..<48).map { _ in queue.next() }
    #expect(rest == Array(3..<50) + [nil])
    #expect(queue.count == 0)
  }

  @Test("each key's part and the whole line have a bound, and what was refused is not in it")
  func bounds() {
    var queue = FairQueue<Int, Int>(bound: 5, laneBound: 3)
    let ofOne = (0..<4).map { queue.append($0, of: 1) }
    #expect(ofOne == [true, true, true, false])
    let ofTwo = (4..<7).map { queue.append($0, of: 2) }
    #expect(ofTwo == [true, true, false])
    let all = (0..<6).compactMap { _ in queue.next() }.sorted()
    #expect(all == [0, 1, 2, 4, 5])
  }

  @Test("those who always wait get equal parts by cost, and each key's elements stay in order, whatever comes")
  func shares() {
    var random = Seeds.random()
    for _ in 0..<20 {
      var queue = FairQueue<Int, (key: Int, number: Int, cost: Int)>(bound: 100_000, laneBound: 10_000, largestCost: 4)
      var numbers = Array(repeating: 0, count: 6)
      func add(_ key: Int) {
        let cost = key == 0 ? 4 : Int.random(in: 1...4, using: &random)
        let isTaken = queue.append((key, numbers[key], cost), of: key, cost: cost)
        #expect(isTaken)
        numbers[key] += 1
      }
      for key in numbers.indices { for _ in 0..<(20 * (key + 1)) { add(key) } }
      var (served, next) = (Array(repeating: 0, count: 6), Array(repeating: 0, count: 6))
      for _ in 0..<5000 {
        guard let element = queue.next() else { break }
        served[element.key] += element.cost
        #expect(element.number == next[element.key])
        next[element.key] += 1
        add(element.key)
      }
      let (least, most) = (served.min() ?? 0, served.max() ?? 0)
      #expect(most - least <= 2 * queue.largestCost, "\(served)")
    }
  }

  @Test("one who asks once gets in after those that run and one more, while another has hundreds waiting")
  func gate() async throws {
    let gate = FairGate<String>(limit: 2, waiting: 1000, waitingOfOne: 500)
    let doors = Doors()
    let flood = (0..<300).map { _ in Task { try await gate.run("flood") { await doors.wait("flood") } } }
    try await eventually { gate.waiting == 298 }
    let one = Task { try await gate.run("one") { await doors.wait("one") } }
    try await eventually { gate.waiting == 299 }
    for _ in 0..<3 { try await doors.openOne() }
    try await eventually { doors.order.contains("one") }
    #expect((doors.order.firstIndex(of: "one") ?? 99) <= 5)
    for _ in 0..<298 { try await doors.openOne() }
    try await one.value
    for task in flood { try await task.value }
    #expect(gate.waiting == 0)
    #expect(doors.order.count == 301)
  }

  @Test("who is refused was not let in, and the places of work that throws are free again")
  func refusals() async throws {
    struct Broken: Error {}
    let gate = FairGate<Int>(limit: 1, waiting: 1, waitingOfOne: 1)
    for _ in 0..<10 { await #expect(throws: Broken.self) { try await gate.run(1) { throw Broken() } } }
    let doors = Doors()
    let first = Task { try await gate.run(1) { await doors.wait("first") } }
    try await eventually { doors.order == ["first"] }
    let second = Task { try await gate.run(2) { 2 } }
    try await eventually { gate.waiting == 1 }
    await #expect(throws: FairGate<Int>.Refused.self) { try await gate.run(3) { 3 } }
    try await doors.openOne()
    try await first.value
    #expect(try await second.value == 2)
    #expect(try await gate.run(4) { 4 } == 4)
  }
}

@Suite("Limits at the gateway", .serialized)
struct GatewayLimitTests {
  @Test("a token that asks too often gets 429 with the header fields that say when to go on; others and balancers go on")
  func tokens() async throws {
    let time = ManualTime()
    try await withWorld(time: time, { $0.tokenRate = RequestRate(perSecond: 1, burst: 3) }) { world in
      func me(_ caller: Caller) async throws -> HTTPClientResponse { try await world.response(.init(.get, "/v1/me"), as: caller) }
      for left in [2, 1, 0] {
        let answer = try await me(.owner)
        #expect(answer.status == 200)
        #expect(answer.headers["RateLimit-Policy"] == "\"token\";q=3;w=3")
        #expect(answer.headers["RateLimit"]?.hasPrefix("\"token\";r=\(left);t=") == true)
      }
      let refused = try await me(.owner)
      #expect(refused.status == 429)
      #expect(refused.headers["Retry-After"] == "1")
      #expect(refused.headers["RateLimit"] == "\"token\";r=0;t=3")
      #expect(refused.headers["Content-Type"] == "application/problem+json")
      #expect(try await me(.reader).status == 200, "another's token")
      for _ in 0..<10 { #expect(try await world.send(.init(.get, "/healthz"), as: .owner).status == 200) }
      time.advance(by: .seconds(1))
      #expect(try await me(.owner).status == 200)
      #expect(try await me(.owner).status == 429)
    }
  }

  @Test("tokens that are nobody's cost their address more than real ones, so trying tokens ends soon")
  func madeUpTokens() async throws {
    let time = ManualTime()
    try await withWorld(time: time, { $0.addressRate = RequestRate(perSecond: 1, burst: 100) }) { world in
      var statuses: [Int] = []
      for number in 0..<12 {
        let token = "ct_" + String(repeating: "\(number % 10)", count: 43)
        statuses.append(try await world.send(.init(.get, "/v1/me", token: token), as: .stranger).status)
      }
      #expect(statuses == Array(repeating: 401, count: 10) + [429, 429])
    }
  }

  @Test("log-ins of one address have a rate of their own, which leaves those who are logged in alone")
  func attempts() async throws {
    let time = ManualTime()
    try await withWorld(time: time, { $0.attemptRate = RequestRate(perSecond: 1, burst: 2) }) { world in
      let body = #"{"name":"third","password":"wrong wrong"}"#
      func attempt() async throws -> Int { try await world.send(.init(.post, "/v1/sessions", json: body), as: .anonymous).status }
      var statuses: [Int] = []
      for _ in 0..<3 { statuses.append(try await attempt()) }
      #expect(statuses == [401, 401, 429])
      let other = try await world.send(.init(.get, "/v1/me"), as: .owner).status
      #expect(other == 200)
      time.advance(by: .seconds(1))
      let later = try await attempt()
      #expect(later == 401)
    }
  }

  @Test("one password tried on many names from one address is refused after a hundred, for names that were not tried, too")
  func spraying() async throws {
    try await withWorld { world in
      func attempt(_ number: Int) async -> Problem.Kind? {
        do {
          _ = try await world.perform(UserOperations.LogIn(name: "nobody-\(number)", password: "password", device: "d"))
          return nil
        } catch { return (error as? Problem)?.kind }
      }
      for batch in 0..<25 {
        await withTaskGroup(of: Problem.Kind?.self) { group in
          for item in 0..<4 { group.addTask { await attempt(batch * 4 + item) } }
          for await kind in group { #expect(kind == .unauthenticated) }
        }
      }
      #expect(await attempt(1000) == .tooManyRequests)
    }
  }
}
