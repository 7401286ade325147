internal import Glibc

/// Port numbers for programs that cannot be told to pick one and say it.
package enum FreePort {
  /// A TCP port on 127.0.0.1 that nobody listened on a moment ago. Another process may take it first, so callers try again.
  package static func next() -> Int {
    let descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
    precondition(descriptor >= 0, "a test machine has sockets")
    defer { close(descriptor) }
    var address = sockaddr_in()
    address.sin_family = sa_family_t(AF_INET)
    address.sin_addr.s_addr = UInt32(0x7f00_0001).bigEndian
    var length = socklen_t(MemoryLayout<sockaddr_in>.size)
    let bound = withUnsafeMutablePointer(to: &address) { address in
      address.withMemoryRebound(to: sockaddr.self, capacity: 1) { address in
        bind(descriptor, address, length) == 0 && getsockname(descriptor, address, &length) == 0
      }
    }
    precondition(bound, "the loopback address has a free port")
    return Int(UInt16(bigEndian: address.sin_port))
  }
}
