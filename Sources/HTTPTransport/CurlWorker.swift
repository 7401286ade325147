internal import CCurl
internal import Glibc
internal import Platform
internal import Synchronization

/// A thread that drives transfers with libcurl's multi interface.
///
/// What must hold: only the thread touches the multi handle and the easy handles (`curl_multi_wakeup` apart, which may be called from
/// anywhere); every transfer that was submitted is completed exactly once, also when the worker stops.
final class CurlWorker: Sendable {
  private struct Inbox {
    var arrived: [CurlTransfer] = []
    var cancelled: [CurlTransfer] = []
    var unpaused: [CurlTransfer] = []
    var isStopping = false
    /// Transfers that were submitted and not completed.
    var load = 0
    /// Whether the thread will look here before it sleeps.
    var isAwake = false
    var multi: MultiHandle?
  }

  /// `@unchecked`: see the class; the wake-up is made under the inbox's lock, and the thread takes the handle out of it before freeing.
  private struct MultiHandle: @unchecked Sendable {
    let pointer: UnsafeMutableRawPointer
  }

  private let configuration: HTTPClient.Configuration
  private let inbox = Mutex(Inbox())

  /// libcurl's global state, once a process, before any thread uses it.
  static func prepareLibrary() { _ = libraryIsReady }
  private static let libraryIsReady: Bool = {
    let code = curl_global_init(Int(CURL_GLOBAL_DEFAULT))
    precondition(code == CURLE_OK, "libcurl cannot be used on this machine")
    return true
  }()

  init(configuration: HTTPClient.Configuration, name: String) {
    self.configuration = configuration
    guard let multi = curl_multi_init() else { preconditionFailure("no memory for libcurl") }
    inbox.withLock { $0.multi = MultiHandle(pointer: multi) }
    cairn_curl_multi_set_long(multi, CURLMOPT_MAX_HOST_CONNECTIONS, configuration.connectionsPerHost)
    cairn_curl_multi_set_long(multi, CURLMOPT_MAX_TOTAL_CONNECTIONS, configuration.maxConnections)
    cairn_curl_multi_set_long(multi, CURLMOPT_MAXCONNECTS, configuration.maxConnections)
    let handle = MultiHandle(pointer: multi)
    _ = NativeThread(name: name) { [self] in
      var loop = Loop(worker: self, multi: handle.pointer)
      loop.run()
    }
  }

  /// Transfers under way.
  var load: Int { inbox.withLock { $0.load } }

  func submit(_ transfer: CurlTransfer) {
    transfer.unpause = { [weak self, weak transfer] in
      if let transfer { self?.post { $0.unpaused.append(transfer) } }
    }
    let limit = configuration.maxTransfers
    let refusal = inbox.withLock { inbox -> HTTPClientError? in
      if inbox.isStopping { return CurlWorker.shutDown }
      guard inbox.load < limit else {
        return HTTPClientError(code: .cannotConnect, message: "\(limit) transfers are under way or wait; try again later.")
      }
      inbox.load += 1
      inbox.arrived.append(transfer)
      CurlWorker.wake(&inbox)
      return nil
    }
    if let refusal { transfer.complete(.failure(refusal)) }
  }

  func cancel(_ transfer: CurlTransfer) {
    transfer.isCancelled.store(true, ordering: .releasing)
    post { $0.cancelled.append(transfer) }
  }

  func stop() { post { $0.isStopping = true } }

  private func post(_ change: (inout Inbox) -> Void) {
    inbox.withLock { inbox in
      guard inbox.multi != nil else { return }
      change(&inbox)
      CurlWorker.wake(&inbox)
    }
  }

  private static func wake(_ inbox: inout Inbox) {
    guard !inbox.isAwake, let multi = inbox.multi else { return }
    inbox.isAwake = true
    curl_multi_wakeup(multi.pointer)
  }

  private static let cancelled = HTTPClientError(code: .cancelled, message: "The request was cancelled.")
  private static let shutDown = HTTPClientError(code: .shutDown, message: "The HTTP client was shut down.")

  // MARK: The thread

  private struct Loop {
    let worker: CurlWorker
    let multi: UnsafeMutableRawPointer
    var running: [ObjectIdentifier: (transfer: CurlTransfer, easy: UnsafeMutableRawPointer)] = [:]
    /// Easy handles for reuse: making one costs more than resetting it.
    var spare: [UnsafeMutableRawPointer] = []
    var nextStallCheck = monotonicNow()

