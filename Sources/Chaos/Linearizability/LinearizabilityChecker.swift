/// Looks for an order of a folder's calls in which each has its effect at one moment between being sent and being answered, and every
/// answer is right: Wing and Gong's search ("Testing and verifying concurrent objects", 1993) with Lowe's memory of what was tried before
/// ("Testing for linearizability", 2017).
///
/// What must hold: a call whose answer is unknown may take effect at any moment after it was sent, or never; all others exactly once, in
/// their time. A search that was given up says so, and is not taken for a success.
package struct LinearizabilityChecker: Sendable {
  package enum Verdict: Sendable, Equatable {
    case linearizable
    /// No order exists. `stuck` is the call that the longest attempt could not place.
    case impossible(stuck: RecordedCall)
    /// More steps than were allowed.
    case givenUp
  }

  private struct Tried: Hashable {
    var placed: [UInt64]
    var state: FolderModel
  }

  /// A call's beginning or its end, in a list from which placed calls are taken out, and put back in the opposite order.
  private struct Event {
    var call: Int
    var isEnd: Bool
    var previous: Int
    var next: Int
  }

  private let calls: [RecordedCall]
  /// The first one is nobody's: what comes behind it is the list.
  private var events: [Event]
  private var place: [(begin: Int, end: Int)]
  private let stepLimit: Int

  /// - Parameters:
  ///   - calls: all of one folder, from its beginning as an empty one.
  ///   - stepLimit: attempts to place a call.
  package static func check(_ calls: [RecordedCall], stepLimit: Int = 20_000_000) -> Verdict {
    // A read that was not answered says nothing.
    var checker = LinearizabilityChecker(calls.filter { $0.isMutation || $0.answer != .unknown }, stepLimit)
    return checker.search()
  }

  private init(_ calls: [RecordedCall], _ stepLimit: Int) {
    self.calls = calls
    self.stepLimit = stepLimit
    var moments: [(time: Int64, isEnd: Bool, call: Int)] = []
    for (index, call) in calls.enumerated() {
      moments.append((call.start, false, index))
      moments.append((call.answer == .unknown ? .max : call.end, true, index))
    }
    // Of the same nanosecond, beginnings come first: such calls may have been under way together.
    moments.sort { ($0.time, $0.isEnd ? 1 : 0, $0.call) < ($1.time, $1.isEnd ? 1 : 0, $1.call) }
    events = [Event(call: -1, isEnd: false, previous: -1, next: moments.isEmpty ? -1 : 1)]
    place = Array(repeating: (0, 0), count: calls.count)
    for (index, moment) in moments.enumerated() {
      let number = index + 1
      events.append(Event(call: moment.call, isEnd: moment.isEnd, previous: index, next: number < moments.count ? number + 1 : -1))
      if moment.isEnd { place[moment.call].end = number } else { place[moment.call].begin = number }
    }
  }

  private mutating func search() -> Verdict {
    var state = FolderModel()
    var placed = [UInt64](repeating: 0, count: (calls.count + 63) / 64)
    var left = calls.count { $0.answer != .unknown }
    var path: [(call: Int, before: FolderModel)] = []
    var tried: Set<Tried> = []
    var deepest = (placed: -1, stuck: 0)
    var current = events[0].next
    // At each place calls with an answer are tried first, and those of unknown outcome only where these lead nowhere: most of them never
    // took effect, or were seen to.
    var triesUnknown = false
    var steps = 0
    while left > 0 {
      steps += 1
      guard steps <= stepLimit else { return .givenUp }
      // A call can come next if it was sent before any call that is not placed was answered.
      guard current != -1, !events[current].isEnd else {
        if !triesUnknown {
          (triesUnknown, current) = (true, events[0].next)
          continue
        }
        if path.count > deepest.placed, current != -1 { deepest = (path.count, events[current].call) }
        guard let (call, before) = path.popLast() else { return .impossible(stuck: calls[deepest.stuck]) }
        state = before
        placed[call / 64] &= ~(1 << UInt64(call % 64))
        triesUnknown = calls[call].answer == .unknown
        if !triesUnknown { left += 1 }
        putBack(call)
        current = events[place[call].begin].next
        continue
      }
      let call = events[current].call
      let isUnknown = calls[call].answer == .unknown
      if isUnknown == triesUnknown, let after = state.after(calls[call].request, calls[call].answer) {
        var next = placed
        next[call / 64] |= 1 << UInt64(call % 64)
        if tried.insert(Tried(placed: next, state: after)).inserted {
          path.append((call, state))
          (state, placed) = (after, next)
          if !isUnknown { left -= 1 }
          takeOut(call)
          (triesUnknown, current) = (false, events[0].next)
          continue
        }
      }
      current = events[current].next
    }
    return .linearizable
  }

  private mutating func takeOut(_ call: Int) {
    for number in [place[call].begin, place[call].end] {
      let event = events[number]
      events[event.previous].next = event.next
      if event.next != -1 { events[event.next].previous = event.previous }
    }
  }

  private mutating func putBack(_ call: Int) {
    for number in [place[call].end, place[call].begin] {
      let event = events[number]
      events[event.previous].next = number
      if event.next != -1 { events[event.next].previous = number }
    }
  }
}
