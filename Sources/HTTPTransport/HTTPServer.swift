internal import Synchronization

/// An HTTP/1.1 server over libmicrohttpd.
///
/// What must hold: nothing that may block runs on a network thread; whatever waits (a handler, a buffer, a piece of a stream) has its
/// connection suspended meanwhile. Every connection costs at most its own buffer, a small body's 32 KiB, and what its handler holds.
///
/// Refusals reach the peer: a refused body is read and dropped up to the drain limit before the answer, or the answer goes out at once
/// and the socket is read on for a while after it. Three cases remain. A peer that shuts down its sending side before it has the response
/// is taken to have gone. A handler that refuses in the middle of a body of which more than the drain limit is still to come breaks the
/// connection. And what the library itself cannot parse (a head beyond the connection's memory, a line without a colon, an unknown
/// version) it answers itself, with the right status but without a problem document.
package final class HTTPServer: Sendable {
  private struct Running {
    let core: ServerCore
    let daemons: ServerDaemons
    let listener: Listener
    let watch: PeerWatch
    let threads: [NativeThread]
  }

  private enum State {
    case fresh
    case running(Running)
    case stopped
  }

  package let configuration: Configuration
  private let router: HTTPRouter
  private let state = Mutex(State.fresh)
  private let counts = Mutex<ServerCore?>(nil)
  private let boundPort = Atomic<Int>(0)

  package init(configuration: Configuration, router: HTTPRouter) {
    self.configuration = configuration
    self.router = router
  }

  deinit {
    // Somebody forgot to shut down; the threads must not outlive what they serve.
    if case .running(let running) = state.withLock({ $0 }) { _ = NativeThread(name: "http-stop") { HTTPServer.stop(running) } }
  }

  /// The port that is bound, once started.
  package var port: Int { boundPort.load(ordering: .acquiring) }

  /// Binds, and serves from its return on. Once for each server.
  package func start() throws(HTTPServerError) {
    let listener = try Listener(address: configuration.address, port: configuration.port)
    let wake = WakePipe()
    let lingering = LingeringSockets(
      drainLimit: configuration.drainLimit, minimumRate: configuration.minimumRate, grace: configuration.minimumRateGrace, wake: wake)
    let core = ServerCore(configuration: configuration, router: router, lingering: lingering)
    let daemons: ServerDaemons
    do throws(HTTPServerError) {
      daemons = ServerDaemons(try ServerDaemon(core: core, tls: configuration.tls))
    } catch {
      listener.closeSocket()
      throw error
    }
    let watch = PeerWatch(core: core, lingering: lingering, wake: wake)
    let threads = [
      NativeThread(name: "http-accept") { listener.run(core: core, daemons: daemons) },
      NativeThread(name: "http-watch") { watch.run() },
    ]
    let running = Running(core: core, daemons: daemons, listener: listener, watch: watch, threads: threads)
    counts.withLock { $0 = core }
    boundPort.store(listener.port, ordering: .releasing)
    state.withLock { state in
      guard case .fresh = state else { preconditionFailure("a server starts once") }
      state = .running(running)
    }
  }

  /// Shows new connections this certificate from now on; those that are open go on under the one they began with.
  ///
  /// Whether clients are asked for certificates stays as it was at the start.
  /// - Throws: `.invalidCertificate`, and the one before stays in use; `.cannotStart` when it was replaced too often in one life.
  package func replaceTLS(_ tls: Configuration.TLS) throws(HTTPServerError) {
    let running = state.withLock { state -> Running? in
      if case .running(let running) = state { running } else { nil }
    }
    guard let running else { return }
    precondition(configuration.tls != nil, "a plain server stays plain")
    let daemon = try ServerDaemon(core: running.core, tls: tls)
    guard running.daemons.add(daemon) else {
      daemon.stop()
      throw HTTPServerError(code: .cannotStart, message: "The certificate was replaced too often; restart the daemon.")
    }
  }

  /// Stops: accepts nothing more, lets running requests finish for at most `grace`, then closes what is left.
  ///
  /// Idle connections and event streams end at once. Cancelling the calling task ends the grace. A second call returns at once.
  package func shutdown(grace: Duration) async {
    let running = state.withLock { state -> Running? in
      guard case .running(let running) = state else { return nil }
      state = .stopped
      return running
    }
    guard let running else { return }
    running.listener.stop()
    running.core.drain()
    let deadline = monotonicNow() + grace.nanoseconds
    while running.core.connectionCount > 0, monotonicNow() < deadline, !Task.isCancelled {
      try? await Task.sleep(for: .milliseconds(5))
    }
    await NativeThread.run(name: "http-stop") { HTTPServer.stop(running) }
  }

  private static func stop(_ running: Running) {
    running.listener.stop()
    running.threads[0].join()
    running.core.drain()
    running.core.stop()
    running.daemons.stop()
    running.watch.stop()
    running.threads[1].join()
  }

  /// Counts since the start; they stay readable after the end.
  package var counters: HTTPServerCounters {
    let core = counts.withLock { $0 }
    guard let core else {
      return HTTPServerCounters(
        activeConnections: 0, activeRequests: 0, acceptedConnections: 0, refusedConnections: 0, timedOutConnections: 0, requests: 0,
        bodyBytesIn: 0, bodyBytesOut: 0)
    }
    let counters = core.counters
    return HTTPServerCounters(
      activeConnections: core.connectionCount, activeRequests: counters.activeRequests.load(ordering: .relaxed),
      acceptedConnections: counters.accepted.load(ordering: .relaxed), refusedConnections: counters.refused.load(ordering: .relaxed),
      timedOutConnections: counters.timedOut.load(ordering: .relaxed), requests: counters.requests.load(ordering: .relaxed),
      bodyBytesIn: counters.bodyBytesIn.load(ordering: .relaxed), bodyBytesOut: counters.bodyBytesOut.load(ordering: .relaxed))
  }
}
