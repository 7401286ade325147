extension Int {
  /// The smallest multiple of `unit`, a power of two, that is not below self.
  package func roundedUp(to unit: Int) -> Int { (self + unit - 1) & ~(unit - 1) }
  /// The largest multiple of `unit`, a power of two, that is not above self.
  package func roundedDown(to unit: Int) -> Int { self & ~(unit - 1) }
}
