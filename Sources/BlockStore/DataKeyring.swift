package import Platform
internal import Synchronization

/// The cluster's data keys, by epoch. They wrap the records' own keys; new records use the epoch that the coordinator named last, so that a
/// new key is with every node before the first record needs it.
///
/// What must hold: a key is durable before anything is sealed under it, the same epoch never means two keys, and on disk the keys
/// lie wrapped by the node's master key only.
package final class DataKeyring: Sendable {
  private struct State {
    /// Sorted by epoch; clusters have a handful.
    var keys: [(epoch: UInt32, key: SecretBytes)] = []
    var master: MasterKey?
    /// The epoch that was named; nil for the highest.
    var named: UInt32?

    var current: (epoch: UInt32, key: SecretBytes)? {
      guard let named else { return keys.last }
      return keys.first { $0.epoch == named } ?? keys.last
    }
  }

  private static let checkLabel = "cairn data key check v1"
  private let state: Mutex<State>
  /// Where the keys are kept; nil for a ring in memory.
  private let path: String?

  /// A ring that lives in memory only.
  package init(keys: [(epoch: UInt32, key: SecretBytes)] = []) {
    precondition(keys.allSatisfy { $0.epoch > 0 && $0.key.count == KeyWrap.keySize }, "data keys have 32 bytes and epochs above 0")
    path = nil
    state = Mutex(State(keys: keys.sorted { $0.epoch < $1.epoch }))
  }

  private init(path: String, state: State) {
    self.path = path
    self.state = Mutex(state)
  }

  /// The ring kept at `path`, an empty one when there is no file. Blocks.
  ///
  /// - Throws: `.wrongKey` when the keys there were wrapped by another master key, `.malformed` or `.newerFormat` for a file that is no
  ///   key file of this version, `.io`.
  package static func open(path: String, master: MasterKey) throws(BlockStoreError) -> DataKeyring {
    let wrapped = try DataKeyFile.load(path)
    var keys: [(epoch: UInt32, key: SecretBytes)] = []
    for entry in wrapped {
      do throws(CryptoError) {
        keys.append((entry.epoch, SecretBytes(try KeyWrap.unwrap(entry.wrapped, with: master.bytes.exposed))))
      } catch {
        throw BlockStoreError(.wrongKey, "The master key does not open \(path): give the key that this node's data keys were wrapped with.")
      }
    }
    return DataKeyring(path: path, state: State(keys: keys, master: master))
  }

  /// The key that new records are sealed under: the one that was named, the one of the highest epoch before any was.
  package var current: (epoch: UInt32, key: SecretBytes)? { state.withLock { $0.current } }

  /// Names the epoch that new records are sealed under; one whose key is not here changes nothing.
  package func use(_ epoch: UInt32) {
    state.withLock { state in
      if state.keys.contains(where: { $0.epoch == epoch }) { state.named = epoch }
    }
  }

  /// The epochs that have a key here, in order.
  package var epochs: [UInt32] { state.withLock { $0.keys.map(\.epoch) } }

  package func key(_ epoch: UInt32) -> SecretBytes? {
    state.withLock { state in state.keys.first { $0.epoch == epoch }?.key }
  }

  /// Adds a key, durably before it is used. Adding the same again changes nothing. Blocks.
  ///
  /// - Throws: `.wrongKey` when the epoch has another key here, `.malformed` for an epoch of 0 or a key that has not 32 bytes, `.io`.
  package func add(epoch: UInt32, key: SecretBytes) throws(BlockStoreError) {
    guard epoch > 0, key.count == KeyWrap.keySize else {
      throw BlockStoreError(.malformed, "A data key has 32 bytes and an epoch above 0.")
    }
    let outcome = state.withLock { state -> Result<Void, BlockStoreError> in
      if let known = state.keys.first(where: { $0.epoch == epoch })?.key {
        guard constantTimeEqual(known.exposed, key.exposed) else {
          return .failure(BlockStoreError(.wrongKey, "Epoch \(epoch) has another data key on this node."))
        }
        return .success(())
      }
      var next = state.keys + [(epoch, key)]
      next.sort { $0.epoch < $1.epoch }
      // The lock is held over the write on purpose: keys are added once in months, and two writers must not lose each other's.
      return Result { () throws(BlockStoreError) in
        if let path, let master = state.master { try DataKeyFile.save(next, to: path, master: master) }
        state.keys = next
      }
    }
    try outcome.get()
  }

  /// Wraps all keys anew under another master key. Records stay as they are. Blocks.
  package func changeMaster(to master: MasterKey) throws(BlockStoreError) {
    let outcome = state.withLock { state in
      Result { () throws(BlockStoreError) in
        if let path { try DataKeyFile.save(state.keys, to: path, master: master) }
        state.master = master
      }
    }
    try outcome.get()
  }

  /// 32 bytes that are equal on two nodes exactly when their keys of the epoch are, and that tell nothing else of the key.
  package func checkValue(_ epoch: UInt32) -> [UInt8]? {
    key(epoch).map { HMACSHA256.authenticate(key: $0.exposed, message: DataKeyring.checkLabel) }
  }

  /// Wraps a record's key with the current data key.
  func wrap(_ recordKey: SecretBytes) throws(BlockStoreError) -> (epoch: UInt32, wrapped: [UInt8]) {
    guard let current else { throw BlockStoreError(.wrongKey, "This node has no data key yet, so it cannot encrypt.") }
    do throws(CryptoError) {
      return (current.epoch, try KeyWrap.wrap(recordKey.exposed, with: current.key.exposed))
    } catch {
      throw BlockStoreError(.io, "A record's key could not be wrapped: \(error)")
    }
  }

  func unwrap(_ wrapped: [UInt8], epoch: UInt32) throws(BlockStoreError) -> SecretBytes {
    guard let key = key(epoch) else { throw BlockStoreError(.wrongKey, "This node has no data key of epoch \(epoch).") }
    do throws(CryptoError) {
      return SecretBytes(try KeyWrap.unwrap(wrapped, with: key.exposed))
    } catch {
      throw BlockStoreError(.wrongKey, "The data key of epoch \(epoch) does not open the record's key.")
    }
  }
}
