internal import BlockModel

/// A sequence of operations and faults for a block store on a simulated disk. It follows from its seed, and can be written down and played
/// again without it.
package struct StoreSequence: Sendable, Equatable {
  /// What one step does. Blocks are named by their place in `StoreContents`.
  package enum Action: Sendable, Equatable {
    case append(Int, epoch: UInt64)
    case raise(Int, to: UInt64)
    case delete(Int, below: UInt64)
    case read(Int)
    /// Bytes of the stored form, cut to what there is.
    case readRange(Int, Int, Int)
    case readRecord(Int)
    case verify(Int)
    /// Everything that was begun ends; then all that the store shows is checked.
    case settle
    /// Closes the store in order and opens it again.
    case reopen
    /// The process is killed; the machine goes on.
    case kill
    case losePower
    /// Failures that are to come, after so many calls that succeed.
    case failSync(Int)
    case failWrite(Int)
    case failRead(Int)
    case failNameChange(Int)
    /// So many bytes more than now fit on the disk.
    case limitSpace(Int)
    case freeSpace
    case advanceTime
    case evictCaches
    /// Damage to segments or to the checkpoint; where, the step's seed says.
    case rot
    case scramble
    case misdirect
    case rollBack
    case makeUnreadable
    case makeReadable
  }

  package struct Step: Sendable, Equatable {
    package var action: Action
    /// Steps of the scheduler afterwards: how far what was begun gets before the next step.
    package var ticks: Int
    /// Decides the order of those, and what the action leaves open.
    package var seed: UInt64

    package init(_ action: Action, ticks: Int = 0, seed: UInt64 = 0) {
      self.action = action
      self.ticks = ticks
      self.seed = seed
    }
  }

  /// How the store is set up.
  package struct Settings: Sendable, Equatable {
    package var segmentKiB = 256
    package var checkpointRecords = 8
    package var isEncrypted = true
    package var isRelaxed = false
    package var directWriteKiB = 1024
    package var queueLimit = 4096
    package var openFileLimit = 256
    /// What blocks may take; 0 for as much as there is.
    package var capacityKiB = 0
    /// One in so many pieces of blocking work is stopped between two calls to the disk.
    package var interruptionShare = 3

    package init() {}
  }

  package var settings = Settings()
  package var steps: [Step]

  package init(_ settings: Settings = Settings(), steps: [Step]) {
    self.settings = settings
    self.steps = steps
  }
}

extension StoreSequence {
  /// A random sequence. Some disks damage what lies on them; others only do what an honest disk does when power, cables and space fail.
  package init(seed: UInt64) {
    var random = SeededRandom(seed: seed)
    var settings = Settings()
    settings.segmentKiB = random.pick([256, 256, 512])
    settings.checkpointRecords = random.pick([3, 6, 12, 30])
    settings.isEncrypted = !random.chance(4)
    settings.isRelaxed = random.chance(10)
    settings.directWriteKiB = random.pick([16, 64, 1024])
    settings.queueLimit = random.chance(12) ? 4 : 4096
    settings.openFileLimit = random.chance(4) ? 2 : 256
    settings.capacityKiB = random.chance(10) ? 400 : 0
    settings.interruptionShare = random.pick([1, 2, 4, 16])
    var maker = StepMaker(random: random, damages: !settings.isRelaxed && random.chance(3), fails: !settings.isRelaxed && random.chance(2))
    self.init(settings, steps: (0..<random.between(8, 50)).map { _ in maker.next() })
  }

  /// Draws the steps of one sequence.
  private struct StepMaker {
    var random: SeededRandom
    /// Blocks that the sequence is about: few, so that operations meet.
    let contents: [Int]
    let damages: Bool
    let fails: Bool
    /// Steps with little time between them, or much.
    let haste: Int

    init(random: SeededRandom, damages: Bool, fails: Bool) {
      var random = random.asFork
      contents = Array(StoreContents.all.indices.shuffled(using: &random).prefix(random.between(1, StoreContents.all.count)))
      haste = random.pick([1, 3, 8])
      self.damages = damages
      self.fails = fails
      self.random = random
    }

    mutating func next() -> Step {
      let action = action()
      var ticks = random.chance(haste) ? random.between(0, 30) : random.between(0, 3)
      if random.chance(40) { ticks = 1000 }
      return Step(action, ticks: ticks, seed: random.next() >> 32)
    }

    private mutating func action() -> Action {
      let content = random.pick(contents)
      switch random.between(0, 99) {
      case 0..<36: return .append(content, epoch: epoch())
      case 36..<42: return .raise(content, to: epoch())
      case 42..<54: return .delete(content, below: epoch())
      case 54..<60: return .read(content)
      case 60..<63: return .readRange(content, random.between(0, 140_000), random.between(0, 140_000))
      case 63..<65: return .readRecord(content)
      case 65..<67: return .verify(content)
      case 67..<71: return .settle
      case 71..<75: return .reopen
      case 75..<79: return .kill
      case 79..<85: return .losePower
      case 85..<87: return .limitSpace(random.between(0, 700_000))
      case 87: return .freeSpace
      case 88: return .advanceTime
      case 89: return .evictCaches
      case 90..<95: return fails ? failure() : .losePower
      default: return damages ? damage() : .append(content, epoch: epoch())
      }
    }

    private mutating func epoch() -> UInt64 { UInt64(random.between(0, 12)) }

    private mutating func failure() -> Action {
      let count = random.between(0, 12)
      switch random.between(0, 9) {
      case 0..<4: return .failSync(count)
      case 4..<7: return .failWrite(count)
      case 7..<9: return .failNameChange(count / 3)
      default: return .failRead(count)
      }
    }

    private mutating func damage() -> Action { random.pick([.rot, .scramble, .misdirect, .rollBack, .makeUnreadable, .makeReadable]) }
  }
}

extension SeededRandom {
  /// One of the numbers from `low` to `high`.
  mutating func between(_ low: Int, _ high: Int) -> Int { low + Int(next() % UInt64(high - low + 1)) }
  /// True once in so many times.
  mutating func chance(_ times: Int) -> Bool { next() % UInt64(times) == 0 }
  mutating func pick<T>(_ choices: [T]) -> T { choices[Int(next() % UInt64(choices.count))] }
  fileprivate var asFork: SeededRandom {
    var copy = self
    return copy.fork()
  }
}

extension StoreSequence: CustomStringConvertible {
  /// As Swift source that makes the sequence again.
  package var description: String {
    var text = "var settings = StoreSequence.Settings()\n"
    let normal = Settings()
    func line<T: Equatable>(_ name: String, _ field: KeyPath<Settings, T>) {
      if settings[keyPath: field] != normal[keyPath: field] { text += "settings.\(name) = \(settings[keyPath: field])\n" }
    }
    line("segmentKiB", \.segmentKiB)
    line("checkpointRecords", \.checkpointRecords)
    line("isEncrypted", \.isEncrypted)
    line("isRelaxed", \.isRelaxed)
    line("directWriteKiB", \.directWriteKiB)
    line("queueLimit", \.queueLimit)
    line("openFileLimit", \.openFileLimit)
    line("capacityKiB", \.capacityKiB)
    line("interruptionShare", \.interruptionShare)
    text += "StoreSequence(settings, steps: [\n"
    for step in steps {
      let ticks = step.ticks > 0 ? ", ticks: \(step.ticks)" : ""
      let seed = step.seed > 0 ? ", seed: \(step.seed)" : ""
      text += "  .init(.\(step.action)\(ticks)\(seed)),\n"
    }
    return text + "])"
  }
}
