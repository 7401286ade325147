/// Which handler answers which method and path. A value: filled once, then given to a server.
package struct HTTPRouter: Sendable {
  /// A `{name}` component of a pattern.
  package struct Place: Sendable, Equatable {
    package let name: String
    /// Which component of the path it is.
    package let component: Int
  }

  /// One method on one pattern, with what the transport checks before the handler is asked.
  package struct Route: Sendable {
    package let method: HTTPMethod
    /// As added, for instance `/v1/blocks/{id}`; also the label of the route in metrics.
    package let pattern: String
    /// Bytes; a longer declared body is refused with 413 before it is read.
    package let maxBodyBytes: Int
    /// Whether a body without a declared length is taken; if not, it is refused with 411.
    package let allowsChunked: Bool
    let gate: HTTPGate?
    let inline: HTTPInlineHandler?
    let handler: HTTPHandler
    let places: [Place]
  }

  private enum Segment: Sendable, Equatable {
    /// UTF-8.
    case literal([UInt8])
    case parameter(String)
  }

  private struct Pattern: Sendable {
    let segments: [Segment]
    var routes: [Route]
  }

  /// What a router says about a request.
  package enum Match: Sendable {
    case found(Route)
    /// The path exists, the method does not; `allowed` is for the `Allow` header, in the order of adding.
    case methodNotAllowed(allowed: [HTTPMethod])
    case notFound
  }

  /// By number of segments; within one number, literals before parameters from the left.
  private var patterns: [Int: [Pattern]] = [:]
  /// Every route in the order of adding, so that a test can hold the API's description against them.
  package private(set) var routes: [Route] = []

  package init() {}

  /// Adds a route. Adding the same method and pattern twice is a bug.
  ///
  /// - Parameters:
  ///   - pattern: begins with a slash; a component `{name}` matches any one component and becomes a parameter.
  ///   - maxBodyBytes: the longest body that is taken, in bytes.
  ///   - allowsChunked: whether a body may come without `Content-Length`; the handler's own limit holds for it.
  ///   - gate: runs on a network thread when the head is there; an answer refuses the request.
  ///   - inline: for requests without a body, runs on a network thread; nil hands over to `handler`.
  ///   - handler: runs on Swift's cooperative pool.
  package mutating func add(
    _ method: HTTPMethod, _ pattern: String, maxBodyBytes: Int = 1 << 20, allowsChunked: Bool = false, gate: HTTPGate? = nil,
    inline: HTTPInlineHandler? = nil, handler: @escaping HTTPHandler
  ) {
    precondition(pattern.hasPrefix("/"), "a pattern begins with a slash")
    let segments = HTTPRouter.segments(pattern)
    let route = Route(
      method: method, pattern: pattern, maxBodyBytes: maxBodyBytes, allowsChunked: allowsChunked, gate: gate, inline: inline,
      handler: handler, places: HTTPRouter.places(segments))
    routes.append(route)
    var group = patterns[segments.count] ?? []
    if let index = group.firstIndex(where: { HTTPRouter.sameShape($0.segments, segments) }) {
      precondition(group[index].segments == segments, "\(pattern) names its parameters otherwise than the pattern of another method")
      precondition(!group[index].routes.contains { $0.method == method }, "\(method.rawValue) \(pattern) is there already")
      group[index].routes.append(route)
    } else {
      let place = group.firstIndex { HTTPRouter.isBefore(segments, $0.segments) } ?? group.endIndex
      group.insert(Pattern(segments: segments, routes: [route]), at: place)
    }
    patterns[segments.count] = group
  }

  /// Finds the route of a request. `HEAD` is answered by the `GET` route where there is no route of its own.
  package func match(_ method: HTTPMethod, _ target: RequestTarget) -> Match {
    let patterns = patterns[target.components.count] ?? []
    for wanted in method == .head ? [.head, .get] : [method] {
      for pattern in patterns where HTTPRouter.matches(pattern.segments, target) {
        if let route = pattern.routes.first(where: { $0.method == wanted }) { return .found(route) }
      }
    }
    let candidates = patterns.filter { HTTPRouter.matches($0.segments, target) }
    return candidates.isEmpty ? .notFound : .methodNotAllowed(allowed: HTTPRouter.allowed(candidates.flatMap(\.routes)))
  }

  private static func segments(_ pattern: String) -> [Segment] {
    guard pattern != "/" else { return [] }
    return pattern.dropFirst().split(separator: "/", omittingEmptySubsequences: false).map { part in
      part.hasPrefix("{") && part.hasSuffix("}") ? .parameter(String(part.dropFirst().dropLast())) : .literal(Array(part.utf8))
    }
  }

  private static func sameShape(_ a: [Segment], _ b: [Segment]) -> Bool {
    zip(a, b).allSatisfy { a, b in
      switch (a, b) {
      case (.literal(let a), .literal(let b)): a == b
      case (.parameter, .parameter): true
      default: false
      }
    }
  }

  private static func isBefore(_ a: [Segment], _ b: [Segment]) -> Bool {
    for (a, b) in zip(a, b) {
      switch (a, b) {
      case (.literal, .parameter): return true
      case (.parameter, .literal): return false
      default: continue
      }
    }
    return false
  }

  private static func matches(_ segments: [Segment], _ target: RequestTarget) -> Bool {
    for (segment, component) in zip(segments, target.components) {
      switch segment {
      case .literal(let text): if !target.text[component].elementsEqual(text) { return false }
      case .parameter: if component.isEmpty { return false }
      }
    }
    return true
  }

  private static func places(_ segments: [Segment]) -> [Place] {
    segments.enumerated().compactMap { index, segment in
      if case .parameter(let name) = segment { Place(name: name, component: index) } else { nil }
    }
  }

  private static func allowed(_ routes: [Route]) -> [HTTPMethod] {
    var methods: [HTTPMethod] = []
    for route in routes where !methods.contains(route.method) { methods.append(route.method) }
    if methods.contains(.get), !methods.contains(.head) { methods.append(.head) }
    if !methods.contains(.options) { methods.append(.options) }
    return methods
  }
}
