internal import BlockModel
internal import ServiceAPI

/// The page that a link shows in a browser. No script, nothing loaded from elsewhere, and every name escaped.
enum LinkPage {
  /// Whether a client would rather have a page than a document: browsers name `text/html`, programs mostly nothing or `*/*`.
  static func isWanted(_ accept: String?) -> Bool {
    guard let accept = accept?.lowercased(), let html = accept.firstRange(of: "text/html") else { return false }
    guard let json = accept.firstRange(of: "application/json") else { return true }
    return html.lowerBound < json.lowerBound
  }

  static func html(_ content: LinkContent, token: String) -> String {
    let title = escaped(content.item.name)
    var body = "<h1>\(title)</h1>\n"
    switch content.item.kind {
    case .file:
      let address = raw(token, content.item.path)
      body += "<p>\(content.item.size) bytes, \(escaped(String(content.item.modifiedAt.rfc3339.prefix(19)))) UTC</p>\n"
      body +=
        "<p><a href=\"\(address)\(address.contains("?") ? "&amp;" : "?")download=1\">Download</a> · <a href=\"\(address)\">Open</a></p>\n"
    case .symlink: body += "<p>A symbolic link.</p>\n"
    case .folder:
      body += "<ul>\n"
      for child in content.children {
        let name = escaped(child.name)
        switch child.kind {
        case .file: body += "<li><a href=\"\(raw(token, child.path))\">\(name)</a> (\(child.size) bytes)</li>\n"
        case .folder: body += "<li><a href=\"\(page(token, child.path))\">\(name)/</a></li>\n"
        case .symlink: body += "<li>\(name)</li>\n"
        }
      }
      body += "</ul>\n"
      if let next = content.next { body += "<p><a href=\"\(page(token, content.item.path, cursor: next))\">More</a></p>\n" }
    }
    if let end = content.expiresAt { body += "<p>This link ends at \(escaped(end.rfc3339)).</p>\n" }
    return """
      <!doctype html>
      <html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>\(title)</title>
      <style>body{font:16px/1.5 sans-serif;max-width:45em;margin:3em auto;padding:0 1em}</style></head>
      <body>
      \(body)</body></html>

      """
  }

  private static func raw(_ token: String, _ path: String) -> String {
    "/l/\(encoded(token))/raw" + (path == "/" ? "" : "?path=\(encoded(path))")
  }

  private static func page(_ token: String, _ path: String, cursor: String? = nil) -> String {
    let query = ["path=\(encoded(path))"] + (cursor.map { ["cursor=\(encoded($0))"] } ?? [])
    return "/l/\(encoded(token))?" + query.joined(separator: "&amp;")
  }

  /// For text and for attributes in quotes.
  static func escaped(_ text: String) -> String {
    var result = ""
    for scalar in text.unicodeScalars {
      switch scalar {
      case "&": result += "&amp;"
      case "<": result += "&lt;"
      case ">": result += "&gt;"
      case "\"": result += "&quot;"
      case "'": result += "&#39;"
      default: result.unicodeScalars.append(scalar)
      }
    }
    return result
  }

  /// Percent-encodes all but the unreserved characters of RFC 3986.
  private static func encoded(_ text: String) -> String {
    let digits = Array("0123456789ABCDEF".utf8)
    var bytes: [UInt8] = []
    for byte in text.utf8 {
      switch byte {
      case 0x30...0x39, 0x41...0x5a, 0x61...0x7a, 0x2d, 0x2e, 0x5f, 0x7e: bytes.append(byte)
      default: bytes += [0x25, digits[Int(byte >> 4)], digits[Int(byte & 15)]]
      }
    }
    return String(decoding: bytes, as: UTF8.self)
  }
}
