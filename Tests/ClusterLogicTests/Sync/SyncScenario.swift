import BlockModel
import ClusterLogic

/// A tree that both sides have, what is done to it on either side, and the order in which plans are carried out: all from one seed.
struct SyncScenario: CustomStringConvertible {
  /// One thing that somebody does, with a seed of its own, so that leaving others out does not change it.
  struct Step {
    var isLocal: Bool
    var seed: UInt64
  }

  let seed: UInt64
  let size: Int
  /// Steps before the first plan, then one more now and then between plans.
  var steps: [Step]
  var later: [Step]

  var description: String { "seed \(seed): \(steps.count) steps before and \(later.count) while it is planned" }

  static let names = ["a", "b", "c", "d", "e.txt", "A"]

  init(seed: UInt64) {
    var random = SeededRandom(seed: seed)
    self.seed = random.next()
    size = Int.random(in: 0...12, using: &random)
    steps = (0..<Int.random(in: 1...10, using: &random)).map { _ in Step(isLocal: .random(using: &random), seed: random.next()) }
    later = (0..<max(0, Int.random(in: -4...4, using: &random))).map { _ in Step(isLocal: .random(using: &random), seed: random.next()) }
  }

  /// Why it went wrong; nil when it ended well.
  ///
  /// - Parameter trace: is told the trees before each plan, and what is done.
  func failure(trace: (String) -> Void = { _ in }) -> String? {
    var random = SeededRandom(seed: seed)
    var model = SyncModel()
    for _ in 0..<size { SyncScenario.create(in: &model, \.remote, &random) }
    model.synced = model.remote
    model.local = model.remote
    for step in steps { SyncScenario.perform(step, &model) }
    var left = later[...]
    do {
      // Each plan does at least one thing that lasts; a tree of a few dozen things needs no more than these.
      for _ in 0..<400 {
        var plan = model.plan()
        trace("\(model.text)\nplan \(plan)")
        if plan.isEmpty {
          guard let step = left.popFirst() else { return model.complaint() }
          SyncScenario.perform(step, &model)
          continue
        }
        plan.shuffle(using: &random)
        for operation in plan.prefix(.random(in: 1...max(1, plan.count), using: &random)) {
          trace("do \(operation)")
          let noted = model.synced
          try model.apply(operation)
          // A run may end when it has moved a thing and not noted so.
          if operation.isMove, Int.random(in: 0..<8, using: &random) == 0 {
            trace("and forget")
            model.synced = noted
          }
        }
        if Int.random(in: 0..<6, using: &random) == 0, let step = left.popFirst() { SyncScenario.perform(step, &model) }
      }
      return "it does not end: \(model.plan())"
    } catch { return "\(error)" }
  }

  /// The same failure with as few steps as leaving them out one by one gives.
  func minimised() -> SyncScenario {
    var smallest = self
    var isSmaller = true
    while isSmaller {
      isSmaller = false
      for index in smallest.steps.indices.reversed() {
        var candidate = smallest
        candidate.steps.remove(at: index)
        if candidate.failure() != nil { (smallest, isSmaller) = (candidate, true) }
      }
      for index in smallest.later.indices.reversed() {
        var candidate = smallest
        candidate.later.remove(at: index)
        if candidate.failure() != nil { (smallest, isSmaller) = (candidate, true) }
      }
    }
    return smallest
  }

  // MARK: - What people do

  private static func perform(_ step: Step, _ model: inout SyncModel) {
    var random = SeededRandom(seed: step.seed)
    let side: WritableKeyPath<SyncModel, SyncTree> = step.isLocal ? \.local : \.remote
    // What the agent is in the middle of moving is not for people to touch.
    let ids = model[keyPath: side].sortedIDs.filter {
      model[keyPath: side][$0].map { !ReservedName.isReserved($0.place.name) } ?? false
    }
    guard let id = ids.randomElement(using: &random) else { return create(in: &model, side, &random) }
    switch Int.random(in: 0..<9, using: &random) {
    case 0, 1: create(in: &model, side, &random)
    case 2, 3: edit(id, in: &model, side, &random)
    case 4, 5, 6: move(id, in: &model, side, &random)
    case 7: delete(id, in: &model, side)
    default: swap(id, ids.randomElement(using: &random) ?? id, in: &model, side)
    }
  }

