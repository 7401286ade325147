internal import Platform
package import ServiceAPI

/// A coordinator that is reached by JSON, and can hand a response on as it came.
package protocol EncodedControlPlane: ControlPlane {
  func performEncoded<Operation: ControlOperation>(_ operation: Operation, context: ControlContext) async throws(Problem) -> [UInt8]
}

extension ControlPlane {
  /// The response as JSON, for who passes it on unread.
  package func encodedResponse<Operation: ControlOperation>(
    to operation: Operation, context: ControlContext
  ) async throws(Problem) -> [UInt8] {
    if let plane = self as? any EncodedControlPlane { return try await plane.performEncoded(operation, context: context) }
    let response = try await perform(operation, context: context)
    do { return try JSONCoding.encode(response) } catch { throw Problem(.internalError, error.message) }
  }
}
