/// Weighted rendezvous hashing (Thaler and Ravishankar 1998, with the weights of Schindelhauer and Schomaker 2005): each candidate draws
/// a number in (0, 1) that follows from the key and the candidate alone, and the smallest −ln(u) ÷ weight wins. A candidate wins in
/// proportion to its weight.
///
/// The logarithm is made of basic IEEE operations only, so that every machine computes the same placement.
package enum Rendezvous {
  /// A number that stands for a name in all its draws: FNV-1a over its bytes, finished by SplitMix64's mixer.
  package static func seed(_ name: String) -> UInt64 {
    var hash: UInt64 = 0xCBF2_9CE4_8422_2325
    for byte in name.utf8 {
      hash ^= UInt64(byte)
      hash = hash &* 0x0000_0100_0000_01B3
    }
    return mix(hash)
  }

  /// The candidate's draw for a key; the greatest wins where all weigh the same.
  @inline(__always) package static func draw(seed: UInt64, key: UInt64) -> UInt64 {
    mix(seed ^ (key &+ 1) &* 0x9E37_79B9_7F4A_7C15)
  }

  /// −log₂(u) ÷ weight, where u in (0, 1) is the draw; the smallest wins. `weight` is above zero.
  @inline(__always) package static func cost(draw: UInt64, weight: Double) -> Double {
    // 53 bits and a half step, so that u is neither 0 nor 1.
    let u = (Double(draw >> 11) + 0.5) * 0x1p-53
    return -log2(u) / weight
  }

  /// A bound below `cost` at weight 1, without a logarithm: −ln(u) ≥ 1 − u, less a little for what `log2` may be off.
  @inline(__always) static func leastCost(draw: UInt64) -> Double {
    let u = (Double(draw >> 11) + 0.5) * 0x1p-53
    return (1 - u) * 1.442_6
  }

  @inline(__always) static func mix(_ value: UInt64) -> UInt64 {
    var z = value
    z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
    z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
    return z ^ (z >> 31)
  }

  /// Binary logarithm of a positive normal number, within 10⁻⁶: the exponent, and the series of artanh for the significand in [√½, √2).
  @inline(__always) static func log2(_ x: Double) -> Double {
    var exponent = Int(x.bitPattern >> 52) - 1023
    var significand = Double(bitPattern: (x.bitPattern & 0x000F_FFFF_FFFF_FFFF) | 0x3FF0_0000_0000_0000)
    if significand > 1.414_213_562_373_095 {
      significand *= 0.5
      exponent += 1
    }
    let t = (significand - 1) / (significand + 1)
    let s = t * t
    // 2 ÷ ln 2 × (t + t³/3 + t⁵/5 + t⁷/7 + t⁹/9)
    let series = t * (1 + s * (0.333_333_333_333_333 + s * (0.2 + s * (0.142_857_142_857_143 + s * 0.111_111_111_111_111))))
    return Double(exponent) + 2.885_390_081_777_927 * series
  }
}
