internal import BlockModel
internal import MetadataStore
internal import Platform
internal import Synchronization

/// Bearer tokens of users' devices: `ct_` and 43 characters of base 64. Only their SHA-256 is kept anywhere.
enum UserToken {
  static let prefix = "ct_"
  static let lifetime = Duration.seconds(90 * 24 * 3600)

  static func make() -> String { prefix + Base64URL.encode(SecureRandom.bytes(32)) }

  /// The hash that a token is known by; nil for a text that can be none.
  static func hash(_ token: String) -> [UInt8]? {
    guard token.utf8.count == 46, token.hasPrefix(prefix) else { return nil }
    return SHA256Hasher.hash(Array(token.utf8))
  }
}

/// Remembers for a short while whom tokens stand for, so that most requests need no query for it.
///
/// What must hold: a revoked token opens nothing from the moment that its revocation is answered. Who revokes bumps the generation, and
/// what
/// was read from the database before that is not put in.
final class UserTokenCache: Sendable {
  static let bound = 16_384
  /// How long a principal is believed. With several coordinators this is how long another one's revocation may take to be seen here.
  static let freshness = Duration.seconds(5)

  private struct State {
    var known: [[UInt8]: (principal: Principal, until: MonotonicTime)] = [:]
    var generation: UInt64 = 0
  }

  private let state = Mutex(State())

  enum Lookup {
    case known(Principal)
    /// To be handed back with what the database says.
    case unknown(generation: UInt64)
  }

  func find(_ hash: [UInt8], at now: MonotonicTime) -> Lookup {
    state.withLock { state in
      if let entry = state.known[hash], entry.until > now { return .known(entry.principal) }
      return .unknown(generation: state.generation)
    }
  }

  func remember(_ principal: Principal, _ hash: [UInt8], generation: UInt64, at now: MonotonicTime) {
    state.withLock { state in
      guard state.generation == generation else { return }
      if state.known.count >= UserTokenCache.bound { state.known.removeAll() }
      state.known[hash] = (principal, now + UserTokenCache.freshness)
    }
  }

  /// Forgets everybody: revoking is rare, and asking again is cheap.
  func forgetAll() {
    state.withLock { state in
      state.known.removeAll()
      state.generation += 1
    }
  }
}

/// Counts failed log-ins per name and address, so that passwords cannot be tried by the thousand, and per address, so that one password
/// cannot be tried on a thousand names.
final class UserLoginLimiter: Sendable {
  static let failures = 10
  static let failuresOfAddress = 100
  static let window = Duration.seconds(600)
  static let bound = 16_384

  private struct Record {
    var failures: Int
    var until: MonotonicTime
  }

  private let records = Mutex<[String: Record]>([:])

  /// Seconds until another attempt may be made; nil for now.
  func wait(_ name: String, _ address: String, at now: MonotonicTime) -> Int? {
    records.withLock { records in
      for (key, limit) in UserLoginLimiter.limits(name, address) {
        guard let record = records[key], record.until > now, record.failures >= limit else { continue }
        return max(1, Int((record.until - now).inSeconds.rounded(.up)))
      }
      return nil
    }
  }

  func noteFailure(_ name: String, _ address: String, at now: MonotonicTime) {
    records.withLock { records in
      if records.count >= UserLoginLimiter.bound { records = records.filter { $0.value.until > now } }
      // All of them still count: an attack from everywhere at once. The oldest accounts of it are the price of a bound.
      if records.count >= UserLoginLimiter.bound { records.removeAll() }
      for (key, _) in UserLoginLimiter.limits(name, address) {
        var record = records[key] ?? Record(failures: 0, until: now)
        if record.until <= now { record = Record(failures: 0, until: now + UserLoginLimiter.window) }
        record.failures += 1
        records[key] = record
      }
    }
  }

  func noteSuccess(_ name: String, _ address: String) {
    records.withLock { $0[UserLoginLimiter.limits(name, address)[0].key] = nil }
  }

  /// No name has a line break in it.
  private static func limits(_ name: String, _ address: String) -> [(key: String, failures: Int)] {
    [("\(name.lowercased())\n\(address)", failures), ("\n\(address)", failuresOfAddress)]
  }
}
