internal import CPostgreSQL
internal import SQLSession

/// Values in the binary format, one after the other, and their types.
struct PostgreSQLParameters {
  private(set) var types: [Oid] = []
  private var bytes: [UInt8] = []
  /// Where each begins; below zero for NULL.
  private var starts: [Int] = []
  private var lengths: [Int32] = []
  private var formats: [Int32] = []

  init(_ values: [SQLValue]) {
    types.reserveCapacity(values.count)
    starts.reserveCapacity(values.count)
    lengths.reserveCapacity(values.count)
    formats = [Int32](repeating: 1, count: values.count)
    for value in values {
      types.append(PostgreSQLParameters.type(of: value))
      let start = bytes.count
      var isNull = false
      switch value {
      case .null, .absent: isNull = true
      case .integer(let number): append(UInt64(bitPattern: number))
      case .real(let number): append(number.bitPattern)
      case .text(let text): bytes.append(contentsOf: text.utf8)
      case .blob(let blob): bytes.append(contentsOf: blob)
      }
      starts.append(isNull ? -1 : start)
      lengths.append(Int32(bytes.count - start))
    }
    // A value without bytes needs an address too: none would be NULL.
    bytes.append(0)
  }

  private mutating func append(_ word: UInt64) {
    for shift in stride(from: 56, through: 0, by: -8) { bytes.append(UInt8(truncatingIfNeeded: word >> UInt64(shift))) }
  }

  var byteCount: Int { bytes.count }

  func withPointers<R>(
    _ body: (Int32, UnsafePointer<UnsafePointer<CChar>?>?, UnsafePointer<Int32>?, UnsafePointer<Int32>?) -> R
  ) -> R {
    bytes.withUnsafeBufferPointer { buffer in
      buffer.withMemoryRebound(to: CChar.self) { characters in
        let pointers = starts.map { start in start < 0 ? nil : characters.baseAddress.map { $0 + start } }
        return pointers.withUnsafeBufferPointer { pointers in
          lengths.withUnsafeBufferPointer { lengths in
            formats.withUnsafeBufferPointer { formats in
              body(Int32(starts.count), pointers.baseAddress, lengths.baseAddress, formats.baseAddress)
            }
          }
        }
      }
    }
  }

  /// Numbers of PostgreSQL's types, from its catalog; 0 leaves it to the server.
  private static func type(of value: SQLValue) -> Oid {
    switch value {
    case .null: 0
    case .integer, .absent(.integer): 20
    case .real, .absent(.real): 701
    case .text, .absent(.text): 25
    case .blob, .absent(.blob): 17
    }
  }
}
