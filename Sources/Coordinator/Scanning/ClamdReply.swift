/// What clamd answers to INSTREAM: one line, ended by a NUL.
///
/// What must hold: whatever the bytes, only the exact form of "nothing found" counts as clean, and no text that is kept has more than
/// printable ASCII in it or is longer than its limit.
package enum ClamdReply: Sendable, Equatable {
  case clean
  case infected(signature: String)
  /// It takes no stream that long.
  case tooLarge
  /// It could not scan, or said what it should not.
  case failed(String)

  /// Bytes that an answer may have.
  package static let limit = 4096
  private static let textLimit = 200

  package init(parsing bytes: some Collection<UInt8>) {
    guard let end = bytes.firstIndex(of: 0) else {
      self = .failed("its answer has no end")
      return
    }
    let line = bytes[..<end]
    let text = String(decoding: line.prefix(ClamdReply.limit).map { (0x20..<0x7f).contains($0) ? $0 : UInt8(ascii: "?") }, as: UTF8.self)
    let (begin, found) = ("stream: ", " FOUND")
    if text == begin + "OK" {
      self = .clean
    } else if text.hasPrefix(begin), text.hasSuffix(found), text.utf8.count > begin.utf8.count + found.utf8.count {
      self = .infected(
        signature: String(String(text.dropFirst(begin.utf8.count).dropLast(found.utf8.count)).prefix(ClamdReply.textLimit)))
    } else if text.hasPrefix("INSTREAM size limit exceeded") {
      self = .tooLarge
    } else {
      self = .failed(text.isEmpty ? "its answer is empty" : String(text.prefix(ClamdReply.textLimit)))
    }
  }
}
