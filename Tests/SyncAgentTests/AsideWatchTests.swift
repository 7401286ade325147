import BlockModel
import ClusterLogic
import SyncAgent
import Testing

@Suite("What is set aside in the cluster")
struct AsideWatchTests {
  @Test("it is abandoned once its time is over, and the time begins again when somebody changed it")
  func patience() {
    let root = SyncNodeID.entry(EntryID(high: 0, low: 1))
    let entry = EntryID(high: 0, low: 2)
    var tree = SyncTree(root: root)
    tree.insert(.entry(entry), SyncNode(SyncPlace(root, "\(ReservedName.prefix)aside-\(entry.hex)"), .file, version: 1))
    tree.insert(.entry(EntryID(high: 0, low: 3)), SyncNode(SyncPlace(root, "a"), .file, version: 1))
    let begin = MonotonicTime(nanoseconds: 0)
    var watch = AsideWatch()
    func look(after duration: Duration) -> [Duration?] {
      let (abandoned, wakeIn) = watch.look(at: tree, now: begin + duration)
      return [abandoned == [entry] ? .zero : nil, wakeIn]
    }
    #expect(look(after: .zero) == [nil, AsideWatch.patience])
    #expect(look(after: AsideWatch.patience - .seconds(1)) == [nil, .seconds(1)])
    #expect(look(after: AsideWatch.patience) == [.zero, nil])
    tree.update(.entry(entry)) { $0.version = 2 }
    #expect(look(after: AsideWatch.patience) == [nil, AsideWatch.patience])
    tree.update(.entry(entry)) { $0.place.name = "b" }
    #expect(look(after: AsideWatch.patience * 2) == [nil, nil])
    tree.update(.entry(entry)) { $0.place.name = "\(ReservedName.prefix)aside-\(entry.hex)" }
    #expect(look(after: AsideWatch.patience * 3) == [nil, AsideWatch.patience])
  }
}
