internal import CSQLite

extension SQLiteConnection {
  /// Copies the database as it is at one moment to `destination`, while others read and write; what is there is replaced.
  ///
  /// - Parameter pagesPerStep: pages of 4 KiB copied between two looks at `mayGoOn`.
  package func backUp(to destination: String, pagesPerStep: Int32 = 1024, mayGoOn: () -> Bool = { true }) throws(SQLiteError) {
    let target = try SQLiteConnection(destination)
    guard let backup = sqlite3_backup_init(target.handle, "main", handle, "main") else {
      throw SQLiteError(result: SQLITE_ERROR, connection: target.handle, doing: "begin a backup")
    }
    var result = SQLITE_OK
    while result == SQLITE_OK || result == SQLITE_BUSY || result == SQLITE_LOCKED {
      guard mayGoOn() else {
        sqlite3_backup_finish(backup)
        throw SQLiteError(.other, "The backup was stopped.")
      }
      result = sqlite3_backup_step(backup, pagesPerStep)
      if result == SQLITE_BUSY || result == SQLITE_LOCKED { sqlite3_sleep(10) }
    }
    let finished = sqlite3_backup_finish(backup)
    guard result == SQLITE_DONE, finished == SQLITE_OK else {
      throw SQLiteError(result: finished == SQLITE_OK ? result : finished, connection: target.handle, doing: "back up to \(destination)")
    }
  }

  /// What SQLite's own check says is wrong with the file; empty when nothing is. Reads all of it.
  package func integrityFaults() throws -> [String] {
    try all("PRAGMA integrity_check(100)") { $0.text(0) }.filter { $0 != "ok" }
  }
}
