package import BlockModel

/// What an operator may set about a gateway.
package struct GatewayConfiguration: Sendable {
  /// How long a signed URL is good for. Garbage collection waits at least this long, so every gateway of a cluster has the same.
  package var urlLifetime: Duration = .seconds(30 * 60)
  /// The zone that this gateway stands in: its own reads prefer the nodes there. Nil has no preference.
  package var zone: ZoneID?
  /// Base URL under which clients reach this gateway, without a trailing slash, for the API's description; nil leaves it out.
  package var publicAddress: String?
  /// Buffers of 4 MiB for raw content; each download holds at most three at a time.
  package var rawBuffers = 24
  /// Long-polls and event streams that may wait at once; one more is told to come back later.
  package var waitingLimit = 2048
  /// How often the feed is asked on behalf of those who wait while the coordinator gives no hints.
  package var changePollInterval: Duration = .milliseconds(500)
  /// A stream on which nothing changed for so long is ended: its client polls from then on, until something changes again.
  package var streamIdleLimit: Duration = .seconds(15 * 60)
  /// How long a client that polls is told to wait between two questions.
  package var pollSeconds = 60

  package init() {}
}
