/// What did not come true in time.
package struct NotInTime: Error, CustomStringConvertible {
  package var what: String
  package var after: Duration
  package var description: String { "\(what) did not come true within \(after)." }
}

/// Asks again and again until `condition` is true.
///
/// The time is a bound for a broken program, so it is generous: a slow machine does not fail a test.
package func eventually(
  within limit: Duration = .seconds(30), every pause: Duration = .milliseconds(10), _ what: String = "The condition",
  _ condition: () async throws -> Bool
) async throws {
  let clock = ContinuousClock()
  let end = clock.now + limit
  while true {
    if try await condition() { return }
    guard clock.now < end else { throw NotInTime(what: what, after: limit) }
    try await Task.sleep(for: pause)
  }
}
