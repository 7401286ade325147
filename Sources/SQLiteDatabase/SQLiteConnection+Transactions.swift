extension SQLiteConnection {
  /// Runs `body` in a transaction that holds the write lock from its start; rolls back when it throws.
  package func write<T>(_ body: () throws -> T) throws -> T {
    try run("BEGIN IMMEDIATE")
    do {
      let value = try body()
      try run("COMMIT")
      return value
    } catch {
      rollBack()
      throw error
    }
  }

  /// Runs `body` on one unchanging state of the database.
  package func read<T>(_ body: () throws -> T) throws -> T {
    try run("BEGIN")
    // Nothing was written, so ending the transaction either way is the same.
    defer { rollBack() }
    return try body()
  }

  /// Runs `body` so that it can be undone alone inside of the transaction around it: what it wrote goes when it throws.
  package func savepoint<T>(_ body: () throws -> T) throws -> T {
    try run("SAVEPOINT part")
    do {
      let value = try body()
      try run("RELEASE part")
      return value
    } catch {
      // After a full disk SQLite may have ended the whole transaction; then there is nothing left to undo here.
      if isInTransaction {
        try run("ROLLBACK TO part")
        try run("RELEASE part")
      }
      throw error
    }
  }

  /// Ends the open transaction, if any, without its changes.
  package func rollBack() {
    guard isInTransaction else { return }
    // A rollback that fails leaves the transaction to be rolled back by the journal when the connection closes.
    _ = try? run("ROLLBACK")
  }
}
