internal import SQLSession

/// Which rows a mutation may change, and so what it waits for where several transactions write at a time.
enum WriteScope: Sendable {
  /// The tree of this number, which is locked before anything is read. Others that turn out to be needed are locked with it, in the order
  /// of their numbers, by beginning anew.
  case namespace(Int64)
  /// Layouts, nodes and what goes with them.
  case cluster
  /// Neither: the statements' own row locks are enough.
  case rows
}

/// Runs mutations, each by itself in effect.
protocol MetadataWriter: Sendable {
  /// Runs `work` in a transaction and answers its result when that is durable. `work` may run several times: only the last counts.
  ///
  /// - Parameter isRepeatable: running it once more after it took effect changes nothing and gives the same answer; then an outcome that
  ///   got lost is found out by doing so. Else it is reported as `.unavailable`.
  func write<T: Sendable>(
    _ scope: WriteScope, isRepeatable: Bool, _ work: @escaping @Sendable (WriteTransaction) throws -> T
  ) async throws(MetadataError) -> T
  /// As `write`, answered when it is durable here, also while the journal cannot take it: for what is learned anew when it is lost.
  func writeHere<T: Sendable>(
    _ scope: WriteScope, isRepeatable: Bool, _ work: @escaping @Sendable (WriteTransaction) throws -> T
  ) async throws(MetadataError) -> T
  /// Refuses what comes from now on and blocks until what waits is done.
  func shutDown()
}

extension MetadataWriter {
  /// An engine that keeps copies by itself has no other way.
  func writeHere<T: Sendable>(
    _ scope: WriteScope, isRepeatable: Bool, _ work: @escaping @Sendable (WriteTransaction) throws -> T
  ) async throws(MetadataError) -> T {
    try await write(scope, isRepeatable: isRepeatable, work)
  }

  func write<T: Sendable>(
    _ scope: WriteScope = .rows, repeatable isRepeatable: Bool = false, work: @escaping @Sendable (WriteTransaction) throws -> T
  ) async throws(MetadataError) -> T {
    try await write(scope, isRepeatable: isRepeatable, work)
  }

  /// A mutation of what the principal owns, or through a share of theirs.
  func write<T: Sendable>(
    for principal: Principal, repeatable isRepeatable: Bool = false, work: @escaping @Sendable (WriteTransaction) throws -> T
  ) async throws(MetadataError) -> T {
    try await write(.namespace(principal.namespaceNumber), isRepeatable: isRepeatable, work)
  }
}

protocol MetadataReader: Sendable {
  /// Runs `work` on one unchanging state, which shows all that was acknowledged before this call.
  func read<T: Sendable>(_ work: @escaping @Sendable (ReadTransaction) throws -> T) async throws(MetadataError) -> T
  func shutDown()
}
