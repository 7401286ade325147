package import BlockModel
package import ClusterLogic

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

  /// How often one token may ask; nil without a limit. A client of ours that is busy with small files stays far below it.
  package var tokenRate: RequestRate? = RequestRate(perSecond: 500, burst: 5000)
  /// How often one address may ask, whatever tokens it shows; many people may stand behind one.
  package var addressRate: RequestRate? = RequestRate(perSecond: 2000, burst: 20_000)
  /// How often one address may try a password or sign somebody up.
  package var attemptRate: RequestRate? = RequestRate(perSecond: 2, burst: 120)
  /// Machines in front of this gateway that say for whom they ask.
  package var trustedProxies = TrustedProxies()
  /// Questions to the coordinator that are under way at once; those that wait are taken from each token in turn.
  package var coordinatorCalls = 48

  package init() {}
}
