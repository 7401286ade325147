internal import BlockModel
internal import ClusterLogic
internal import MetadataStore
internal import Platform
internal import ServiceAPI
internal import Synchronization

/// What operators set of a running cluster.
///
/// What must hold: a value is in the database before it counts; every start takes it from there.
extension ClusterService {
  func registerTuning(on dispatcher: ControlDispatcher) {
    dispatcher.register(OperatorOperations.GetTuning.self) { [self] (_, _) async throws(Problem) in tuningReport() }
    dispatcher.register(OperatorOperations.SetTuning.self) { [self] (request, _) async throws(Problem) in try await set(request) }
  }

  private func set(_ request: OperatorOperations.SetTuning) async throws(Problem) -> TuningReport {
    guard let key = ClusterTuning.Key(rawValue: request.key) else {
      let known = ClusterTuning.Key.allCases.map(\.rawValue).joined(separator: ", ")
      throw Problem(.malformed, "There is no setting “\(request.key)”: \(known).")
    }
    return try await exclusively { () async throws(Problem) in
      let isSet = tuned.withLock { $0.values.filter { $0.key != key } }
      let values = isSet + (request.value.map { [ClusterTuning.Value(key: key, value: $0)] } ?? [])
      if let value = request.value {
        let present = ClusterTuning.Key.allCases.map { ClusterTuning.Value(key: $0, value: given.applying(isSet).value(of: $0)) }
        do throws(ClusterTuning.Refusal) { try ClusterTuning.check(ClusterTuning.Value(key: key, value: value), among: present) } catch {
          throw Problem(tuning: error)
        }
      }
      do throws(MetadataError) { try await metadata.saveTuning(values) } catch { throw Problem(cluster: error) }
      adopt(values)
      log.info("a setting was changed", ["key": .string(key.rawValue), "value": .string(request.value.map { "\($0)" } ?? "-")])
      return tuningReport()
    }
  }

  /// Lets these values count from now on.
  func adopt(_ values: [ClusterTuning.Value]) {
    let configuration = given.applying(values)
    tuned.withLock { $0 = Tuned(values: values, configuration: configuration) }
    let repair = shared.withLock { shared in
      shared.state?.detector.adopt(configuration.failure)
      return shared.repair
    }
    let rate = configuration.repair
    repair?.feed(.limit(bytesPerSecond: rate.bytesPerSecond, bytesPerSecondPerNode: rate.bytesPerSecondPerNode))
  }

  private func tuningReport() -> TuningReport {
    let tuned = tuned.withLock { $0 }
    return TuningReport(
      settings: ClusterTuning.Key.allCases.map { key in
        TuningReport.Entry(
          key: key.rawValue, value: tuned.configuration.value(of: key), isSet: tuned.values.contains { $0.key == key })
      })
  }
}

extension ClusterConfiguration {
  func value(of key: ClusterTuning.Key) -> Int64 {
    switch key {
    case .repairRate: repair.bytesPerSecond
    case .rebalanceRate: repair.moveBytesPerSecond
    case .suspectAfter: Int64(failure.suspectAfter.inSeconds.rounded(.up))
    case .outAfter: Int64(failure.outAfter.inSeconds.rounded(.up))
    }
  }

  func applying(_ values: [ClusterTuning.Value]) -> ClusterConfiguration {
    var result = self
    for value in values {
      switch value.key {
      case .repairRate:
        result.repair.bytesPerSecond = value.value
        result.repair.bytesPerSecondPerNode = 0
      case .rebalanceRate:
        result.repair.moveBytesPerSecond = value.value
        result.repair.moveBytesPerSecondPerNode = 0
      case .suspectAfter: result.failure.suspectAfter = .seconds(value.value)
      case .outAfter: result.failure.outAfter = .seconds(value.value)
      }
    }
    // Silence is noticed within a fifth of the time after which it counts.
    if values.contains(where: { $0.key == .suspectAfter }) {
      let beat = max(.milliseconds(200), min(.seconds(1), result.failure.suspectAfter / 5))
      result.failure.tickInterval = beat
      result.heartbeatInterval = beat
    }
    return result
  }
}

extension Problem {
  fileprivate init(tuning error: ClusterTuning.Refusal) {
    switch error {
    case .outOfRange(let key):
      self.init(.malformed, "“\(key.rawValue)” lies between \(key.range.lowerBound) and \(key.range.upperBound).")
    case .outBeforeSuspect: self.init(.malformed, "“out-after-seconds” has to be more than “suspect-after-seconds”.")
    }
  }
}
