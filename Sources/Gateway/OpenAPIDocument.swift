internal import HTTPTransport
internal import ServiceAPI

/// The API's description in OpenAPI 3.1, made from the table that the router is filled from.
enum OpenAPIDocument {
  static func bytes(routes: [RouteDescription], address: String?) -> [UInt8] { document(routes: routes, address: address).bytes }

  static func document(routes: [RouteDescription], address: String?) -> JSONValue {
    var members: [JSONValue.Member] = [
      .init("openapi", "3.1.0"),
      .init(
        "info",
        [
          "title": "Cairn gateway", "version": "1",
          "description": "Files as content-addressed blocks: plans here, bytes straight to and from the storage nodes through signed URLs.",
          "license": ["name": "Apache-2.0", "identifier": "Apache-2.0"],
        ]),
    ]
    if let address { members.append(.init("servers", [["url": .string(address)]])) }
    members.append(.init("paths", paths(routes)))
    members.append(
      .init(
        "components",
        [
          "schemas": .object(SchemaName.allCases.map { .init($0.rawValue, $0.schema.json) }),
          "securitySchemes": ["token": ["type": "http", "scheme": "bearer"]],
        ]))
    return .object(members)
  }

  private static func paths(_ routes: [RouteDescription]) -> JSONValue {
    var patterns: [String] = []
    for route in routes where !patterns.contains(route.pattern) { patterns.append(route.pattern) }
    return .object(
      patterns.map { pattern in
        .init(
          pattern,
          .object(routes.filter { $0.pattern == pattern }.map { .init($0.method.rawValue.lowercased(), operation($0)) }))
      })
  }

  private static func operation(_ route: RouteDescription) -> JSONValue {
    var members: [JSONValue.Member] = [
      .init("operationId", .string(route.operation)), .init("summary", .string(route.summary)),
      .init("security", route.access == .user ? [["token": []]] : []),
    ]
    let parameters = pathParameters(route.pattern) + route.parameters.map { parameter($0, in: "query", required: $0.name == "path") }
    let headers = route.headers.map { parameter($0, in: "header", required: false) }
    if !(parameters + headers).isEmpty { members.append(.init("parameters", .array(parameters + headers))) }
    if let request = route.request {
      members.append(
        .init(
          "requestBody",
          ["required": .boolean(route.requestRequired), "content": ["application/json": ["schema": Schema.reference(request).json]]]))
    }
    members.append(.init("responses", .object(route.answers.map(answer) + problems(route))))
    return .object(members)
  }

  private static func pathParameters(_ pattern: String) -> [JSONValue] {
    pattern.split(separator: "/").filter { $0.hasPrefix("{") }.map { part in
      let name = String(part.dropFirst().dropLast())
      return ["name": .string(name), "in": "path", "required": true, "schema": schema(ofPathParameter: name).json]
    }
  }

  private static func schema(ofPathParameter name: String) -> Schema {
    switch name {
    case "version": .integer(minimum: 1, maximum: nil)
    case "user", "token": .string
    default: .identifier
    }
  }

  private static func parameter(_ parameter: RouteDescription.Parameter, in place: String, required: Bool) -> JSONValue {
    [
      "name": .string(parameter.name), "in": .string(place), "required": .boolean(required), "schema": parameter.schema.json,
      "description": .string(parameter.summary),
    ]
  }

  private static func answer(_ answer: RouteDescription.Answer) -> JSONValue.Member {
    var members = [JSONValue.Member("description", .string(answer.summary))]
    switch answer.content {
    case .none: break
    case .json(let schema): members.append(.init("content", ["application/json": ["schema": schema.json]]))
    case .other(let type): members.append(.init("content", .object([.init(type, .object([]))])))
    }
    return .init(String(answer.status), .object(members))
  }

  /// One answer for each status that a problem of this route may have.
  private static func problems(_ route: RouteDescription) -> [JSONValue.Member] {
    var kinds = route.problems
    if route.access == .user { kinds += [.unauthenticated, .forbidden] }
    if route.request != nil { kinds += [.malformed, .tooLarge] }
    if route.pattern.hasPrefix("/v1/"), route.operation != "getDescription" { kinds += [.malformed, .tooManyRequests, .unavailable] }
    let statuses = Set(kinds.map { Problem($0, "").status }).sorted()
    let known = route.answers.map(\.status)
    return statuses.filter { !known.contains($0) }.map { status in
      let names = Problem.Kind.allCases.filter { kinds.contains($0) && Problem($0, "").status == status }.map(\.rawValue)
      return .init(
        String(status),
        [
          "description": .string("Problem: " + names.joined(separator: ", ") + "."),
          "content": ["application/problem+json": ["schema": Schema.reference(.problem).json]],
        ])
    }
  }
}
