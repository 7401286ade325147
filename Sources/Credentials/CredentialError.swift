/// Why a capability, a receipt, a token or a key file was refused. Messages carry no key and no signature.
package struct CredentialError: Error, Sendable, Equatable, CustomStringConvertible {
  package enum Code: Sendable, Equatable {
    /// Not readable at all: a parameter missing, unknown, repeated, or out of its range.
    case malformed
    case badSignature
    case expired
    /// Signed for another node.
    case wrongNode
    /// Signed for another operation, or used with a method that the operation does not allow.
    case wrongOperation
    /// Signed under a key epoch that is not held here (any more).
    case unknownKey
    /// A key file is missing, readable by others, or not what it should be.
    case keyFile
  }
  package var code: Code
  package var message: String
  package init(_ code: Code, _ message: String) {
    self.code = code
    self.message = message
  }
  package var description: String { message }
}
