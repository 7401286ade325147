internal import MetadataStore
internal import ServiceAPI

extension UserService {
  func registerTree(on dispatcher: ControlDispatcher) {
    user(UserOperations.Stat.self, on: dispatcher) { operation, principal, _ in
      try await self.store.stat(operation.entry, for: principal)
    }
    user(UserOperations.ListFolder.self, on: dispatcher, encode: ListingDocument.bytes) { operation, principal, _ in
      try await self.store.list(
        operation.entry, recursive: operation.recursive, limit: operation.limit, cursor: operation.cursor, for: principal)
    }
    user(UserOperations.CreateFolder.self, on: dispatcher) { operation, principal, context in
      try await self.store.createFolder(operation, for: principal, once: self.once(operation, context))
    }
    user(UserOperations.CreateSymlink.self, on: dispatcher) { operation, principal, context in
      try await self.store.createSymlink(operation, for: principal, once: self.once(operation, context))
    }
    user(UserOperations.UpdateEntry.self, on: dispatcher) { operation, principal, _ in
      try await self.store.updateEntry(operation, for: principal)
    }
    user(UserOperations.DeleteEntry.self, on: dispatcher) { operation, principal, _ in
      try await self.store.deleteEntry(operation, for: principal)
      return Done()
    }
    user(UserOperations.CopyEntry.self, on: dispatcher) { operation, principal, context in
      try await self.store.copyEntry(operation, for: principal, once: self.once(operation, context))
    }
    user(UserOperations.GetDownloadPlan.self, on: dispatcher) { operation, principal, _ in
      try await self.store.downloadPlan(
        operation.entry, version: operation.version, cursor: operation.cursor, limit: operation.limit, for: principal)
    }
    user(UserOperations.GetDownloadPlans.self, on: dispatcher) { operation, principal, _ in
      guard (1...UserService.batchLimit).contains(operation.entries.count) else {
        throw Problem(.malformed, "A batch has 1 to \(UserService.batchLimit) items.")
      }
      return Page(items: try await self.store.downloadPlans(operation.entries, for: principal), next: nil)
    }
    user(UserOperations.ListVersions.self, on: dispatcher) { operation, principal, _ in
      try await self.store.versions(of: operation.entry, limit: operation.limit, cursor: operation.cursor, for: principal)
    }
    user(UserOperations.GetChanges.self, on: dispatcher) { operation, principal, _ in
      try await self.store.changes(since: operation.cursor, limit: operation.limit, for: principal)
    }
  }
}
