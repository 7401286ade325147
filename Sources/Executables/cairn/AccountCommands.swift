import CairnClient
import CommandLineKit
import Platform

/// Users, tokens and devices.
enum AccountCommands {
  static let all = [signUp, logIn, logOut, whoAmI, changePassword, devices, usage]

  private static let user = CommandArgument("USER", help: "the user's name")
  private static let passwordFlag = CommandFlag("password-stdin", help: "read the password from standard input, one line")

  private static let signUp = Command(
    "signup", summary: "make an account",
    discussion: "Asks for a password of 8 characters or more, twice. Log in afterwards.",
    arguments: [user], flags: [passwordFlag],
    examples: ["cairn signup ada", "printf '%s\\n' \"$PASSWORD\" | cairn signup ada --password-stdin"]
  ) { invocation in
    let client = try Profile.current().client()
    let name = invocation.argument("USER")
    let made = try await client.signUp(name: name, password: try await password(invocation, confirming: true))
    try invocation.console.confirm(made) { "\(made.name) is signed up; go on with “cairn login \(made.name)”." }
  }

  private static let logIn = Command(
    "login", summary: "log in and remember it",
    discussion: """
      Keeps the token in a profile that only you can read, under $XDG_CONFIG_HOME/cairn. With --print-token, the token \
      is printed and the profile \
      stays as it is.
      """,
    arguments: [user],
    options: [CommandOption("device", value: "NAME", help: "what the list of devices calls this one; the machine's name by default")],
    flags: [passwordFlag, CommandFlag("print-token", help: "print the token alone, for CAIRN_TOKEN; keep no profile")],
    examples: ["cairn login ada", "export CAIRN_TOKEN=$(cairn login ada --password-stdin --print-token < password)"]
  ) { invocation in
    var profile = try Profile.current()
    profile.token = nil
    let name = invocation.argument("USER")
    let device = invocation.option("device") ?? machineName()
    let session = try await profile.client().logIn(name: name, password: try await password(invocation, confirming: false), device: device)
    if invocation.flag("print-token") {
      try invocation.console.result(session) { session.token }
      return
    }
    profile.user = name
    profile.token = session.token
    try profile.save()
    if invocation.console.isJSON {
      try invocation.console.printJSON(LoggedIn(user: name, gateway: profile.gateway, token: session.token, expiresAt: session.expiresAt))
    } else {
      invocation.console.note("Logged in to \(profile.gateway) as \(name).")
    }
  }

  /// What `login --json` prints.
  private struct LoggedIn: Encodable {
    var user: String
    var gateway: String
    var token: String
    var expiresAt: Timestamp
    private enum CodingKeys: String, CodingKey {
      case user, gateway, token
      case expiresAt = "expires_at"
    }
  }

  private static let logOut = Command(
    "logout", summary: "revoke the token and forget it", examples: ["cairn logout"]
  ) { invocation in
    let profile = try Profile.current()
    guard profile.token != nil else {
      if invocation.console.isJSON { return try invocation.console.printJSON(["logged_out": false]) }
      return invocation.console.note("Nobody is logged in to \(profile.gateway).")
    }
    do { try await profile.client().logOut() } catch let error as CairnError where error.kind == .notLoggedIn {
      // Expired or revoked elsewhere: forgetting it is all that is left to do.
    }
    if var stored = try Profile.load(), stored.gateway == profile.gateway, stored.token == profile.token {
      stored.token = nil
      try stored.save()
    }
    if invocation.console.isJSON { try invocation.console.printJSON(["logged_out": true]) } else { invocation.console.note("Logged out.") }
  }

  private static let whoAmI = Command("whoami", summary: "show who is logged in", examples: ["cairn whoami"]) { invocation in
    let user = try await Profile.current().client().currentUser()
    try invocation.console.result(user) { user.name }
  }

  private static let changePassword = Command(
    "passwd", summary: "change your password",
    discussion: "Asks for the present password and, twice, for the new one. Your other devices have to log in again.",
    flags: [
      CommandFlag("password-stdin", help: "read both passwords from standard input, the present one first, a line each"),
      CommandFlag("keep-devices", help: "leave your other devices logged in"),
    ],
    examples: ["cairn passwd", "printf '%s\\n%s\\n' \"$OLD\" \"$NEW\" | cairn passwd --password-stdin"]
  ) { invocation in
    let client = try Profile.current().client()
    let isPiped = invocation.flag("password-stdin")
    let present = try await isPiped ? PasswordPrompt.readStandardInput() : PasswordPrompt.ask("Present password: ")
    let new = try await isPiped ? PasswordPrompt.readStandardInput() : PasswordPrompt.ask("New password: ", confirming: true)
    try await client.changePassword(text(present), to: text(new), keepDevices: invocation.flag("keep-devices"))
    if invocation.console.isJSON {
      try invocation.console.printJSON(["changed": true])
    } else {
      invocation.console.note("The password is changed.")
    }
  }

  private static let devices = Command(
    "devices", summary: "list where you are logged in, or log one out",
    options: [CommandOption("revoke", value: "DEVICE", help: "log this device out, by name or id")],
    examples: ["cairn devices", "cairn devices --revoke laptop"]
  ) { invocation in
    let client = try Profile.current().client()
    if let device = invocation.option("revoke") {
      try await client.revokeDevice(device)
      if invocation.console.isJSON {
        try invocation.console.printJSON(["revoked": device])
      } else {
        invocation.console.note("Logged \(device) out.")
      }
      return
    }
    let devices = try await client.devices()
    if invocation.console.isJSON { return try invocation.console.printJSON(devices) }
    var table = Table([.left("DEVICE"), .left("LAST SEEN"), .left("SINCE"), .left("ID")])
    for device in devices {
      let name = device.current ? "\(device.name) (this one)" : device.name
      table.add([name, device.lastSeenAt?.rfc3339 ?? "-", device.createdAt.rfc3339, device.id])
    }
    invocation.console.write(table.render(style: invocation.console.style))
  }

  private static let usage = Command("usage", summary: "show the space you use", examples: ["cairn usage"]) { invocation in
    let usage = try await Profile.current().client().usage()
    try invocation.console.result(usage) {
      let quota = usage.quota.map { " of \(HumanFormat.size($0))" } ?? ""
      let reserved = usage.reserved > 0 ? ", \(HumanFormat.size(usage.reserved)) held for uploads under way" : ""
      return "\(HumanFormat.size(usage.used))\(quota) in \(HumanFormat.counted(Int(usage.files), "file"))\(reserved)"
    }
  }

  // MARK: Helpers

  private static func password(_ invocation: Invocation, confirming: Bool) async throws -> String {
    let secret =
      invocation.flag("password-stdin")
      ? try await PasswordPrompt.readStandardInput() : try await PasswordPrompt.ask(confirming: confirming)
    return text(secret)
  }

  private static func text(_ secret: SecretBytes) -> String { secret.withBytes { String(decoding: $0, as: UTF8.self) } }

  private static func machineName() -> String {
    guard let bytes = try? AtomicFile.read("/proc/sys/kernel/hostname", limit: 256) else { return "unnamed" }
    let name = String(decoding: bytes.prefix { $0 != UInt8(ascii: "\n") }, as: UTF8.self)
    return name.isEmpty ? "unnamed" : name
  }
}
