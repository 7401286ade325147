internal import Platform
package import ServiceAPI
internal import Synchronization

/// Finds the handler of a control operation by its name: the coordinator as a `ControlPlane` for callers in the same process, and as
/// JSON in and out for the HTTP door.
///
/// What must hold: all handlers are registered before the first operation is performed; from then on the table only gets read.
package final class ControlDispatcher: ControlPlane {
  private struct Handler: Sendable {
    let audience: ControlAudience
    /// `@Sendable (Op, ControlContext) async throws(Problem) -> Op.Response` of the operation registered under the name.
    let typed: any Sendable
    let encoded: @Sendable ([UInt8], ControlContext) async throws(Problem) -> [UInt8]
  }

  // Proof: written under `registration` while `isSealed` is false, read after it was seen true; the acquiring load orders one before the
  // other.
  nonisolated(unsafe) private var handlers: [String: Handler] = [:]
  private let isSealed = Atomic<Bool>(false)
  private let registration = Mutex<Void>(())

  /// Who (an operator) does what (an operation) to what.
  package typealias Auditor = @Sendable (_ actor: String, _ action: String, _ subject: String) async -> Void
  private let auditor: Auditor?

  /// - Parameter auditor: told of each operation of an operator that changes something, before it begins; and again, with “-refused”
  ///   behind the operation's name, when it was answered that nothing was done.
  package init(auditor: Auditor? = nil) { self.auditor = auditor }

  /// Adds the handler of an operation. Registering a name twice, or after the first operation was performed, is a bug.
  ///
  /// - Parameter encode: writes the response as JSON, as its `Codable` form says it; nil leaves it to that.
  package func register<Op: ControlOperation>(
    _ type: Op.Type, encode: (@Sendable (Op.Response) -> [UInt8])? = nil,
    _ handler: @escaping @Sendable (Op, ControlContext) async throws(Problem) -> Op.Response
  ) {
    let auditor = auditor
    let run: @Sendable (Op, ControlContext) async throws(Problem) -> Op.Response = { operation, context async throws(Problem) in
      guard let auditor, Op.audience == .op, !Op.isRead else { return try await handler(operation, context) }
      let actor = context.operatorName.map { "operator \($0)" } ?? "operator"
      await auditor(actor, Op.name, operation.auditSubject)
      do throws(Problem) { return try await handler(operation, context) } catch {
        if error.isRefusal { await auditor(actor, Op.name + "-refused", operation.auditSubject) }
        throw error
      }
    }
    let box = TypedHandler<Op>(run: run, encode: encode)
    registration.withLock { _ in
      precondition(!isSealed.load(ordering: .relaxed), "handlers are registered before the first operation")
      precondition(handlers[Op.name] == nil, "the operation \(Op.name) is registered twice")
      handlers[Op.name] = Handler(audience: Op.audience, typed: box, encoded: box.runEncoded)
    }
  }

  package func perform<Op: ControlOperation>(_ operation: Op, context: ControlContext) async throws(Problem) -> Op.Response {
    guard let handler = handler(Op.name)?.typed as? TypedHandler<Op> else { throw ControlDispatcher.unknown(Op.name) }
    return try await handler.run(operation, context)
  }

  /// - Parameter body: the operation as JSON.
  /// - Returns: the response as JSON.
  /// - Throws: `.malformed` when the body is not the operation; what the handler throws.
  package func performEncoded(name: String, body: [UInt8], context: ControlContext) async throws(Problem) -> [UInt8] {
    guard let handler = handler(name) else { throw ControlDispatcher.unknown(name) }
    return try await handler.encoded(body, context)
  }

  /// Who may call the operation; nil when there is none of this name.
  package func audience(of name: String) -> ControlAudience? { handler(name)?.audience }

  /// Sorted, for tests and documents.
  package var operationNames: [String] {
    seal()
    return handlers.keys.sorted()
  }

  private func handler(_ name: String) -> Handler? {
    if !isSealed.load(ordering: .acquiring) { seal() }
    return handlers[name]
  }

  private func seal() { registration.withLock { _ in isSealed.store(true, ordering: .releasing) } }

  private static func unknown(_ name: String) -> Problem { Problem(.notFound, "There is no control operation “\(name)”.") }
}

extension Problem {
  /// Nothing was done, and the caller is told why. Whatever is wrong on this side leaves it open what was done.
  fileprivate var isRefusal: Bool { (400..<500).contains(status) }
}

private struct TypedHandler<Op: ControlOperation>: Sendable {
  let run: @Sendable (Op, ControlContext) async throws(Problem) -> Op.Response
  let encode: (@Sendable (Op.Response) -> [UInt8])?

  @Sendable func runEncoded(_ body: [UInt8], _ context: ControlContext) async throws(Problem) -> [UInt8] {
    let operation: Op
    do { operation = try JSONCoding.decode(Op.self, from: body) } catch {
      throw Problem(error.code == .tooLarge ? .tooLarge : .malformed, error.message)
    }
    return try encoded(try await run(operation, context))
  }

  func encoded(_ response: Op.Response) throws(Problem) -> [UInt8] {
    if let encode { return encode(response) }
    do { return try JSONCoding.encode(response) } catch { throw Problem(.internalError, error.message) }
  }
}
