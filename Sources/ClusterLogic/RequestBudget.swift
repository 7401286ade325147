package import BlockModel

/// So many requests in a span of time, and how many may come at once after a pause.
package struct RequestRate: Sendable, Equatable {
  package let count: Int
  /// The span, in seconds.
  package let seconds: Int
  package let burst: Int

  /// - Parameters:
  ///   - count: 1 to 1,000,000 requests.
  ///   - seconds: in which they may come, 1 to 3600.
  ///   - burst: at least 1.
  package init(count: Int, inSeconds seconds: Int, burst: Int) {
    precondition((1...1_000_000).contains(count) && (1...3600).contains(seconds) && burst >= 1, "a rate lets something through")
    self.count = count
    self.seconds = seconds
    self.burst = burst
  }

  /// - Parameters:
  ///   - perSecond: 1 to 1,000,000.
  ///   - burst: at least 1.
  package init(perSecond: Int, burst: Int) { self.init(count: perSecond, inSeconds: 1, burst: burst) }

  /// Nanoseconds that one request takes up.
  var interval: Int64 { Int64(seconds) * 1_000_000_000 / Int64(count) }
  /// Nanoseconds of requests that may be taken up ahead.
  var span: Int64 { interval * Int64(burst) }
  /// Seconds in which a whole burst comes back.
  package var windowSeconds: Int { Int((span + 999_999_999) / 1_000_000_000) }
}

/// What became of a request, in the terms of the `RateLimit` header fields.
package struct RateVerdict: Sendable, Equatable {
  package var isAllowed: Bool
  /// Requests that are left at this moment.
  package var remaining: Int
  /// Seconds until the whole burst is there again.
  package var resetSeconds: Int
  /// Seconds until a request like this one will be let through; 0 when it was.
  package var retryAfterSeconds: Int

  static func seconds(_ nanoseconds: Int64) -> Int { Int((max(0, nanoseconds) + 999_999_999) / 1_000_000_000) }
}

/// Counts requests against a rate, for each key on its own.
///
/// What must hold: in any time span nobody gets more than the burst and the rate times the span; whoever stays below the rate is never
/// refused; the table has a bound, whatever the keys are.
///
/// The generic cell rate algorithm (ITU-T I.371): one moment for each key, at which its bucket will be full again.
package struct RequestBudget<Key: Hashable & Sendable>: Sendable {
  package let rate: RequestRate
  private let bound: Int
  /// When the bucket is full again; a key that is not there has a full one.
  private var full: [Key: Int64] = [:]
  /// The keys in the order in which they came.
  private var order: [Key] = []
  private var first = 0
  /// Keys that are looked at for one that can go.
  private static var looks: Int { 8 }

  /// - Parameter bound: keys that are remembered at once.
  package init(rate: RequestRate, bound: Int = 65_536) {
    precondition(bound > 0, "a budget remembers somebody")
    self.rate = rate
    self.bound = bound
  }

  package var count: Int { full.count }

  /// - Parameter cost: what the request counts for; one that costs more than the burst counts for the burst.
  package mutating func take(_ key: Key, cost: Int = 1, now: MonotonicTime) -> RateVerdict {
    let price = rate.interval * Int64(min(max(0, cost), rate.burst))
    let known = full[key]
    let start = max(known ?? now.nanoseconds, now.nanoseconds)
    let after = start + price
    let excess = after - (now.nanoseconds + rate.span)
    let isAllowed = excess <= 0
    if isAllowed {
      if known == nil { remember(key, now: now) }
      full[key] = after
    }
    let level = isAllowed ? after : start
    return RateVerdict(
      isAllowed: isAllowed, remaining: max(0, Int((now.nanoseconds + rate.span - level) / rate.interval)),
      resetSeconds: RateVerdict.seconds(level - now.nanoseconds), retryAfterSeconds: isAllowed ? 0 : max(1, RateVerdict.seconds(excess)))
  }

  /// Takes without asking, as far down as the burst: for what turned out to be worth more than it looked.
  package mutating func charge(_ key: Key, cost: Int, now: MonotonicTime) {
    let known = full[key]
    if known == nil { remember(key, now: now) }
    let start = max(known ?? now.nanoseconds, now.nanoseconds)
    full[key] = min(start + rate.interval * Int64(min(max(0, cost), rate.burst)), now.nanoseconds + rate.span)
  }

  /// Makes room for one more key: one whose bucket is full is the same as one that never came. When none of the oldest is, the oldest goes:
  /// to be forgotten takes as many others as the table has places, each of which has used up something of its own.
  private mutating func remember(_ key: Key, now: MonotonicTime) {
    if full.count >= bound {
      var looked = 0
      while looked < RequestBudget.looks, first < order.count, let moment = full[order[first]], moment > now.nanoseconds {
        order.append(order[first])
        first += 1
        looked += 1
      }
      full[order[first]] = nil
      first += 1
      if first > bound {
        order.removeFirst(first)
        first = 0
      }
    }
    order.append(key)
  }
}
