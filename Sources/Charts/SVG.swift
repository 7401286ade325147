/// Spelling what a picture is made of.
package enum SVG {
  /// With one digit after the point, which is less than an eye can see; nothing that is no number reaches a picture.
  package static func number(_ value: Double) -> String {
    guard value.isFinite else { return "0" }
    return "\((value * 10).rounded() / 10)"
  }

  /// Text that may stand between tags or in a quoted attribute.
  package static func escaped(_ text: String) -> String {
    text.replacing("&", with: "&amp;").replacing("<", with: "&lt;").replacing(">", with: "&gt;").replacing("\"", with: "&quot;")
  }
}
