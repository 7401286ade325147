internal import Platform

/// Where the bytes of one request's body go, decided piece by piece. A value; `Exchange` holds it under its lock and does what it says.
///
/// What must hold: bytes are counted in `count` only after they are in their place; once `failure` is set nothing is counted any more;
/// after `end` or `failure` every byte that still comes is dropped.
struct BodyIntake {
  /// Bodies that are declared to be no longer than this are gathered before the handler starts, which spares it a wait.
  static let smallBody = 32 << 10
  /// A waiting consumer is woken after this many further bytes, so that a 4 MiB block costs 32 wake-ups.
  static let progressStep = 128 << 10

  fileprivate enum Mode {
    /// Nobody has asked for the body yet.
    case unclaimed
    /// Somebody wants to see this many bytes before it decides where the body goes.
    case beginning(count: Int)
    case buffer(IOBuffer, BodyPlacement, limit: Int)
    case gathering(limit: Int)
    case dropping
  }

  /// What to do with bytes that arrived.
  enum Step {
    /// They were taken or dropped.
    case consumed
    /// Copy `count` of them, then call `placed`.
    case copy(IOBuffer, BodyPlacement, offset: Int, count: Int)
    /// Nobody wants them yet; leave them in the socket.
    case hold
    /// More was dropped than a refusal is worth: close the connection.
    case giveUp
  }

  enum Progress: Equatable {
    case ready(count: Int, ended: Bool)
    case failed(HTTPBodyError)
    /// Wait until `count` reaches the threshold, or the body ends.
    case wait(threshold: Int)
  }

  /// nil when the body is chunked.
  private let declared: Int?
  private let drainLimit: Int
  private var mode = Mode.unclaimed
  private var gathered: [UInt8] = []
  /// Body bytes in the consumer's hands.
  private(set) var count = 0
  /// Body bytes that came, dropped ones included.
  private(set) var arrived = 0
  private var dropped = 0
  private(set) var hasEnded = false
  private(set) var failure: HTTPBodyError?

  init(declared: Int?, drainLimit: Int) {
    self.declared = declared
    self.drainLimit = drainLimit
  }

  var isSmall: Bool { declared.map { $0 <= BodyIntake.smallBody } ?? false }

  // MARK: The network's side

  mutating func arrive(_ bytes: UnsafeRawBufferPointer) -> Step {
    if case .unclaimed = mode, !isSmall { return .hold }
    arrived += bytes.count
    switch mode {
    case .unclaimed:
      gather(bytes, limit: BodyIntake.smallBody)
      return .consumed
    case .gathering(let limit):
      gather(bytes, limit: limit)
      return .consumed
    case .beginning(let wanted):
      // One piece of the network's is taken whole; what comes behind it waits in the socket.
      gather(bytes, limit: .max)
      if gathered.count >= wanted { mode = .unclaimed }
      return .consumed
    case .buffer(let buffer, let placement, let limit):
      guard bytes.count <= limit - count else {
        fail(.tooLarge)
        return drop(bytes.count)
      }
      return .copy(buffer, placement, offset: count, count: bytes.count)
    case .dropping:
      return drop(bytes.count)
    }
  }

  mutating func placed(_ bytes: Int) { if failure == nil { count += bytes } }

  mutating func end() {
    hasEnded = true
  }

  /// The body is not wanted any longer; what still comes is dropped.
  mutating func discard() {
    mode = .dropping
    gathered = []
  }

  /// The connection is lost or given up; a body that is all there stays good. The first reason stands.
  mutating func lose(_ error: HTTPBodyError) { if !hasEnded { fail(error) } }

  private mutating func fail(_ error: HTTPBodyError) {
    guard failure == nil else { return }
    failure = error
    discard()
  }

  private mutating func gather(_ bytes: UnsafeRawBufferPointer, limit: Int) {
    guard bytes.count <= limit - gathered.count else { return fail(.tooLarge) }
    if gathered.isEmpty, let declared { gathered.reserveCapacity(min(declared, limit)) }
    gathered.append(contentsOf: bytes)
    count = gathered.count
  }

  private mutating func drop(_ bytes: Int) -> Step {
    dropped += bytes
    let left = declared.map { $0 - arrived } ?? 0
    return dropped + left > drainLimit ? .giveUp : .consumed
  }

