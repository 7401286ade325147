internal import COpenSSL

/// Random bytes that nobody can guess: for keys, tokens, nonces and salts.
package enum SecureRandom {
  package static func fill(_ buffer: UnsafeMutableRawBufferPointer) {
    precondition(buffer.count <= Int(Int32.max), "random bytes are drawn at most 2 GiB at a time")
    guard !buffer.isEmpty else { return }
    let done = RAND_bytes(buffer.baseAddress?.assumingMemoryBound(to: UInt8.self), Int32(buffer.count))
    // Going on with bytes that are not random would be worse than stopping.
    precondition(done == 1, "the system has no source of randomness")
  }

  package static func bytes(_ count: Int) -> [UInt8] {
    [UInt8](unsafeUninitializedCapacity: count) { buffer, initialized in
      fill(UnsafeMutableRawBufferPointer(rebasing: UnsafeMutableRawBufferPointer(buffer)[..<count]))
      initialized = count
    }
  }
}
