/// Why a cryptographic operation gave no result.
package enum CryptoError: Error, Sendable, Equatable, CustomStringConvertible {
  /// The tag or the integrity check does not fit: wrong key, wrong associated data, or changed bytes.
  case authenticationFailed
  /// An argument from outside has an impossible length or value; the text names it.
  case invalidInput(String)
  /// The library refused an operation that should not fail, such as when memory ran out; the text names the call.
  case library(String)

  package var description: String {
    switch self {
    case .authenticationFailed: return "The bytes do not fit their authentication tag: the key is another one, or they were changed."
    case .invalidInput(let what): return "The input of a cryptographic operation is not valid: \(what)."
    case .library(let call): return "The cryptographic library failed in \(call)."
    }
  }
}
