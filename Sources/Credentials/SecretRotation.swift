internal import Platform

/// How a cluster's secret is replaced while the cluster works, in three steps with a distribution of key files after each:
///
///     one epoch ── begin ──▶ two, the old one signs ── advance ──▶ two, the new one signs ── finish ──▶ the new one alone
///
/// What must hold: before an epoch signs, whoever verifies has it (that is what lies between begin and advance); before an epoch goes, what
/// was signed under it has expired (between advance and finish); no step can be made twice or left out.
extension ClusterSecret {
  /// Adds a fresh epoch, which is believed and does not sign yet.
  /// - Throws: `.keyFile` while another rotation is under way.
  package func begun() throws(CredentialError) -> ClusterSecret {
    guard keys.epochs.count == 1 else { throw CredentialError(.keyFile, "a rotation is under way: advance or finish it first") }
    guard keys.current.epoch < .max else { throw CredentialError(.keyFile, "there is no epoch after this one") }
    let fresh = (epoch: keys.current.epoch + 1, key: SecretBytes(randomCount: KeyDerivation.keyBytes))
    return ClusterSecret(keys: try EpochKeys(keys.epochs + [fresh], current: keys.current.epoch), formerJournalKeys: formerJournalKeys)
  }

  /// Has the new epoch sign.
  /// - Throws: `.keyFile` when none waits for it.
  package func advanced() throws(CredentialError) -> ClusterSecret {
    guard let newest = keys.epochs.last, newest.epoch != keys.current.epoch else {
      throw CredentialError(.keyFile, "no new epoch waits: begin a rotation first")
    }
    return ClusterSecret(keys: try EpochKeys(keys.epochs, current: newest.epoch), formerJournalKeys: formerJournalKeys)
  }

  /// Takes the old epoch out. Nothing that was signed under it opens anything any more. Its journal key stays for a while: a restore may
  /// meet what was sealed under it.
  /// - Throws: `.keyFile` when the old one still signs, or there is none.
  package func finished() throws(CredentialError) -> ClusterSecret {
    guard keys.epochs.count > 1, keys.current.epoch == keys.epochs.last?.epoch else {
      throw CredentialError(.keyFile, "there is no old epoch to take out: begin and advance a rotation first")
    }
    return ClusterSecret(
      keys: try EpochKeys([keys.current]), formerJournalKeys: journalKeys.epochs.filter { $0.epoch != keys.current.epoch })
  }
}
