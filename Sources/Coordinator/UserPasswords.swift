internal import Platform
internal import ServiceAPI

/// Passwords as the database keeps them: scrypt with a salt of its own, `scrypt$15$8$1$SALT$KEY` in base 64.
struct UserPasswords: Sendable {
  static let shortest = 8
  static let longestBytes = 1024
  private static let (logCost, blockSize, lanes) = (15, 8, 1)

  /// Hashing takes some 60 ms of processor time and 32 MiB each, so few run at once and few wait: whoever floods the door with log-ins gets
  /// `busy`, and all else goes on.
  private let pool = BlockingPool(name: "passwords", threads: 2, queueLimit: 64)
  /// What an unknown name's password is compared with, so that the time of the answer does not tell names.
  private let decoy: String

  /// Blocks for one hashing.
  init() {
    decoy = UserPasswords.hashed("decoy", salt: SecureRandom.bytes(16)) ?? ""
  }

  /// - Throws: `.malformed` for a password that the rules refuse, `.busy`.
  func hash(_ password: String) async throws -> String {
    guard password.count >= UserPasswords.shortest else {
      throw Problem(.malformed, "A password has at least \(UserPasswords.shortest) characters.")
    }
    guard password.utf8.count <= UserPasswords.longestBytes else {
      throw Problem(.malformed, "A password has at most \(UserPasswords.longestBytes) bytes.")
    }
    let hashed = try await run { UserPasswords.hashed(password, salt: SecureRandom.bytes(16)) }
    guard let hashed else { throw Problem(.internalError, "The password could not be hashed.") }
    return hashed
  }

  /// Whether `password` is the one that was hashed. Takes as long for no record at all.
  func verify(_ password: String, _ record: String?) async throws -> Bool {
    guard password.utf8.count <= UserPasswords.longestBytes else { return false }
    let fields = (record ?? decoy).split(separator: "$").map(String.init)
    guard fields.count == 6, fields[0] == "scrypt", let logCost = Int(fields[1]), (1...20).contains(logCost),
      let blockSize = Int(fields[2]),
      let lanes = Int(fields[3]), let salt = Base64URL.decode(fields[4]), let key = Base64URL.decode(fields[5])
    else { throw Problem(.internalError, "A user's password record cannot be read.") }
    let derived = try await run {
      try Scrypt.derive(password: Array(password.utf8), salt: salt, n: 1 << logCost, r: blockSize, p: lanes, count: key.count)
    }
    return constantTimeEqual(derived, key) && record != nil
  }

  private static func hashed(_ password: String, salt: [UInt8]) -> String? {
    let key = try? Scrypt.derive(password: Array(password.utf8), salt: salt, n: 1 << logCost, r: blockSize, p: lanes)
    return key.map { "scrypt$\(logCost)$\(blockSize)$\(lanes)$\(Base64URL.encode(salt))$\(Base64URL.encode($0))" }
  }

  private func run<T: Sendable>(_ work: @escaping @Sendable () throws -> T) async throws -> T {
    do { return try await pool.run(work) } catch is BlockingPool.Refused {
      throw Problem(.busy, "Too many people log in just now; try again in a moment.", retryAfter: 2)
    }
  }
}
