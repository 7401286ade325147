internal import BlockModel
internal import ClusterLogic

/// The trees that a plan was made from, and where things are in them.
struct SyncRun {
  let local: SyncTree
  let remote: SyncTree
  /// What was last synced, as the plan saw it.
  let synced: SyncTree
  /// The remote tree under the names that the cluster knows; `remote` is without what is left out, and has names that the folder can hold.
  let cluster: SyncTree
  let places: ScanPlaces
  let scan: FolderScan
  /// Done and durable as soon as the folder is synced: to be noted then.
  var notes: [SyncChange] = []
  var touchedFolder = false

  init(local: SyncTree, remote: SyncTree, synced: SyncTree, cluster: SyncTree, places: ScanPlaces, scan: FolderScan) {
    (self.local, self.remote, self.synced, self.cluster) = (local, remote, synced, cluster)
    (self.places, self.scan) = (places, scan)
  }

  func item(_ id: SyncNodeID) throws(SyncError) -> FolderItem {
    guard let place = places[id] else { throw SyncError(.stale, "\(id) is not here any more.") }
    return scan.found[place]
  }

  func identity(_ id: SyncNodeID) -> LocalIdentity? { places[id].map { scan.found[$0].identity } }

  func path(_ id: SyncNodeID) throws(SyncError) -> String {
    guard let place = places[id] else { throw SyncError(.stale, "\(id) is not here any more.") }
    return scan.path(place)
  }

  /// Where something at a place of the tree is in the local folder.
  func path(of place: SyncPlace) throws(SyncError) -> String {
    if place.parent == local.root { return place.name }
    return FolderScanner.join(try path(place.parent), place.name)
  }

  func remotePath(of place: SyncPlace, below root: String) throws(SyncError) -> String {
    guard let names = cluster.names(of: place) else { throw SyncError(.stale, "The folder of \(place.name) is not there any more.") }
    return (root == "/" ? "" : root) + names.map { "/" + $0 }.joined()
  }

  /// What a failure of the operation is remembered by.
  func key(_ operation: SyncOperation) -> String? {
    switch operation.subject {
    case .entry(let id): id.hex
    case .new(let place): "/" + scan.path(place)
    case nil: nil
    }
  }

  func here(_ id: SyncNodeID) throws(SyncError) -> SyncNode {
    guard let node = local[id] else { throw SyncError(.stale, "\(id) is not here any more.") }
    return node
  }

  func there(_ id: EntryID) throws(SyncError) -> SyncNode {
    guard let node = remote[.entry(id)] else { throw SyncError(.stale, "\(id.hex) is not there any more.") }
    return node
  }
}

extension SyncOperation {
  /// What waits when it fails.
  var subject: SyncNodeID? {
    switch self {
    case .accept, .bind, .forget, .unbind: nil
    case .moveLocal(let id, _), .moveRemote(let id, _), .setAsideLocal(let id, _), .setAsideRemote(let id, _), .keepBoth(let id, _),
      .makeLocalFolder(let id), .download(let id), .setLocalAttributes(let id), .setRemoteAttributes(let id):
      .entry(id)
    case .renameLocal(let id, _), .upload(let id): id
    case .makeRemoteFolder(let number): .new(number)
    case .deleteLocal(let ids), .deleteRemote(let ids): ids.last.map { .entry($0) }
    }
  }
}
