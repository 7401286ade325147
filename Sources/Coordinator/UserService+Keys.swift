internal import MetadataStore
internal import ServiceAPI

extension UserService {
  func registerKeys(on dispatcher: ControlDispatcher) {
    user(UserOperations.GetKeyPair.self, on: dispatcher) { _, principal, _ in try await self.store.keyPair(of: principal) }
    user(UserOperations.PutKeyPair.self, on: dispatcher) { operation, principal, _ in
      try await self.store.putKeyPair(operation, for: principal)
    }
    user(UserOperations.GetPublicKey.self, on: dispatcher) { operation, _, _ in
      try await self.store.publicKey(ofUserNamed: operation.user)
    }
    user(UserOperations.ListFolderKeys.self, on: dispatcher) { operation, principal, _ in
      try await self.store.folderKeys(limit: operation.limit, cursor: operation.cursor, for: principal)
    }
    user(UserOperations.PutFolderKey.self, on: dispatcher) { operation, principal, _ in
      try await self.store.putFolderKey(operation, for: principal)
      return Done()
    }
  }
}
