internal import Platform
internal import SQLSession
package import ServiceAPI

/// Keys of users and of encrypted folders.
extension SQLMetadataStore {
  package func keyPair(of principal: Principal) async throws(MetadataError) -> KeyPairInfo {
    try await readers.read { try $0.keyPair(principal) }
  }

  package func putKeyPair(_ operation: UserOperations.PutKeyPair, for principal: Principal) async throws(MetadataError) -> KeyPairInfo {
    try await writer.write(for: principal, repeatable: true) { try $0.putKeyPair(operation, principal) }
  }

  package func publicKey(ofUserNamed name: String) async throws(MetadataError) -> PublicKeyInfo {
    try await readers.read { try $0.publicKey(ofUserNamed: name) }
  }

  package func folderKeys(limit: Int, cursor: String?, for principal: Principal) async throws(MetadataError) -> Page<FolderKeyInfo> {
    try await readers.read { try $0.folderKeys(limit: limit, cursor: cursor, principal) }
  }

  package func putFolderKey(_ operation: UserOperations.PutFolderKey, for principal: Principal) async throws(MetadataError) {
    try await writer.write(for: principal, repeatable: true) { try $0.putFolderKey(operation, principal) }
  }
}
