/// How often the whole folder is read although no hint asks for it.
///
/// What is watched is read again seldom, as hints are lost seldom, and the larger the folder the more seldom, so that a resting agent uses
/// a two-thousandth of a core for it; more only where a scan takes so long that an hour is not enough for that.
package struct RescanPace: Sendable {
  package static let slowest = Duration.seconds(3600)
  private static let watched = Duration.seconds(600)
  private static let unwatched = Duration.seconds(60)

  package init() {}

  /// How long the last round that read all of it took.
  package var lastScan = Duration.zero

  /// - Parameter isWatched: whether hints come of all folders.
  package func interval(isWatched: Bool) -> Duration {
    isWatched ? min(max(Self.watched, lastScan * 2000), Self.slowest) : min(max(Self.unwatched, lastScan * 50), Self.slowest)
  }
}
