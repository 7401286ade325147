internal import BlockModel
internal import CPostgreSQL
internal import Platform
internal import SQLSession

extension PostgreSQLConnection {
  /// Begins to hear what is said on a channel, whose name is lower-case letters and underscores.
  package func listen(_ channel: String) throws(PostgreSQLError) {
    try enqueueOnce("LISTEN \(channel)")
    try finish()
  }

  /// Says something on a channel, in at most 8,000 bytes.
  package func notify(_ channel: String, _ message: String) throws(PostgreSQLError) {
    try enqueue("SELECT pg_notify(?, ?)", [.text(channel), .text(message)])
    try finish()
  }

  /// What was said on the channels listened to; waits for something when there is nothing yet.
  package func notifications(waitingAtMost limit: Duration) throws(PostgreSQLError) -> [String] {
    try hear(waitingAtMost: limit)
    var messages: [String] = []
    while let notification = PQnotifies(handle) {
      if let text = notification.pointee.extra { messages.append(String(cString: text)) }
      PQfreemem(notification)
    }
    return messages
  }
}
