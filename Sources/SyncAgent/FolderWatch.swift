internal import Glibc
internal import Platform
internal import Synchronization

/// Hints from the system (inotify) that something in the local folder changed. They may come late, twice, or not at all: the rescan
/// decides.
package final class FolderWatch: Sendable {
  package enum Hint: Sendable, Equatable {
    /// Names in this folder, or what they name.
    case folder(String)
    /// A file that was open for writing was closed.
    case closed(String)
    /// Hints were lost.
    case anything
  }

  /// From inotify(7); Swift does not see macros of this form.
  private enum Mask {
    static let modify: UInt32 = 0x2
    static let attributes: UInt32 = 0x4
    static let closeWrite: UInt32 = 0x8
    static let movedFrom: UInt32 = 0x40
    static let movedTo: UInt32 = 0x80
    static let create: UInt32 = 0x100
    static let delete: UInt32 = 0x200
    static let overflow: UInt32 = 0x4000
    static let ignored: UInt32 = 0x8000
    static let onlyFolders: UInt32 = 0x0100_0000
    static let dontFollow: UInt32 = 0x0200_0000
    static let all = modify | attributes | closeWrite | movedFrom | movedTo | create | delete | onlyFolders
  }

  private struct State {
    var paths: [Int32: String] = [:]
    var watches: [String: Int32] = [:]
    var isExhausted = false
  }

  private let root: String
  private let descriptor: Int32
  /// A pipe: a byte in it ends the thread.
  private let wakeUp: (reading: Int32, writing: Int32)
  private let state = Mutex(State())
  private let report: @Sendable ([Hint]) -> Void
  private let thread: Mutex<WorkerThread?> = Mutex(nil)

  /// - Parameter report: gets hints on a thread of the watch's own.
  package init(root: String, report: @escaping @Sendable ([Hint]) -> Void) throws(SyncError) {
    self.root = root
    self.report = report
    // Non-blocking and closed on exec.
    descriptor = inotify_init1(0o4000 | 0o2000000)
    var ends: [Int32] = [-1, -1]
    let isPiped = pipe(&ends) == 0
    wakeUp = (ends[0], ends[1])
    guard descriptor >= 0, isPiped else { throw SyncError(.refused, Self.remedy("instances")) }
    let (descriptor, wakeUp) = (descriptor, ends[0])
    let worker = WorkerThread.start(name: "folder-watch") { [weak self] in
      while let self, FolderWatch.waitForEvents(descriptor, wakeUp) { self.readEvents() }
    }
    thread.withLock { $0 = worker }
  }

  /// Ends the thread.
  package func stop() {
    var byte: UInt8 = 1
    _ = write(wakeUp.writing, &byte, 1)
    thread.withLock { $0 }?.join()
  }

  deinit {
    close(descriptor)
    close(wakeUp.reading)
    close(wakeUp.writing)
  }

  /// What to do when the system gives no more watches.
  package static func remedy(_ what: String = "watches") -> String {
    "The system allows no more inotify \(what), so changes are found by rescans only; "
      + "raise the limit with “sudo sysctl fs.inotify.max_user_\(what)=\(what == "watches" ? 1_048_576 : 1024)”."
  }

  /// Whether the last update could not watch every folder.
  package var isExhausted: Bool { state.withLock { $0.isExhausted } }

  /// Watches these folders, paths from the root on, and no others. Blocks.
  ///
  /// - Returns: those that were not watched before: what happened in them since they were read went unseen.
  package func update(_ folders: [String]) -> [String] {
    state.withLock { state in
      var fresh: [String] = []
      var current: [String: Int32] = [:]
      state.isExhausted = false
      for path in folders {
        let follow: UInt32 = path.isEmpty ? 0 : Mask.dontFollow
        let watch = inotify_add_watch(descriptor, path.isEmpty ? root : root + "/" + path, Mask.all | follow)
        guard watch >= 0 else {
          if errno == ENOSPC { state.isExhausted = true }
          continue
        }
        if state.watches[path] != watch { fresh.append(path) }
        current[path] = watch
      }
      let kept = Set(current.values)
      for (path, watch) in state.watches where !kept.contains(watch) && current[path] == nil { inotify_rm_watch(descriptor, watch) }
      state.watches = current
      state.paths = Dictionary(current.map { ($1, $0) }) { first, _ in first }
      return fresh
    }
  }

  /// False when the watch is to end.
  private static func waitForEvents(_ descriptor: Int32, _ wakeUp: Int32) -> Bool {
    var descriptors = [
      pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0), pollfd(fd: wakeUp, events: Int16(POLLIN), revents: 0),
    ]
    while poll(&descriptors, 2, -1) < 0 { if errno != EINTR { return false } }
    return descriptors[1].revents == 0
  }

  private func readEvents() {
    var buffer = [UInt8](repeating: 0, count: 64 << 10)
    let count = buffer.withUnsafeMutableBytes { read(descriptor, $0.baseAddress, $0.count) }
    guard count > 0 else { return }
    var hints: [Hint] = []
    buffer.withUnsafeBytes { bytes in
      var place = 0
      // wd, mask, cookie, length, then the name, filled up with zeros.
      while place + 16 <= count {
        let watch = bytes.loadUnaligned(fromByteOffset: place, as: Int32.self)
        let mask = bytes.loadUnaligned(fromByteOffset: place + 4, as: UInt32.self)
        let length = Int(bytes.loadUnaligned(fromByteOffset: place + 12, as: UInt32.self))
        guard place + 16 + length <= count else { break }
        let name = String(decoding: bytes[(place + 16)..<(place + 16 + length)].prefix { $0 != 0 }, as: UTF8.self)
        place += 16 + length
        if let hint = hint(watch, mask, name), hints.last != hint { hints.append(hint) }
      }
    }
    if !hints.isEmpty { report(hints) }
  }

  private func hint(_ watch: Int32, _ mask: UInt32, _ name: String) -> Hint? {
    if mask & Mask.overflow != 0 { return .anything }
    if mask & Mask.ignored != 0 { return nil }
    guard let folder = state.withLock({ $0.paths[watch] }) else { return .anything }
    return mask & (Mask.closeWrite | Mask.movedTo) != 0 ? .closed(FolderScanner.join(folder, name)) : .folder(folder)
  }
}