    mutating func run() {
      while takeInbox() {
        var active: Int32 = 0
        curl_multi_perform(multi, &active)
        takeMessages()
        wakeRefused()
        checkStalls()
        sleep()
      }
      finish()
    }

    /// False when the worker stops.
    private mutating func takeInbox() -> Bool {
      let (arrived, cancelled, unpaused, isStopping) = worker.inbox.withLock { inbox in
        defer {
          inbox.arrived = []
          inbox.cancelled = []
          inbox.unpaused = []
          inbox.isAwake = true
        }
        return (inbox.arrived, inbox.cancelled, inbox.unpaused, inbox.isStopping)
      }
      for transfer in arrived { start(transfer) }
      for transfer in unpaused { goOn(transfer) }
      for transfer in cancelled {
        end(transfer, .failure(CurlWorker.cancelled))
      }
      return !isStopping
    }

    private mutating func start(_ transfer: CurlTransfer) {
      if transfer.isCancelled.load(ordering: .acquiring) { return complete(transfer, .failure(CurlWorker.cancelled)) }
      guard let easy = spare.popLast() ?? curl_easy_init() else {
        complete(transfer, .failure(HTTPClientError(code: .broken, message: "No memory for another transfer.")))
        return
      }
      transfer.prepare(easy)
      running[ObjectIdentifier(transfer)] = (transfer, easy)
      let code = curl_multi_add_handle(multi, easy)
      if code != CURLM_OK {
        end(transfer, .failure(HTTPClientError(code: .broken, message: String(cString: curl_multi_strerror(code)))))
      }
    }

    private func goOn(_ transfer: CurlTransfer) {
      guard let easy = running[ObjectIdentifier(transfer)]?.easy else { return }
      transfer.uploadGoesOn()
      curl_easy_pause(easy, cairn_curl_pause_none)
    }

    private mutating func takeMessages() {
      var left: Int32 = 0
      while let message = curl_multi_info_read(multi, &left) {
        var code = CURLE_OK
        guard let easy = cairn_curl_done(message, &code), let context = cairn_curl_private(easy) else { continue }
        let transfer = Unmanaged<CurlTransfer>.fromOpaque(context).takeUnretainedValue()
        end(transfer, transfer.outcome(code))
      }
    }

    private mutating func end(_ transfer: CurlTransfer, _ outcome: CurlTransfer.Outcome) {
      guard let easy = running.removeValue(forKey: ObjectIdentifier(transfer))?.easy else { return }
      curl_multi_remove_handle(multi, easy)
      curl_easy_reset(easy)
      if spare.count < 64 { spare.append(easy) } else { curl_easy_cleanup(easy) }
      complete(transfer, outcome)
    }

    private func complete(_ transfer: CurlTransfer, _ outcome: CurlTransfer.Outcome) {
      worker.inbox.withLock { $0.load -= 1 }
      transfer.complete(outcome)
    }

    private func wakeRefused() {
      for (transfer, _) in running.values where transfer.isRefusedWhilePaused { goOn(transfer) }
    }

    private mutating func checkStalls() {
      let now = monotonicNow()
      guard now >= nextStallCheck else { return }
      nextStallCheck = now + 250_000_000
      for (transfer, easy) in Array(running.values) where transfer.isStalled(easy, now) {
        end(transfer, .failure(HTTPClientError(code: .stalled, message: "The server took or gave almost nothing for too long.")))
      }
    }

    private func sleep() {
      let goesToSleep = worker.inbox.withLock { inbox in
        let isEmpty = inbox.arrived.isEmpty && inbox.cancelled.isEmpty && inbox.unpaused.isEmpty && !inbox.isStopping
        if isEmpty { inbox.isAwake = false }
        return isEmpty
      }
      if goesToSleep { curl_multi_poll(multi, nil, 0, running.isEmpty ? 60_000 : 250, nil) }
    }

    private mutating func finish() {
      for (transfer, _) in Array(running.values) { end(transfer, .failure(CurlWorker.shutDown)) }
      let late = worker.inbox.withLock { inbox in
        inbox.multi = nil
        inbox.isStopping = true
        defer { inbox.arrived = [] }
        return inbox.arrived
      }
      for transfer in late { complete(transfer, .failure(CurlWorker.shutDown)) }
      for easy in spare { curl_easy_cleanup(easy) }
      curl_multi_cleanup(multi)
    }
  }
}
