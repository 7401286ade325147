/// Why a JSON document was not taken, in a sentence that says where.
package struct JSONError: Error, Sendable, Equatable, CustomStringConvertible {
  package enum Code: Sendable, Equatable { case tooLarge, tooDeep, malformed, mismatch, notEncodable }
  package var code: Code
  package var message: String
  package var description: String { message }
}

/// JSON in and out of `Codable` values. Times are `WallTime` (a number) or `RFC3339Time` (text).
package enum JSONCoding {
  package static let defaultLimit = 16 << 20

  package static func encode(_ value: some Encodable) throws(JSONError) -> [UInt8] {
    let output = JSONOutput()
    do { try output.write(any: value) } catch {
      throw JSONError(code: .notEncodable, message: "A value cannot be written as JSON: \(error).")
    }
    return output.bytes
  }

  /// - Parameters:
  ///   - maxDepth: arrays and objects inside of each other.
  ///   - limit: bytes; more is refused before anything is parsed.
  package static func decode<Value: Decodable>(
    _ type: Value.Type, from bytes: [UInt8], maxDepth: Int = 32, limit: Int = defaultLimit
  ) throws(JSONError) -> Value {
    guard bytes.count <= limit else {
      throw JSONError(code: .tooLarge, message: "The document has \(bytes.count) bytes; at most \(limit) are taken.")
    }
    let tree: JSONTree
    do { tree = try JSONTree(bytes, maxDepth: maxDepth) } catch {
      switch error {
      case .tooDeep: throw JSONError(code: .tooDeep, message: "The document nests deeper than \(maxDepth) levels.")
      case .malformed: throw JSONError(code: .malformed, message: "The document is not valid JSON.")
      }
    }
    do { return try Value(from: JSONReader(tree: tree, index: 0)) } catch let error as DecodingError {
      throw sentence(for: error)
    } catch {
      throw JSONError(code: .malformed, message: "The document is not valid JSON.")
    }
  }

  private static func sentence(for error: DecodingError) -> JSONError {
    switch error {
    case .keyNotFound(let key, let context):
      return JSONError(code: .mismatch, message: "“\(path(context.codingPath + [key]))” is missing.")
    case .typeMismatch(let type, let context):
      return JSONError(code: .mismatch, message: "“\(path(context.codingPath))” has to be \(name(of: type)).")
    case .valueNotFound(let type, let context):
      return JSONError(code: .mismatch, message: "“\(path(context.codingPath))” is null and has to be \(name(of: type)).")
    case .dataCorrupted(let context):
      if context.codingPath.isEmpty { return JSONError(code: .malformed, message: "The document is not valid JSON.") }
      // What Swift says of a value that no case of an enumeration has names types of ours.
      if context.debugDescription.hasPrefix("Cannot initialize ") {
        return JSONError(code: .mismatch, message: "“\(path(context.codingPath))” has a value that is none of those it may have.")
      }
      return JSONError(code: .mismatch, message: "“\(path(context.codingPath))” is not valid: \(context.debugDescription).")
    @unknown default:
      return JSONError(code: .malformed, message: "The document is not valid JSON.")
    }
  }

  private static func path(_ keys: [any CodingKey]) -> String {
    guard !keys.isEmpty else { return "the document" }
    return keys.reduce(into: "") { text, key in
      if let index = key.intValue {
        text += "[\(index)]"
      } else {
        text += (text.isEmpty ? "" : ".") + key.stringValue
      }
    }
  }

  private static func name(of type: any Any.Type) -> String {
    switch type {
    case is String.Type: return "a string"
    case is Bool.Type: return "true or false"
    case is any BinaryInteger.Type: return "a whole number"
    case is any BinaryFloatingPoint.Type: return "a number"
    case is [Any].Type: return "an array"
    case is [String: Any].Type: return "an object"
    default: return "of another type"
    }
  }
}
