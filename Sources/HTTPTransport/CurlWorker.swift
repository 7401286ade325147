internal import CCurl
internal import Glibc
internal import Platform
internal import Synchronization

/// A thread that drives transfers with libcurl's multi interface, told by epoll which of them can go on: what a step costs does not grow
/// with the transfers under way.
///
/// What must hold: only the thread touches the multi handle and the easy handles; every transfer that was submitted is completed exactly
/// once, also when the worker stops.
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
    /// The thread will look no more.
    var hasEnded = false
  }

  private let configuration: HTTPClient.Configuration
  private let inbox = Mutex(Inbox())
  private let readiness = ReadinessQueue()

  /// libcurl's global state, once a process, before any thread uses it.
  static func prepareLibrary() { _ = libraryIsReady }
  private static let libraryIsReady: Bool = {
    let code = curl_global_init(Int(CURL_GLOBAL_DEFAULT))
    precondition(code == CURLE_OK, "libcurl cannot be used on this machine")
    return true
  }()

  init(configuration: HTTPClient.Configuration, name: String) {
    self.configuration = configuration
    _ = NativeThread(name: name) { [self] in Loop(worker: self).run() }
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
      wake(&inbox)
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
      guard !inbox.hasEnded else { return }
      change(&inbox)
      wake(&inbox)
    }
  }

  private func wake(_ inbox: inout Inbox) {
    guard !inbox.isAwake else { return }
    inbox.isAwake = true
    readiness.wake()
  }

  private static let cancelled = HTTPClientError(code: .cancelled, message: "The request was cancelled.")
  private static let shutDown = HTTPClientError(code: .shutDown, message: "The HTTP client was shut down.")

  // MARK: The thread

  private final class Loop {
    let worker: CurlWorker
    let multi: UnsafeMutableRawPointer
    var running: [ObjectIdentifier: (transfer: CurlTransfer, easy: UnsafeMutableRawPointer)] = [:]
    /// Easy handles for reuse: making one costs more than resetting it.
    var spare: [UnsafeMutableRawPointer] = []
    /// Paused uploads whose answer is a refusal, noted while libcurl was at work.
    var refused: [CurlTransfer] = []
    var nextStallCheck = monotonicNow()
    /// When libcurl wants to be called; nil when it waits for sockets alone.
    var due: Int64?

    init(worker: CurlWorker) {
      guard let multi = curl_multi_init() else { preconditionFailure("no memory for libcurl") }
      self.worker = worker
      self.multi = multi
      cairn_curl_multi_set_long(multi, CURLMOPT_MAX_HOST_CONNECTIONS, worker.configuration.connectionsPerHost)
      cairn_curl_multi_set_long(multi, CURLMOPT_MAX_TOTAL_CONNECTIONS, worker.configuration.maxConnections)
      cairn_curl_multi_set_long(multi, CURLMOPT_MAXCONNECTS, worker.configuration.maxConnections)
      cairn_curl_multi_observe(multi, Loop.onSocket, Loop.onTimer, Unmanaged.passUnretained(self).toOpaque())
    }

    func run() {
      while takeInbox() {
        callIfDue()
        wait()
        takeMessages()
        wakeRefused()
        checkStalls()
      }
      finish()
    }

    private static let onSocket: cairn_curl_on_socket = { _, socket, what, context, _ in
      guard let context else { return 0 }
      let loop = Unmanaged<Loop>.fromOpaque(context).takeUnretainedValue()
      let events: ReadinessQueue.Events =
        switch what {
        case CURL_POLL_IN: .readable
        case CURL_POLL_OUT: .writable
        case CURL_POLL_INOUT: [.readable, .writable]
        default: []
        }
      loop.worker.readiness.watch(socket, for: events)
      return 0
    }

    private static let onTimer: cairn_curl_on_timer = { _, milliseconds, context in
      guard let context else { return 0 }
      let loop = Unmanaged<Loop>.fromOpaque(context).takeUnretainedValue()
      loop.due = milliseconds < 0 ? nil : monotonicNow() + Int64(milliseconds) * 1_000_000
      return 0
    }

    private func act(_ socket: curl_socket_t, _ events: ReadinessQueue.Events) {
      var mask: Int32 = 0
      if events.contains(.readable) { mask |= CURL_CSELECT_IN }
      if events.contains(.writable) { mask |= CURL_CSELECT_OUT }
      if events.contains(.broken) { mask |= CURL_CSELECT_ERR }
      var active: Int32 = 0
      curl_multi_socket_action(multi, socket, mask, &active)
    }

    private func callIfDue() {
      guard let time = due, monotonicNow() >= time else { return }
      due = nil
      act(cairn_curl_timeout, [])
    }

    /// False when the worker stops.
    private func takeInbox() -> Bool {
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

    private func start(_ transfer: CurlTransfer) {
      if transfer.isCancelled.load(ordering: .acquiring) { return complete(transfer, .failure(CurlWorker.cancelled)) }
      guard let easy = spare.popLast() ?? curl_easy_init() else {
        complete(transfer, .failure(HTTPClientError(code: .broken, message: "No memory for another transfer.")))
        return
      }
      transfer.onRefusalWhilePaused = { [unowned self, unowned transfer] in refused.append(transfer) }
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

    private func takeMessages() {
      var left: Int32 = 0
      while let message = curl_multi_info_read(multi, &left) {
        var code = CURLE_OK
        guard let easy = cairn_curl_done(message, &code), let context = cairn_curl_private(easy) else { continue }
        let transfer = Unmanaged<CurlTransfer>.fromOpaque(context).takeUnretainedValue()
        end(transfer, transfer.outcome(code))
      }
    }

    private func end(_ transfer: CurlTransfer, _ outcome: CurlTransfer.Outcome) {
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
      let waiting = refused
      refused = []
      for transfer in waiting { goOn(transfer) }
    }

    private func checkStalls() {
      let now = monotonicNow()
      guard now >= nextStallCheck else { return }
      nextStallCheck = now + 250_000_000
      for (transfer, easy) in Array(running.values) where transfer.isStalled(easy, now) {
        end(transfer, .failure(HTTPClientError(code: .stalled, message: "The server took or gave almost nothing for too long.")))
      }
    }

    /// Waits for sockets, libcurl's timer or the inbox, and lets libcurl go on with what is ready.
    private func wait() {
      let goesToSleep = worker.inbox.withLock { inbox in
        let isEmpty = inbox.arrived.isEmpty && inbox.cancelled.isEmpty && inbox.unpaused.isEmpty && !inbox.isStopping
        if isEmpty { inbox.isAwake = false }
        return isEmpty
      }
      var pause: Int64 = goesToSleep ? (running.isEmpty ? 60_000 : 250) : 0
      // Rounded up: libcurl that is called early does nothing, and would be called again at once.
      if let due { pause = min(pause, max(0, (due - monotonicNow() + 999_999) / 1_000_000)) }
      worker.readiness.wait(milliseconds: Int32(pause)) { act($0, $1) }
    }

    private func finish() {
      for (transfer, _) in Array(running.values) { end(transfer, .failure(CurlWorker.shutDown)) }
      let late = worker.inbox.withLock { inbox in
        inbox.hasEnded = true
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
