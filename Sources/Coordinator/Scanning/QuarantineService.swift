package import MetadataStore
internal import ServiceAPI

/// What operators ask of the quarantine. The documents are those of `cairnctl quarantine --json`.
package struct QuarantineService: Sendable {
  private let store: any ScanMetadata
  private let isOn: Bool
  private let scanner: ContentScanner?

  /// - Parameter scanner: nil where nothing is scanned; what was found before is held all the same.
  package init(store: any ScanMetadata, scanner: ContentScanner?) {
    self.store = store
    self.scanner = scanner
    isOn = scanner != nil
  }

  package func register(on dispatcher: ControlDispatcher) {
    dispatcher.register(OperatorOperations.GetQuarantineStatus.self) { [self] (_, _) async throws(Problem) in
      do throws(MetadataError) {
        let counts = try await store.scanCounts()
        return QuarantineStatus(
          isOn: isOn, waiting: counts.waiting, infected: counts.infected, unscannable: counts.unscannable, obstacle: scanner?.obstacle)
      } catch { throw Problem(cluster: error) }
    }
    dispatcher.register(OperatorOperations.ListQuarantine.self) { [self] (request, _) async throws(Problem) in
      do throws(MetadataError) { return try await store.quarantine(limit: request.limit, cursor: request.cursor) } catch {
        throw Problem(cluster: error)
      }
    }
    dispatcher.register(OperatorOperations.ChangeQuarantine.self) { [self] (request, _) async throws(Problem) in
      do throws(MetadataError) {
        return try await store.changeQuarantine(of: request.number, request.change == .release ? .release : .rescan)
      } catch { throw Problem(cluster: error) }
    }
  }
}
