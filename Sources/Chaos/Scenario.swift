/// A story of faults, from a small text file that a person can read aloud:
///
///     # A node dies, another one too while the first is still away, and both come back.
///     cluster --nodes 6 --zones 3
///     clients 4
///     wait 2..5
///     kill node as first
///     wait 3..8
///     end first
///
/// The first comment is the title. The steps are told again from the beginning until the time is over.
package struct Scenario: Sendable, Equatable {
  /// Whom a fault may hit.
  package enum Victim: String, Sendable, CaseIterable {
    /// Any storage node, all nodes of any zone, any gateway, any coordinator; of the database the server that writes.
    case node, zone, gateway, coordinator, database
  }

  /// What happens to the victim's processes.
  package enum Blow: String, Sendable, CaseIterable {
    /// SIGKILL, SIGSTOP, SIGTERM.
    case kill, pause, terminate
  }

  /// Whom a link's other end belongs to.
  package enum Peers: String, Sendable, CaseIterable {
    /// All other processes, clients as well; or those of one kind.
    case everybody, nodes, coordinator, gateway, clients
  }

  /// What happens to a node's disk.
  package enum DiskFault: Sendable, Equatable {
    /// Folder and all is taken away.
    case lose
    /// Something else takes all the space that is left.
    case fill
    /// Every sync fails with EIO.
    case fail
    /// Every sync takes so many milliseconds longer.
    case slow(milliseconds: Int)
    /// The node's power fails: it dies, and what was not synced is gone.
    case power
  }

  package enum Step: Sendable, Equatable {
    /// Seconds, drawn from the range.
    case wait(ClosedRange<Double>)
    /// Strikes a victim that the seed chooses, and remembers it under a name.
    case strike(Blow, Victim, name: String)
    /// Kills a process when one of its threads makes a system call for the nth time, n drawn from the range.
    case killAt(call: String, ClosedRange<Int>, Victim, name: String)
    /// Cuts the links from a victim to its peers, and those back when `bothWays`.
    case cut(Victim, Peers, bothWays: Bool, name: String)
    /// Makes a victim's links slow by so many milliseconds each way, and lossy by a share of 0 to 1.
    case slowLinks(Victim, ClosedRange<Double>, loss: Double, name: String)
    /// Does something to the first disk of a node that the seed chooses.
    case disk(DiskFault, name: String)
    /// Turns a victim's clock by so many seconds, drawn from the range.
    case turnClock(Victim, ClosedRange<Double>, name: String)
    /// Gives a node another weight, drawn from the range.
    case weigh(ClosedRange<Double>)
    /// Ends what was done under the name: starts, lets go on, links again, gives a new disk.
    case end(String)
    /// Flips a bit in so many places of a node's segments, behind the node's back.
    case rot(places: Int)
    /// Runs `cairnctl` with these arguments; it may fail while things are broken.
    case control([String])
    /// Runs `cairnctl` with these arguments; that it fails is a fault of the run.
    case must([String])
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
  /// Links pass through a proxy that can break them.
  package var hasLinks = false
  /// Bytes of a file system of its own for each node's disk; nil leaves them in the cluster's folder. Making one needs root.
  package var diskBytes: Int64?
  /// Processes have clocks that can be turned.
  package var hasClocks = false
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
      case "links" where words.count == 1: hasLinks = true
      case "clocks" where words.count == 1: hasClocks = true
      case "disks":
        guard words.count == 2, let mebibytes = Int64(words[1]), (64...65_536).contains(mebibytes) else {
          throw fail("“disks” takes a size in MiB, from 64 to 65536")
        }
        diskBytes = mebibytes << 20
      default:
        guard let step = Step(words) else { throw fail("“\(line)” is no step") }
        if let missing = missing(for: step) { throw fail("“\(line)” needs a line “\(missing)” before it") }
        if case .end(let name) = step, !bound.contains(name) { throw fail("nothing was called “\(name)” before") }
        if let name = step.boundName { bound.insert(name) }
        steps.append(step)
      }
    }
    guard steps.contains(where: { if case .wait = $0 { true } else { false } }) else {
      throw Malformed(line: 1, reason: "a story without a wait has no time to happen in")
    }
  }

  /// The line that has to come first, when it did not.
  private func missing(for step: Step) -> String? {
    switch step {
    case .cut, .slowLinks: hasLinks ? nil : "links"
    case .turnClock: hasClocks ? nil : "clocks"
    case .disk(.fill, _), .disk(.power, _): diskBytes == nil ? "disks MEBIBYTES" : nil
    default: nil
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
