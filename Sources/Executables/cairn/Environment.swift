import Glibc

/// This process's environment.
enum Environment {
  /// Nil when it is not set, or empty.
  static func value(_ name: String) -> String? {
    guard let text = getenv(name).map({ String(cString: $0) }), !text.isEmpty else { return nil }
    return text
  }
}