  private static func folder(in tree: SyncTree, _ random: inout SeededRandom) -> SyncNodeID {
    ([tree.root] + tree.sortedIDs.filter { tree[$0]?.kind == .folder }).randomElement(using: &random) ?? tree.root
  }

  private static func create(
    in model: inout SyncModel, _ side: WritableKeyPath<SyncModel, SyncTree>, _ random: inout SeededRandom
  ) {
    let place = SyncPlace(folder(in: model[keyPath: side], &random), names.randomElement(using: &random) ?? "a")
    guard model[keyPath: side].child(place) == nil else { return }
    let kind = [SyncNode.Kind.file, .file, .folder, .symlink].randomElement(using: &random) ?? .file
    // Now and then the same content on both sides.
    let content: SyncContent = kind == .folder ? "" : Int.random(in: 0..<5, using: &random) == 0 ? "shared" : model.newContent()
    let id = side == \.local ? .new(model.number()) : model.newEntry()
    model[keyPath: side].insert(id, SyncNode(place, kind, content: content, modified: kind == .file ? 1 : 0, version: 1))
    if kind != .folder, content != "shared" { model.mustSurvive.insert(content) }
  }

  private static func edit(
    _ id: SyncNodeID, in model: inout SyncModel, _ side: WritableKeyPath<SyncModel, SyncTree>, _ random: inout SeededRandom
  ) {
    guard model[keyPath: side][id]?.kind == .file else { return }
    if Int.random(in: 0..<4, using: &random) == 0 {
      model[keyPath: side].update(id) {
        $0.executable.toggle()
        $0.modified += 1
      }
      return
    }
    let content = model.newContent()
    let version = Int64(model.number())
    model.mustSurvive.remove(model[keyPath: side][id]?.content ?? "")
    model[keyPath: side].update(id) {
      $0.content = content
      $0.modified = version
      $0.version = version
    }
    model.mustSurvive.insert(content)
  }

  private static func move(
    _ id: SyncNodeID, in model: inout SyncModel, _ side: WritableKeyPath<SyncModel, SyncTree>, _ random: inout SeededRandom
  ) {
    let place = SyncPlace(folder(in: model[keyPath: side], &random), names.randomElement(using: &random) ?? "a")
    try? SyncModel.move(id, to: place, in: &model[keyPath: side])
  }

  private static func delete(_ id: SyncNodeID, in model: inout SyncModel, _ side: WritableKeyPath<SyncModel, SyncTree>) {
    for child in model[keyPath: side].children(of: id) { delete(child, in: &model, side) }
    model.mustSurvive.remove(model[keyPath: side][id]?.content ?? "")
    model[keyPath: side].remove(id)
  }

  private static func swap(
    _ a: SyncNodeID, _ b: SyncNodeID, in model: inout SyncModel, _ side: WritableKeyPath<SyncModel, SyncTree>
  ) {
    var tree = model[keyPath: side]
    guard a != b, let first = tree[a]?.place, let second = tree[b]?.place else { return }
    let aside = SyncPlace(tree.root, "swapped")
    do {
      try SyncModel.move(a, to: aside, in: &tree)
      try SyncModel.move(b, to: first, in: &tree)
      try SyncModel.move(a, to: second, in: &tree)
      model[keyPath: side] = tree
    } catch { return }
  }
}

extension SyncOperation {
  fileprivate var isMove: Bool {
    switch self {
    case .moveLocal, .moveRemote, .setAsideLocal, .setAsideRemote: true
    default: false
    }
  }
}
