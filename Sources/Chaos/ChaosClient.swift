internal import BlockModel
internal import Platform
internal import Synchronization

/// One user's program under a chaos run: puts, reads and removes files through the `cairn` command, and writes down in a file of its own
/// what it was about to do and what it was told, before and after each operation.
///
/// What must hold: nothing of the cluster or of the SDK decides what counts as acknowledged; only the exit status of the command does.
final class ChaosClient: Sendable {
  /// Longer than any command should take, failures included. Then it is killed, and what it did is unknown.
  private static let patience: Duration = .seconds(90)
  private static let pathCount: UInt64 = 40

  private let number: Int
  private let folder: String
  private let command: String
  private let environment: [String: String]
  private let log: RunLog
  private let truth: Mutex<Acknowledgements>
  private let journal: File

  /// - Parameters:
  ///   - folder: of its own, for its journal, its state and the files on their way.
  ///   - truth: what all clients were told; this one's paths begin with its number.
  init(
    number: Int, folder: String, command: String, environment: [String: String], log: RunLog, truth: Acknowledgements = Acknowledgements()
  ) throws {
    self.number = number
    self.folder = folder
    self.command = command
    var environment = environment
    environment["XDG_STATE_HOME"] = folder + "/state"
    environment["XDG_CONFIG_HOME"] = folder + "/config"
    self.environment = environment
    self.log = log
    self.truth = Mutex(truth)
    try Directory.create(folder)
    journal = try File(folder + "/journal", [.write, .create])
  }

  var acknowledgements: Acknowledgements { truth.withLock { $0 } }
  /// What reads showed that they should not have.
  private let wrongReads = Mutex<[String]>([])
  var faults: [String] { wrongReads.withLock { $0 } }

  /// Works until it is told to stop.
  func run(seed: UInt64, while goesOn: @Sendable () -> Bool) async {
    var random = SeededRandom(seed: seed)
    var paths = (0..<Self.pathCount).map { "/chaos/client-\(number)/file-\($0)" }
    var next = Self.pathCount
    var offset: Int64 = 0
    while goesOn() {
      let place = Int(random.next() % UInt64(paths.count))
      let path = paths[place]
      let choice = random.next() % 100
      let done: (Timeline.Operation.Kind, Acknowledgements.Content?, Acknowledgements.Outcome)
      let began = log.now
      if choice < 50 {
        let bytes = Self.bytes(&random)
        let content = Acknowledgements.Content.file(Self.hex(bytes))
        note("? put \(path) \(Self.hex(bytes)) \(bytes.count)", &offset)
        done = (.write, content, await put(bytes, path))
      } else if choice < 62 {
        note("? rm \(path)", &offset)
        done = (.remove, .absent, await remove(path))
      } else {
        done = (.read, nil, await read(path))
      }
      let (kind, content, outcome) = done
      if let content {
        note("! \(outcome) \(path)", &offset)
        truth.withLock { $0.ended(path, content, outcome) }
        // Whatever becomes of it later: nobody touches it again.
        if case .unknown = outcome {
          paths[place] = "/chaos/client-\(number)/file-\(next)"
          next += 1
        }
      }
      let succeeded = if case .acknowledged = outcome { true } else { false }
      let operation = Timeline.Operation(kind: kind, start: began, end: log.now, succeeded: succeeded)
      log.change { $0.operations.append(operation) }
      // What fails at once is not tried again without end.
      if !succeeded { try? await Task.sleep(for: .milliseconds(100)) }
    }
  }

  private func put(_ bytes: [UInt8], _ path: String) async -> Acknowledgements.Outcome {
    let file = folder + "/up"
    do { try AtomicFile.write(file, bytes) } catch { return .refused }
    switch await cairn(["put", "--quiet", "--on-conflict", "overwrite", file, path]) {
    case .exited(0): return .acknowledged
    // Usage, conflict, permission, quota: answers of a server that did nothing.
    case .exited(2), .exited(3), .exited(5), .exited(6): return .refused
    default: return .unknown
    }
  }

  private func remove(_ path: String) async -> Acknowledgements.Outcome {
    let before = truth.withLock { $0.known(path) }
    switch await cairn(["rm", "--quiet", path]) {
    case .exited(0): return .acknowledged
    case .exited(4):
      if case .file = before { complain("rm found nothing at \(path), which was acknowledged") }
      return .refused
    case .exited(2), .exited(3), .exited(5), .exited(6): return .refused
    default: return .unknown
    }
  }

  /// Reads and compares; `.acknowledged` means that an answer came, right or wrong.
  private func read(_ path: String) async -> Acknowledgements.Outcome {
    guard let seen = await content(path) else { return .unknown }
    if let fault = truth.withLock({ $0.fault(path, seen) }) { complain("a read saw: " + fault) }
    return .acknowledged
  }

  /// What the path holds; nil when no answer could be had.
  func content(_ path: String) async -> Acknowledgements.Content? {
    let file = folder + "/down"
    try? Directory.remove(file)
    switch await cairn(["get", "--quiet", path, file]) {
    case .exited(0):
      guard let bytes = try? AtomicFile.read(file, limit: 64 << 20) else { return nil }
      return .file(Self.hex(bytes))
    case .exited(4): return .absent
    default: return nil
    }
  }

  private enum Ending: Equatable {
    case exited(Int32)
    case none
  }

  private func cairn(_ arguments: [String]) async -> Ending {
    var options = ChildProcess.Options()
    options.environment = environment
    options.output = .null
    options.error = .file(folder + "/errors")
    guard let child = try? ChildProcess.start(command, arguments, options) else { return .none }
    let watch = Task {
      try await Task.sleep(for: Self.patience)
      child.send(.kill)
    }
    let ending = await child.wait()
    watch.cancel()
    if case .exited(let status) = ending { return .exited(status) }
    return .none
  }

  private func complain(_ what: String) { wrongReads.withLock { $0.append(what) } }

  private func note(_ line: String, _ offset: inout Int64) {
    let bytes = Array((line + "\n").utf8)
    let place = offset
    offset += Int64(bytes.count)
    do { try bytes.withUnsafeBytes { try journal.pwrite($0, at: place) } } catch { complain("the client's journal: \(error)") }
  }

  /// Mostly small, as users' files are; one in twelve has several blocks.
  private static func bytes(_ random: inout SeededRandom) -> [UInt8] {
    let bound: UInt64 = random.next() % 12 == 0 ? 11 << 20 : 80 << 10
    let count = Int(random.next() % bound) + 1
    var words = SeededRandom(seed: random.next())
    return [UInt8](unsafeUninitializedCapacity: count) { buffer, initialized in
      for place in stride(from: 0, to: count, by: 8) {
        withUnsafeBytes(of: words.next()) { word in
          for index in 0..<min(8, count - place) { buffer[place + index] = word[index] }
        }
      }
      initialized = count
    }
  }

  private static func hex(_ bytes: [UInt8]) -> String { HexDigits.encode(SHA256Hasher.hash(bytes)) }
}
