extension WallTime {
  /// UTC in the form of RFC 3339. Times outside of the years 0 to 9999, which the form cannot write, are moved to its ends.
  package var rfc3339: String {
    let clamped = min(max(microseconds, WallTime.firstWritable), WallTime.lastWritable)
    let (seconds, fraction) = clamped.flooredDivision(by: 1_000_000)
    let (days, secondOfDay) = seconds.flooredDivision(by: 86_400)
    let (year, month, day) = CivilDate.fromDays(days)
    var text: [UInt8] = []
    text.reserveCapacity(27)
    WallTime.append(year, digits: 4, to: &text)
    text.append(UInt8(ascii: "-"))
    WallTime.append(month, digits: 2, to: &text)
    text.append(UInt8(ascii: "-"))
    WallTime.append(day, digits: 2, to: &text)
    text.append(UInt8(ascii: "T"))
    WallTime.append(secondOfDay / 3600, digits: 2, to: &text)
    text.append(UInt8(ascii: ":"))
    WallTime.append(secondOfDay / 60 % 60, digits: 2, to: &text)
    text.append(UInt8(ascii: ":"))
    WallTime.append(secondOfDay % 60, digits: 2, to: &text)
    if fraction != 0 {
      text.append(UInt8(ascii: "."))
      WallTime.append(fraction, digits: 6, to: &text)
    }
    text.append(UInt8(ascii: "Z"))
    return String(decoding: text, as: UTF8.self)
  }

  /// Reads RFC 3339 with any offset. A fraction beyond microseconds is cut; a leap second counts as the second after it.
  /// Nil for anything else, such as a thirtieth of February.
  package init?(rfc3339 text: String) {
    var reader = DigitReader(bytes: Array(text.utf8))
    guard let year = reader.number(4), reader.take("-"), let month = reader.number(2), reader.take("-"), let day = reader.number(2),
      reader.take("T") || reader.take("t") || reader.take(" "),
      let hour = reader.number(2), reader.take(":"), let minute = reader.number(2), reader.take(":"), let second = reader.number(2),
      (1...12).contains(month), day >= 1, day <= CivilDate.length(ofMonth: month, year: year), hour < 24, minute < 60, second <= 60,
      let fraction = reader.fractionMicroseconds(), let offsetMinutes = reader.offsetMinutes(), reader.atEnd
    else { return nil }
    let days = CivilDate.toDays(year: year, month: month, day: day)
    let seconds = days * 86_400 + hour * 3600 + minute * 60 + second - offsetMinutes * 60
    self.init(microseconds: seconds * 1_000_000 + fraction)
  }

  private static let firstWritable: Int64 = CivilDate.toDays(year: 0, month: 1, day: 1) * 86_400_000_000
  private static let lastWritable: Int64 = CivilDate.toDays(year: 10_000, month: 1, day: 1) * 86_400_000_000 - 1

  private static func append(_ value: Int64, digits: Int, to text: inout [UInt8]) {
    var divisor: Int64 = 1
    for _ in 1..<digits { divisor *= 10 }
    while divisor > 0 {
      text.append(UInt8(ascii: "0") + UInt8(value / divisor % 10))
      divisor /= 10
    }
  }
}

/// The proleptic Gregorian calendar as day numbers, by the algorithms of Howard Hinnant's "chrono-compatible low-level date algorithms".
enum CivilDate {
  /// Days since 1970-01-01.
  static func toDays(year: Int64, month: Int64, day: Int64) -> Int64 {
    let shifted = month <= 2 ? year - 1 : year
    let (era, yearOfEra) = shifted.flooredDivision(by: 400)
    let dayOfYear = (153 * (month > 2 ? month - 3 : month + 9) + 2) / 5 + day - 1
    let dayOfEra = yearOfEra * 365 + yearOfEra / 4 - yearOfEra / 100 + dayOfYear
    return era * 146_097 + dayOfEra - 719_468
  }

  static func fromDays(_ days: Int64) -> (year: Int64, month: Int64, day: Int64) {
    let (era, dayOfEra) = (days + 719_468).flooredDivision(by: 146_097)
    let yearOfEra = (dayOfEra - dayOfEra / 1460 + dayOfEra / 36_524 - dayOfEra / 146_096) / 365
    let dayOfYear = dayOfEra - (365 * yearOfEra + yearOfEra / 4 - yearOfEra / 100)
    let shiftedMonth = (5 * dayOfYear + 2) / 153
    let day = dayOfYear - (153 * shiftedMonth + 2) / 5 + 1
    let month = shiftedMonth < 10 ? shiftedMonth + 3 : shiftedMonth - 9
    return (yearOfEra + era * 400 + (month <= 2 ? 1 : 0), month, day)
  }

  static func length(ofMonth month: Int64, year: Int64) -> Int64 {
    switch month {
    case 2: return year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) ? 29 : 28
    case 4, 6, 9, 11: return 30
    default: return 31
    }
  }
}

/// Takes fixed-width numbers from text, one after the other.
private struct DigitReader {
  let bytes: [UInt8]
  var position = 0

  var atEnd: Bool { position == bytes.count }

  mutating func take(_ character: Unicode.Scalar) -> Bool {
    guard position < bytes.count, bytes[position] == UInt8(ascii: character) else { return false }
    position += 1
    return true
  }

  mutating func digit() -> Int64? {
    guard position < bytes.count, (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(bytes[position]) else { return nil }
    position += 1
    return Int64(bytes[position - 1] - UInt8(ascii: "0"))
  }

  mutating func number(_ digits: Int) -> Int64? {
    var value: Int64 = 0
    for _ in 0..<digits {
      guard let next = digit() else { return nil }
      value = value * 10 + next
    }
    return value
  }

  /// Zero without a point; nil for a point without digits.
  mutating func fractionMicroseconds() -> Int64? {
    guard take(".") else { return 0 }
    guard var value = digit() else { return nil }
    var kept = 1
    while let next = digit() {
      guard kept < 6 else { continue }
      value = value * 10 + next
      kept += 1
    }
    while kept < 6 {
      value *= 10
      kept += 1
    }
    return value
  }

  mutating func offsetMinutes() -> Int64? {
    if take("Z") || take("z") { return 0 }
    let sign: Int64
    if take("+") { sign = 1 } else if take("-") { sign = -1 } else { return nil }
    guard let hours = number(2), take(":"), let minutes = number(2), hours < 24, minutes < 60 else { return nil }
    return sign * (hours * 60 + minutes)
  }
}
