/// Media types of files: what the uploader said, else what the name's extension stands for.
package enum MediaType {
  /// Of what nobody knows better: bytes.
  package static let standard = "application/octet-stream"

  /// `type/subtype`, with parameters of plain tokens perhaps; everything else could end a header line early.
  package static func isWellFormed(_ text: String) -> Bool {
    guard (3...127).contains(text.utf8.count) else { return false }
    let parts = text.split(separator: ";", omittingEmptySubsequences: false)
    let names = parts[0].split(separator: "/", omittingEmptySubsequences: false)
    guard names.count == 2, names.allSatisfy(isToken) else { return false }
    return parts.dropFirst().allSatisfy { parameter in
      let pair = parameter.drop { $0 == " " }.split(separator: "=", omittingEmptySubsequences: false)
      return pair.count == 2 && pair.allSatisfy(isToken)
    }
  }

  private static func isToken(_ text: Substring) -> Bool {
    !text.isEmpty
      && text.utf8.allSatisfy { byte in
        switch byte {
        case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"), UInt8(ascii: "0")...UInt8(ascii: "9"): true
        default: "!#$&^_.+-".utf8.contains(byte)
        }
      }
  }

  /// - Parameter declared: what the uploader said; passed over unless it is well-formed.
  package static func of(name: String, declared: String?) -> String {
    if let declared, isWellFormed(declared) { return declared }
    guard let point = name.lastIndex(of: "."), point != name.startIndex else { return standard }
    return byExtension[name[name.index(after: point)...].lowercased()] ?? standard
  }

  private static let byExtension: [String: String] = [
    "txt": "text/plain; charset=utf-8", "log": "text/plain; charset=utf-8", "md": "text/markdown; charset=utf-8",
    "csv": "text/csv; charset=utf-8", "html": "text/html; charset=utf-8", "htm": "text/html; charset=utf-8",
    "css": "text/css; charset=utf-8", "js": "text/javascript; charset=utf-8", "mjs": "text/javascript; charset=utf-8",
    "swift": "text/plain; charset=utf-8", "c": "text/plain; charset=utf-8", "h": "text/plain; charset=utf-8",
    "json": "application/json", "xml": "application/xml", "yaml": "application/yaml", "yml": "application/yaml",
    "pdf": "application/pdf", "zip": "application/zip", "gz": "application/gzip", "tar": "application/x-tar",
    "zst": "application/zstd", "7z": "application/x-7z-compressed", "wasm": "application/wasm", "epub": "application/epub+zip",
    "doc": "application/msword", "xls": "application/vnd.ms-excel", "ppt": "application/vnd.ms-powerpoint",
    "docx": "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
    "xlsx": "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
    "pptx": "application/vnd.openxmlformats-officedocument.presentationml.presentation",
    "odt": "application/vnd.oasis.opendocument.text", "ods": "application/vnd.oasis.opendocument.spreadsheet",
    "png": "image/png", "jpg": "image/jpeg", "jpeg": "image/jpeg", "gif": "image/gif", "webp": "image/webp", "avif": "image/avif",
    "svg": "image/svg+xml", "ico": "image/vnd.microsoft.icon", "bmp": "image/bmp", "tif": "image/tiff", "tiff": "image/tiff",
    "heic": "image/heic", "mp3": "audio/mpeg", "m4a": "audio/mp4", "ogg": "audio/ogg", "opus": "audio/opus", "wav": "audio/wav",
    "flac": "audio/flac", "mp4": "video/mp4", "m4v": "video/mp4", "webm": "video/webm", "mov": "video/quicktime", "mkv": "video/matroska",
    "avi": "video/vnd.avi", "mpeg": "video/mpeg", "ttf": "font/ttf", "otf": "font/otf", "woff": "font/woff", "woff2": "font/woff2",
  ]
}
