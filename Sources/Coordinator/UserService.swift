internal import BlockModel
package import Credentials
package import MetadataStore
package import Platform
internal import ServiceAPI

/// The users' side of the coordinator: authenticates the token that comes with each operation and hands the operation to the store.
///
/// What must hold: nothing runs for a token that is unknown, expired or revoked; receipts reach the store only with their signature
/// verified.
package final class UserService: Sendable {
  package struct Options: Sendable {
    /// Bytes that a new user may store; nil is unlimited.
    package var defaultQuota: Int64?
    package init() {}
  }

  let store: any MetadataStore
  let receipts: ReceiptVerifier
  let time: any TimeSource
  let options: Options
  let passwords = UserPasswords()
  let tokens = UserTokenCache()
  let logins = UserLoginLimiter()
  /// By user: of what many ask at once, each user's part is done in turn.
  private let turns = FairGate<Int64>(limit: 64, waitingOfOne: 1024)
  private let logger: Logger

  package init(
    store: any MetadataStore, receipts: ReceiptVerifier, time: any TimeSource = SystemTime(), options: Options = Options(),
    logger: Logger = .none
  ) {
    self.store = store
    self.receipts = receipts
    self.time = time
    self.options = options
    self.logger = logger
  }

  package func register(on dispatcher: ControlDispatcher) {
    registerAccounts(on: dispatcher)
    registerUploads(on: dispatcher)
    registerTree(on: dispatcher)
    registerRevisions(on: dispatcher)
    registerShares(on: dispatcher)
    registerLinks(on: dispatcher)
    registerKeys(on: dispatcher)
    registerAdministration(on: dispatcher)
  }

  /// Ends overdue sessions and finishes large deletions, until the task is cancelled.
  package func keepTidy(every pause: Duration = .seconds(5)) async {
    while !Task.isCancelled {
      var didWork = false
      do { didWork = try await store.expire() > 0 } catch {
        logger.warning("Tidying up the metadata failed", ["reason": .string(error.message)])
      }
      // What is left of a large deletion goes on soon, with air between for those who wait.
      try? await Task.sleep(for: didWork ? .milliseconds(20) : pause)
    }
  }

  // MARK: - Doors

  /// An operation for nobody in particular.
  func open<Op: ControlOperation>(
    _ type: Op.Type, on dispatcher: ControlDispatcher, encode: (@Sendable (Op.Response) -> [UInt8])? = nil,
    _ body: @escaping @Sendable (Op, ControlContext) async throws -> Op.Response
  ) {
    dispatcher.register(type, encode: encode) { operation, context async throws(Problem) in
      do { return try await body(operation, context) } catch { throw Problem(mapping: error) }
    }
  }

  /// An operation for the user whose token comes along.
  func user<Op: ControlOperation>(
    _ type: Op.Type, on dispatcher: ControlDispatcher, encode: (@Sendable (Op.Response) -> [UInt8])? = nil,
    _ body: @escaping @Sendable (Op, Principal, ControlContext) async throws -> Op.Response
  ) {
    open(type, on: dispatcher, encode: encode) { operation, context in
      let principal = try await self.authenticate(context)
      do {
        return try await self.turns.run(principal.userNumber) { try await body(operation, principal, context) }
      } catch is FairGate<Int64>.Refused {
        throw Problem(.busy, "Too many requests of yours wait already: send fewer at once.", retryAfter: 1)
      }
    }
  }

  private func authenticate(_ context: ControlContext) async throws -> Principal {
    guard let token = context.userToken, let hash = UserToken.hash(token) else { throw UserService.unauthenticated }
    switch tokens.find(hash, at: time.monotonic()) {
    case .known(let principal):
      guard principal.expiresAt > time.wall() else { throw UserService.unauthenticated }
      return principal
    case .unknown(let generation):
      guard let principal = try await store.principal(tokenHash: hash), principal.expiresAt > time.wall() else {
        throw UserService.unauthenticated
      }
      if principal.lastSeenAt.map({ time.wall() - $0 > .seconds(3600) }) ?? true {
        // For people's lists only: a full database has to go on answering those who read.
        try? await store.noteSeen(principal.device)
      }
      tokens.remember(principal, hash, generation: generation, at: time.monotonic())
      return principal
    }
  }

  static let unauthenticated = Problem(.unauthenticated, "This token is not valid, or no longer: log in again.")

  /// The caller's idempotency key, bound to what is asked; nil without one.
  func once<Op: ControlOperation>(_ operation: Op, _ context: ControlContext) throws(Problem) -> IdempotencyKey? {
    guard let key = try checkedKey(context) else { return nil }
    // The description of these documents names every field in the order of declaration; JSON's order of keys differs from run to run.
    // Where a request lists hundreds of files, it says by itself what it asks for, at a tenth of the cost.
    let text = (operation as? any CanonicallyDescribed)?.canonicalBytes ?? Array(String(reflecting: operation).utf8)
    return IdempotencyKey(key: key, operation: Op.name, requestHash: SHA256Hasher.hash(text))
  }
}

extension UserService {
  func checkedKey(_ context: ControlContext) throws(Problem) -> String? {
    guard let key = context.idempotencyKey else { return nil }
    guard (1...IdempotencyKey.longest).contains(key.utf8.count) else {
      throw Problem(.malformed, "An Idempotency-Key has 1 to \(IdempotencyKey.longest) characters.")
    }
    return key
  }
}

extension Problem {
  /// What a client is told of whatever an operation threw.
  init(mapping error: any Error) {
    switch error {
    case let problem as Problem: self = problem
    case let error as MetadataError: self.init(error)
    default: self.init(.internalError, "The coordinator met a fault of its own: \(error)")
    }
  }

  private init(_ error: MetadataError) {
    switch error.code {
    case .refused: self = error.problem ?? Problem(.internalError, error.message)
    case .conflict: self.init(.conflict, error.message)
    case .unavailable: self.init(.unavailable, error.message, retryAfter: 1)
    case .full: self.init(.full, error.message)
    case .unusable: self.init(.internalError, error.message)
    }
  }
}
