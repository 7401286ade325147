internal import COpenSSL

/// A certificate and its private key, both as PEM texts.
package struct CertificatePair: Sendable {
  package var certificatePEM: [UInt8]
  package var keyPEM: [UInt8]
  package init(certificatePEM: [UInt8], keyPEM: [UInt8]) {
    self.certificatePEM = certificatePEM
    self.keyPEM = keyPEM
  }
}

/// Makes the certificates of a cluster (RFC 5280): an authority of its own, and what each daemon shows, all with P-256 keys.
///
/// What must hold: a daemon's certificate is no authority; its subject says what kind of daemon it is (OU) and its name (CN), which is what
/// others let it in by; it serves for both ends of a connection.
package enum Certificates {
  /// How far back a certificate begins, for clocks that are behind.
  private static let slackSeconds = -3600
  private static let daySeconds = 86_400

  /// A new authority, signed by itself.
  package static func makeAuthority(name: String, days: Int) throws(CryptoError) -> CertificatePair {
    let key = try makeKey()
    defer { EVP_PKEY_free(key) }
    return try make(
      key: key, subject: [("O", "Cairn"), ("CN", name)], days: days, issuer: nil,
      extensions: [
        (NID_basic_constraints, "critical,CA:TRUE,pathlen:0"), (NID_key_usage, "critical,keyCertSign,cRLSign"),
        (NID_subject_key_identifier, "hash"),
      ])
  }

  /// A daemon's certificate.
  ///
  /// - Parameters:
  ///   - kind: `node`, `coordinator` or `gateway`.
  ///   - hosts: the IP addresses and DNS names that it is reached under.
  /// - Throws: `.invalidInput` for a host that is none, or an authority that cannot be read.
  package static func issue(
    kind: String, name: String, hosts: [String], days: Int, authority: CertificatePair
  ) throws(CryptoError) -> CertificatePair {
    let allowed = hosts.allSatisfy { host in
      !host.isEmpty && host.utf8.count <= 253 && host.utf8.allSatisfy { isHostByte($0) }
    }
    guard !hosts.isEmpty, allowed else { throw .invalidInput("a certificate needs IP addresses or DNS names") }
    let names = hosts.map { isAddress($0) ? "IP:\($0)" : "DNS:\($0)" }.joined(separator: ",")
    let issuer = try Issuer(authority)
    let key = try makeKey()
    defer { EVP_PKEY_free(key) }
    return try make(
      key: key, subject: [("O", "Cairn"), ("OU", kind), ("CN", name)], days: days, issuer: issuer,
      extensions: [
        (NID_basic_constraints, "critical,CA:FALSE"), (NID_key_usage, "critical,digitalSignature"),
        (NID_ext_key_usage, "serverAuth,clientAuth"), (NID_subject_alt_name, names), (NID_subject_key_identifier, "hash"),
        // While an authority is replaced, two have one name; this says which of them it was.
        (NID_authority_key_identifier, "keyid:always"),
      ])
  }

  /// Seconds until the first certificate of a PEM text ends, below zero when it has; nil when there is none.
  package static func secondsLeft(_ certificatePEM: [UInt8]) -> Int? {
    guard let certificate = try? readCertificate(certificatePEM) else { return nil }
    defer { X509_free(certificate) }
    var (days, seconds) = (Int32(0), Int32(0))
    guard ASN1_TIME_diff(&days, &seconds, nil, X509_get0_notAfter(certificate)) == 1 else { return nil }
    return Int(days) * daySeconds + Int(seconds)
  }

  // MARK: Making one

  /// An authority as the library holds it.
  private final class Issuer {
    let certificate: OpaquePointer
    let key: OpaquePointer

    init(_ pair: CertificatePair) throws(CryptoError) {
      certificate = try Certificates.readCertificate(pair.certificatePEM)
      do throws(CryptoError) { key = try Certificates.readKey(pair.keyPEM) } catch {
        X509_free(certificate)
        throw error
      }
      guard X509_check_private_key(certificate, key) == 1 else {
        throw .invalidInput("the authority's certificate and key do not belong together")
      }
    }

    deinit {
      X509_free(certificate)
      EVP_PKEY_free(key)
    }
  }

  private static func makeKey() throws(CryptoError) -> OpaquePointer {
    guard let context = EVP_PKEY_CTX_new_id(EVP_PKEY_EC, nil) else { throw .library("EVP_PKEY_CTX_new_id") }
    defer { EVP_PKEY_CTX_free(context) }
    var key: OpaquePointer?
    guard EVP_PKEY_keygen_init(context) == 1, EVP_PKEY_CTX_set_ec_paramgen_curve_nid(context, NID_X9_62_prime256v1) == 1,
      EVP_PKEY_keygen(context, &key) == 1, let key
    else { throw .library("EVP_PKEY_keygen") }
    return key
  }

  private static func make(
    key: OpaquePointer, subject: [(String, String)], days: Int, issuer: Issuer?, extensions: [(Int32, String)]
  ) throws(CryptoError) -> CertificatePair {
    guard (1...36_500).contains(days) else { throw .invalidInput("a certificate lasts 1 to 36500 days") }
    guard let certificate = X509_new() else { throw .library("X509_new") }
    defer { X509_free(certificate) }
    // 63 random bits, which RFC 5280 has as a positive number.
    let serial = SecureRandom.bytes(8).reduce(UInt64(0)) { $0 << 8 | UInt64($1) } >> 1
    guard X509_set_version(certificate, 2) == 1, ASN1_INTEGER_set_uint64(X509_get_serialNumber(certificate), max(1, serial)) == 1,
      X509_gmtime_adj(X509_getm_notBefore(certificate), slackSeconds) != nil,
      X509_gmtime_adj(X509_getm_notAfter(certificate), days * daySeconds) != nil, X509_set_pubkey(certificate, key) == 1,
      let name = X509_get_subject_name(certificate)
    else { throw .library("X509_set_pubkey") }
    for (field, value) in subject {
      guard X509_NAME_add_entry_by_txt(name, field, MBSTRING_ASC, Array(value.utf8), Int32(value.utf8.count), -1, 0) == 1 else {
        throw .invalidInput("the certificate's \(field)")
      }
    }
    guard X509_set_issuer_name(certificate, issuer.map { X509_get_subject_name($0.certificate) } ?? name) == 1 else {
      throw .library("X509_set_issuer_name")
    }
    for (identifier, value) in extensions { try add(identifier, value, to: certificate, issuer: issuer?.certificate ?? certificate) }
    guard X509_sign(certificate, issuer?.key ?? key, EVP_sha256()) > 0 else { throw .library("X509_sign") }
    return CertificatePair(
      certificatePEM: try text { PEM_write_bio_X509($0, certificate) },
      keyPEM: try text { PEM_write_bio_PrivateKey($0, key, nil, nil, 0, nil, nil) })
  }

  private static func add(
    _ identifier: Int32, _ value: String, to certificate: OpaquePointer, issuer: OpaquePointer
  ) throws(CryptoError) {
    var context = X509V3_CTX()
    X509V3_set_ctx(&context, issuer, certificate, nil, nil, 0)
    guard let made = X509V3_EXT_conf_nid(nil, &context, identifier, value) else { throw .invalidInput("the extension \(value)") }
    defer { X509_EXTENSION_free(made) }
    guard X509_add_ext(certificate, made, -1) == 1 else { throw .library("X509_add_ext") }
  }

  // MARK: PEM

  private static func text(_ write: (OpaquePointer) -> Int32) throws(CryptoError) -> [UInt8] {
    guard let memory = BIO_new(BIO_s_mem()) else { throw .library("BIO_new") }
    defer { BIO_free(memory) }
    guard write(memory) == 1 else { throw .library("PEM_write_bio") }
    var bytes: [UInt8] = []
    var piece = [UInt8](repeating: 0, count: 4096)
    while true {
      let count = BIO_read(memory, &piece, Int32(piece.count))
      guard count > 0 else { return bytes }
      bytes += piece.prefix(Int(count))
    }
  }

  private static func readCertificate(_ pem: [UInt8]) throws(CryptoError) -> OpaquePointer {
    guard let memory = BIO_new_mem_buf(pem, Int32(pem.count)) else { throw .library("BIO_new_mem_buf") }
    defer { BIO_free(memory) }
    guard let certificate = PEM_read_bio_X509(memory, nil, nil, nil) else { throw .invalidInput("this is no certificate in PEM") }
    return certificate
  }

  private static func readKey(_ pem: [UInt8]) throws(CryptoError) -> OpaquePointer {
    guard let memory = BIO_new_mem_buf(pem, Int32(pem.count)) else { throw .library("BIO_new_mem_buf") }
    defer { BIO_free(memory) }
    // An empty passphrase, so that the library asks nobody for one.
    var empty: [CChar] = [0]
    guard let key = PEM_read_bio_PrivateKey(memory, nil, nil, &empty) else { throw .invalidInput("this is no private key in PEM") }
    return key
  }

  private static func isAddress(_ host: String) -> Bool {
    host.contains(":") || host.split(separator: ".", omittingEmptySubsequences: false).allSatisfy { Int($0) != nil }
  }

  /// Letters, digits, and what stands between them in names and addresses; nothing that the library's own notation has a use for.
  private static func isHostByte(_ byte: UInt8) -> Bool {
    switch byte {
    case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"), UInt8(ascii: "0")...UInt8(ascii: "9"): true
    case UInt8(ascii: "."), UInt8(ascii: "-"), UInt8(ascii: ":"): true
    default: false
    }
  }
}
