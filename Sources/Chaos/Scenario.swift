/// A story of faults, from a small text file that a person can read aloud:
///
///     # A node dies, another one too while the first is still away, and both come back.
///     cluster --nodes 6 --zones 3
///     clients 4
///     wait 2..5
///     kill node as first
///     wait 3..8
///     start first
///
/// The first comment is the title. The steps are told again from the beginning until the time is over.
package struct Scenario: Sendable, Equatable {
  /// Whom a fault may hit.
  package enum Victim: String, Sendable, CaseIterable {
    /// Any storage node, all nodes of any zone, any gateway, any coordinator.
    case node, zone, gateway, coordinator
  }

  /// What happens to the victim's processes.
  package enum Blow: String, Sendable, CaseIterable {
    /// SIGKILL, SIGSTOP, SIGTERM.
    case kill, pause, terminate
  }

  package enum Step: Sendable, Equatable {
    /// Seconds, drawn from the range.
    case wait(ClosedRange<Double>)
    /// Strikes a victim that the seed chooses, and remembers it under a name.
    case strike(Blow, Victim, name: String)
    /// Ends what was done under the name: starts, lets go on, or gives a new disk.
    case start(String)
    /// Flips a bit in so many places of a node's segments, behind the node's back.
    case rot(places: Int)
    /// Takes a node's first disk away, folder and all.
    case loseDisk(name: String)
    /// Runs `cairnctl` with these arguments; it may fail while things are broken.
    case control([String])
  }

  package struct Malformed: Error, CustomStringConvertible {
    package var line: Int
    package var reason: String
    package var description: String { "line \(line): \(reason)" }
  }

  package var name: String
  package var title: String
  /// Arguments of `cluster/up`.
  package var cluster: [String]
  package var clients: Int
  package var steps: [Step]

  /// - Throws: `Malformed`, when a line says nothing that is known.
  package init(name: String, text: String) throws(Malformed) {
    self.name = name
    (title, cluster, clients, steps) = (name, [], 4, [])
    var hasTitle = false
    var bound: Set<String> = []
    for (index, line) in text.split(separator: "\n", omittingEmptySubsequences: false).enumerated() {
      let line = line.trimmed
      if line.hasPrefix("#") {
        if !hasTitle { title = String(line.dropFirst().trimmed) }
        hasTitle = true
        continue
      }
      let words = line.split(separator: " ").map(String.init)
      guard let verb = words.first else { continue }
      func fail(_ reason: String) -> Malformed { Malformed(line: index + 1, reason: reason) }
      switch verb {
      case "cluster": cluster = Array(words.dropFirst())
      case "clients":
        guard words.count == 2, let count = Int(words[1]), (1...64).contains(count) else {
          throw fail("“clients” takes a number from 1 to 64")
        }
        clients = count
      default:
        guard let step = Scenario.step(words) else { throw fail("“\(line)” is no step") }
        switch step {
        case .strike(_, _, let name), .loseDisk(let name): bound.insert(name)
        case .start(let name) where !bound.contains(name): throw fail("nothing was called “\(name)” before")
        default: break
        }
        steps.append(step)
      }
    }
    guard steps.contains(where: { if case .wait = $0 { true } else { false } }) else {
      throw Malformed(line: 1, reason: "a story without a wait has no time to happen in")
    }
  }

  private static func step(_ words: [String]) -> Step? {
    switch words[0] {
    case "wait":
      guard words.count == 2 else { return nil }
      let ends =
        words[1].split(separator: ".", omittingEmptySubsequences: false).count >= 3
        ? words[1].split(separator: "..") : [Substring(words[1])]
      guard let from = ends.first.flatMap({ Double($0) }), let to = ends.last.flatMap({ Double($0) }), ends.count <= 2, 0 <= from,
        from <= to,
        to <= 3600
      else { return nil }
      return .wait(from...to)
    case "rot":
      guard words.count == 2, let places = Int(words[1]), (1...1000).contains(places) else { return nil }
      return .rot(places: places)
    case "start": return words.count == 2 ? .start(words[1]) : nil
    case "lose":
      return words.count == 4 && words[1] == "disk" && words[2] == "as" ? .loseDisk(name: words[3]) : nil
    case "control": return words.count > 1 ? .control(Array(words.dropFirst())) : nil
    default:
      guard words.count == 4, words[2] == "as", let blow = Blow(rawValue: words[0]), let victim = Victim(rawValue: words[1]) else {
        return nil
      }
      return .strike(blow, victim, name: words[3])
    }
  }
}

extension StringProtocol {
  var trimmed: SubSequence {
    var rest = self[...]
    while let first = rest.first, first.isWhitespace { rest = rest.dropFirst() }
    while let last = rest.last, last.isWhitespace { rest = rest.dropLast() }
    return rest
  }
}
