/// The header that names a download (RFC 6266), with the whole name in the form of RFC 8187 beside an ASCII one for old clients.
package enum ContentDisposition {
  package static func text(name: String, attachment: Bool) -> String {
    let plain = String(
      decoding: name.unicodeScalars.map { scalar in
        scalar.isASCII && scalar.value >= 0x20 && scalar.value != 0x7f && scalar != "\"" && scalar != "\\" && scalar != "%"
          ? UInt8(scalar.value) : UInt8(ascii: "_")
      }, as: UTF8.self)
    return "\(attachment ? "attachment" : "inline"); filename=\"\(plain)\"; filename*=UTF-8''\(encoded(name))"
  }

  /// Percent-encodes all but the `attr-char` of RFC 8187.
  private static func encoded(_ name: String) -> String {
    let digits = Array("0123456789ABCDEF".utf8)
    var bytes: [UInt8] = []
    for byte in name.utf8 {
      switch byte {
      case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"), UInt8(ascii: "0")...UInt8(ascii: "9"):
        bytes.append(byte)
      default:
        if "!#$&+-.^_`|~".utf8.contains(byte) {
          bytes.append(byte)
        } else {
          bytes += [UInt8(ascii: "%"), digits[Int(byte >> 4)], digits[Int(byte & 15)]]
        }
      }
    }
    return String(decoding: bytes, as: UTF8.self)
  }
}