  // MARK: The consumer's side

  mutating func attach(_ buffer: IOBuffer, placement: BodyPlacement, limit: Int) {
    guard case .unclaimed = mode, failure == nil else { return requireUnclaimed() }
    let most = min(limit, declared ?? limit)
    precondition(placement.end(of: most) <= buffer.capacity, "the buffer is too small for a body of \(most) bytes")
    guard declared.map({ $0 <= limit }) ?? true, gathered.count <= limit else { return fail(.tooLarge) }
    gathered.withUnsafeBytes { placement.copy($0, at: 0, into: buffer) }
    gathered = []
    mode = .buffer(buffer, placement, limit: limit)
  }

  mutating func startGathering(limit: Int) {
    guard case .unclaimed = mode, failure == nil else { return requireUnclaimed() }
    guard declared.map({ $0 <= limit }) ?? true, gathered.count <= limit else { return fail(.tooLarge) }
    mode = .gathering(limit: limit)
  }

  /// Takes the first `count` bytes in, or all when there are fewer, and leaves the body unclaimed.
  mutating func startBeginning(count: Int) {
    guard case .unclaimed = mode, failure == nil else { return requireUnclaimed() }
    if !isComplete, gathered.count < count { mode = .beginning(count: count) }
  }

  /// Where the beginning stands.
  func beginning(_ count: Int) -> Progress {
    if let failure { return .failed(failure) }
    return isComplete || gathered.count >= count ? .ready(count: min(count, gathered.count), ended: isComplete) : .wait(threshold: count)
  }

  /// A copy of the first bytes; they stay in front of the body.
  mutating func copyBeginning(_ count: Int) -> [UInt8] {
    if case .beginning = mode { mode = .unclaimed }
    return Array(gathered.prefix(count))
  }

  private func requireUnclaimed() {
    precondition(failure != nil || hasEnded || mode.isDropping, "a request's body has one consumer")
  }

  /// Where the whole body stands.
  var whole: Progress {
    if let failure { return .failed(failure) }
    return isComplete ? .ready(count: count, ended: true) : .wait(threshold: declared ?? .max)
  }

  /// Where the body stands for a consumer that has dealt with `count` bytes.
  func progress(beyond count: Int) -> Progress {
    if let failure { return .failed(failure) }
    if isComplete || self.count > count { return .ready(count: self.count, ended: isComplete) }
    return .wait(threshold: min(count + BodyIntake.progressStep, max(declared ?? .max, count + 1)))
  }

  var isUnclaimed: Bool { if case .unclaimed = mode { true } else { false } }

  /// Whether a consumer that waits for `threshold` bytes has something to look at.
  func isWorthWaking(_ threshold: Int) -> Bool { failure != nil || hasEnded || count >= threshold }

  /// All declared bytes are there, which the consumer may know before the network says so.
  private var isComplete: Bool { hasEnded || (declared.map { count == $0 } ?? false) }

  mutating func takeGathered() -> [UInt8] {
    defer { gathered = [] }
    return gathered
  }
}

extension BodyIntake.Mode {
  fileprivate var isDropping: Bool { if case .dropping = self { true } else { false } }
}

extension BodyPlacement {
  /// The offset in the buffer of body byte `offset`.
  func location(of offset: Int) -> Int {
    let (piece, within) = offset.quotientAndRemainder(dividingBy: self.piece)
    return base + piece * stride + within
  }

  /// One past the buffer offset of the last of `count` body bytes.
  func end(of count: Int) -> Int { count > 0 ? location(of: count - 1) + 1 : base }

  /// Copies body bytes that begin at body offset `offset` to their places.
  func copy(_ bytes: UnsafeRawBufferPointer, at offset: Int, into buffer: IOBuffer) {
    var done = 0
    while done < bytes.count {
      let room = piece - (offset + done) % piece
      let run = min(room, bytes.count - done)
      let place = location(of: offset + done)
      buffer.mutableBytes(place..<(place + run)).copyMemory(from: UnsafeRawBufferPointer(rebasing: bytes[done..<(done + run)]))
      done += run
    }
  }
}
