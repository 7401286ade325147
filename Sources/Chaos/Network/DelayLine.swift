package import BlockModel

/// One direction of a connection: bytes that were read and may not be written yet. A value without clock or sockets; times are seconds.
///
/// What must hold: bytes leave in the order in which they came, whatever their delays; the end of the stream leaves last; no more than
/// `capacity` bytes wait, so that a slow link slows its sender down instead of filling memory.
package struct DelayLine {
  /// As many bytes as a connection with a short queue has under way.
  package static let capacity = 256 << 10
  /// How long TCP waits, at the least, before it sends a lost piece again (RFC 6298 has 1 s; Linux takes 0.2 s), and twice that.
  package static let resending: ClosedRange<Double> = 0.2...0.4

  private struct Piece {
    var due: Double
    /// Empty for the end of the stream.
    var bytes: ArraySlice<UInt8>
  }

  private var pieces: [Piece] = []
  private var first = 0
  package private(set) var count = 0
  /// The stream's end has been taken in; nothing comes after it.
  package private(set) var hasEnded = false

  package init() {}

  package var isEmpty: Bool { first == pieces.count }
  /// Bytes that may still be taken in.
  package var room: Int { hasEnded ? 0 : max(0, Self.capacity - count) }
  /// When the next piece may leave.
  package var nextDue: Double? { isEmpty ? nil : pieces[first].due }

  /// Takes a piece in; an empty one is the end of the stream.
  package mutating func take(_ bytes: ArraySlice<UInt8>, at now: Double, _ effect: LinkRules.Effect, _ random: inout SeededRandom) {
    var due = now + Self.draw(effect.delay, &random)
    if Self.draw(0...1, &random) < effect.loss { due += Self.draw(Self.resending, &random) }
    pieces.append(Piece(due: max(due, pieces.last?.due ?? due), bytes: bytes))
    count += bytes.count
    if bytes.isEmpty { hasEnded = true }
  }

  /// What may be written now; empty at the end of the stream, nil when nothing may leave yet.
  package func ready(at now: Double) -> ArraySlice<UInt8>? {
    guard let due = nextDue, due <= now else { return nil }
    return pieces[first].bytes
  }

  /// So many bytes of the piece that was ready were written; at the end of the stream, 0.
  package mutating func wrote(_ bytes: Int) {
    count -= bytes
    pieces[first].bytes = pieces[first].bytes.dropFirst(bytes)
    guard pieces[first].bytes.isEmpty else { return }
    first += 1
    if isEmpty { (pieces, first) = ([], 0) }
  }

  private static func draw(_ range: ClosedRange<Double>, _ random: inout SeededRandom) -> Double {
    range.lowerBound + Double(random.next() >> 11) / Double(1 << 53) * (range.upperBound - range.lowerBound)
  }
}
