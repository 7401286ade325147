/// The part of JSON Schema that the API's description needs.
indirect enum Schema: Sendable {
  case string
  /// A string of a known form, such as `date-time`.
  case format(String)
  /// A string that fits the regular expression.
  case pattern(String)
  case choice([String])
  case integer(minimum: Int?, maximum: Int?)
  case boolean
  case array(Schema, maximum: Int? = nil)
  case reference(SchemaName)
  case either([SchemaName])
  case object([Property])

  struct Property: Sendable {
    var name: String
    var schema: Schema
    var required: Bool
    var summary: String?
  }

  static let count = Schema.integer(minimum: 0, maximum: nil)
  static let time = Schema.format("date-time")
  static let identifier = Schema.pattern("^[0-9a-f]{32}$")
  static let hash = Schema.pattern("^[0-9a-f]{64}$")

  var json: JSONValue {
    switch self {
    case .string: return ["type": "string"]
    case .format(let format): return ["type": "string", "format": .string(format)]
    case .pattern(let pattern): return ["type": "string", "pattern": .string(pattern)]
    case .choice(let values): return ["type": "string", "enum": .array(values.map { .string($0) })]
    case .integer(let minimum, let maximum):
      var members = [JSONValue.Member("type", "integer"), .init("format", "int64")]
      if let minimum { members.append(.init("minimum", .integer(minimum))) }
      if let maximum { members.append(.init("maximum", .integer(maximum))) }
      return .object(members)
    case .boolean: return ["type": "boolean"]
    case .array(let element, let maximum):
      var members = [JSONValue.Member("type", "array"), .init("items", element.json)]
      if let maximum { members.append(.init("maxItems", .integer(maximum))) }
      return .object(members)
    case .reference(let name): return ["$ref": .string("#/components/schemas/\(name.rawValue)")]
    case .either(let names): return ["anyOf": .array(names.map { Schema.reference($0).json })]
    case .object(let properties): return Schema.object(json: properties)
    }
  }

  private static func object(json properties: [Property]) -> JSONValue {
    let members = properties.map { property in
      guard let summary = property.summary else { return JSONValue.Member(property.name, property.schema.json) }
      // A description beside `$ref` is allowed since OpenAPI 3.1.
      guard case .object(let inner) = property.schema.json else { return JSONValue.Member(property.name, property.schema.json) }
      return JSONValue.Member(property.name, .object(inner + [.init("description", .string(summary))]))
    }
    var all = [JSONValue.Member("type", "object"), .init("properties", .object(members))]
    let required = properties.filter(\.required).map { JSONValue.string($0.name) }
    if !required.isEmpty { all.append(.init("required", .array(required))) }
    return .object(all)
  }
}

extension Schema.Property {
  /// A member that is always there.
  static func must(_ name: String, _ schema: Schema, _ summary: String? = nil) -> Self {
    Self(name: name, schema: schema, required: true, summary: summary)
  }
  static func may(_ name: String, _ schema: Schema, _ summary: String? = nil) -> Self {
    Self(name: name, schema: schema, required: false, summary: summary)
  }
}
