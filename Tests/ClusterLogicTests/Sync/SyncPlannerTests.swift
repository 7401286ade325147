import BlockModel
import ClusterLogic
import TestSupport
import Testing

@Suite("Planning a sync")
struct SyncPlannerTests {
  @Test("random trees, changed on both sides and planned in any order, become one tree, and nothing that somebody wrote is lost")
  func converges() {
    let cases = Environment.value("CAIRN_SYNC_CASES").flatMap { Int($0) } ?? 20_000
    var seeds = Seeds.random()
    for _ in 0..<cases {
      let seed = seeds.next()
      let scenario = SyncScenario(seed: seed)
      guard let failure = scenario.failure() else { continue }
      let smallest = scenario.minimised()
      var lines: [String] = []
      _ = smallest.failure { lines.append($0) }
      Issue.record(
        "SyncScenario(seed: \(seed)): \(failure); smallest: \(smallest): \(lines.suffix(60).joined(separator: "\n"))")
      return
    }
  }

  private func settle(_ model: inout SyncModel) throws -> [SyncOperation] {
    var done: [SyncOperation] = []
    for _ in 0..<50 {
      let plan = model.plan()
      if plan.isEmpty { return done }
      for operation in plan { try model.apply(operation) }
      done += plan
    }
    throw SyncModel.Broken(description: "it does not end")
  }

  /// A folder with a few files, in step on both sides.
  private func folder(files: Int) -> (model: SyncModel, folder: SyncNodeID, files: [SyncNodeID]) {
    var model = SyncModel()
    let folder = model.newEntry()
    model.remote.insert(folder, SyncNode(SyncPlace(SyncModel.root, "photos"), .folder))
    var ids: [SyncNodeID] = []
    for number in 0..<files {
      let id = model.newEntry()
      model.remote.insert(id, SyncNode(SyncPlace(folder, "\(number).jpg"), .file, content: model.newContent(), version: 1))
      ids.append(id)
    }
    model.synced = model.remote
    model.local = model.remote
    return (model, folder, ids)
  }

  @Test("a folder that was moved is one operation, however much is in it")
  func folderMoveIsOneOperation() throws {
    var (model, id, _) = folder(files: 50)
    try SyncModel.move(id, to: SyncPlace(SyncModel.root, "pictures"), in: &model.local)
    guard let entry = id.entry else { return }
    #expect(try settle(&model) == [.moveRemote(entry, to: SyncPlace(SyncModel.root, "pictures"))])
    #expect(model.complaint() == nil)
  }

  @Test("of two edits both are kept, the local one as a conflicted copy")
  func bothEditsAreKept() throws {
    var (model, folder, files) = folder(files: 1)
    model.local.update(files[0]) { $0.content = "here" }
    model.remote.update(files[0]) { $0.content = "there" }
    _ = try settle(&model)
    let copy = try #require(model.remote.child(SyncPlace(folder, "0 (conflicted copy laptop 2026-11-21 093015).jpg")))
    #expect(model.remote[copy]?.content == "here")
    #expect(model.local[files[0]]?.content == "there")
  }

  @Test("a file leaves a folder that has the name of the folder it goes to, though that one waits for the name", arguments: [true, false])
  func leavesForItsFoldersName(goneFolderIsRemote: Bool) throws {
    var model = SyncModel()
    let (old, inner, target, file) = (model.newEntry(), model.newEntry(), model.newEntry(), model.newEntry())
    for (id, place) in [
      (old, SyncPlace(SyncModel.root, "old")), (inner, SyncPlace(old, "inner")), (target, SyncPlace(SyncModel.root, "A")),
    ] {
      model.remote.insert(id, SyncNode(place, .folder))
    }
    model.remote.insert(file, SyncNode(SyncPlace(SyncModel.root, "file"), .file, content: model.newContent(), version: 1))
    (model.synced, model.local) = (model.remote, model.remote)
    let one: WritableKeyPath<SyncModel, SyncTree> = goneFolderIsRemote ? \.local : \.remote
    let other: WritableKeyPath<SyncModel, SyncTree> = goneFolderIsRemote ? \.remote : \.local
    // One side deletes the target, gives its name to the old folder, and puts the file there; the other deletes the old folder and puts
    // the file into the target.
    model[keyPath: one].removeSubtree(target)
    try SyncModel.move(old, to: SyncPlace(SyncModel.root, "A"), in: &model[keyPath: one])
    try SyncModel.move(file, to: SyncPlace(inner, "here"), in: &model[keyPath: one])
    try SyncModel.move(file, to: SyncPlace(target, "there"), in: &model[keyPath: other])
    model[keyPath: other].removeSubtree(old)
    _ = try settle(&model)
    #expect(model.complaint() == nil)
  }

  @Test("an edit beats a deletion, whichever side did which", arguments: [true, false])
  func editBeatsDeletion(editIsLocal: Bool) throws {
    var (model, folder, files) = folder(files: 2)
    let edited: WritableKeyPath<SyncModel, SyncTree> = editIsLocal ? \.local : \.remote
    let deleted: WritableKeyPath<SyncModel, SyncTree> = editIsLocal ? \.remote : \.local
    model[keyPath: edited].update(files[0]) { $0.content = "edited" }
    model[keyPath: deleted].removeSubtree(folder)
    _ = try settle(&model)
    #expect(model.complaint() == nil)
    #expect(model.remote.sortedIDs.compactMap { model.remote[$0]?.content?.text }.sorted() == ["", "edited"])
  }

  @Test("a file that is being written is left alone, and so is the folder that is to be deleted around it")
  func unsettledIsLeftAlone() throws {
    var (model, folder, files) = folder(files: 2)
    model.local.update(files[0]) { $0.content = nil }
    model.remote.removeSubtree(folder)
    _ = try settle(&model)
    #expect(model.local[files[0]] != nil)
    #expect(model.local[files[1]] == nil)
    #expect(model.local[folder] != nil)
  }

  @Test("a folder deleted there stays when there is something in it here that is not synced")
  func untrackedKeepsItsFolder() throws {
    var (model, folder, _) = folder(files: 1)
    model.local.update(folder) { $0.holdsUntracked = true }
    model.remote.removeSubtree(folder)
    _ = try settle(&model)
    #expect(model.local.child(SyncPlace(SyncModel.root, "photos")) != nil)
    #expect(model.complaint() == nil)
  }

  @Test("what is set aside in the cluster is another device's to move, until that one has abandoned it", arguments: [true, false])
  func abandoned(isHere: Bool) throws {
    var (model, folder, files) = folder(files: 1)
    guard let entry = files[0].entry else { return }
    try SyncModel.move(files[0], to: SyncPlace(SyncModel.root, "\(ReservedName.prefix)aside-\(entry.hex)"), in: &model.remote)
    if !isHere {
      model.local.remove(files[0])
      model.synced.remove(files[0])
    }
    #expect(model.plan(abandoned: []).isEmpty)
    let place = SyncPlace(isHere ? folder : SyncModel.root, isHere ? "0.jpg" : model.naming.name(for: "recovered", attempt: 0))
    #expect(model.plan(abandoned: [entry]) == [.moveRemote(entry, to: place)])
    _ = try settle(&model)
    #expect(model.complaint() == nil)
  }

  @Test(
    "the deletion breaker stops at more than half and at least a hundred",
    arguments: [(1000, 99, false), (1000, 500, false), (1000, 501, true), (150, 100, true), (100, 100, true), (99, 99, false)])
  func breaker(synced: Int, gone: Int, stops: Bool) { #expect(DeletionBreaker.stops(synced: synced, gone: gone) == stops) }
}
