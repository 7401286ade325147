import BlockModel
import CommandLineKit
import Platform
import ServiceAPI

/// `cairnctl users`: who has an account, what they use, and what an operator does about it.
enum UserCommands {
  static let command = Command(
    "users", summary: "list users, or change what they may", subcommands: [quota, disable, enable, reset],
    examples: ["cairnctl users", "cairnctl users quota ada 50GiB", "cairnctl users reset ada"]
  ) { invocation in try await list(invocation) }

  private static let user = CommandArgument("USER", help: "the user's name")

  private static func list(_ invocation: Invocation) async throws {
    let connection = try CoordinatorConnection()
    var users: [UserAccount] = []
    var cursor: String?
    repeat {
      let page = try await connection.perform(OperatorOperations.ListUsers(limit: 1000, cursor: cursor))
      users += page.items
      cursor = page.next
    } while cursor != nil
    let console = invocation.console
    guard !console.isJSON else { return try console.printJSON(["users": users]) }
    var table = Table([
      .left("USER"), .right("USED"), .right("RESERVED"), .right("QUOTA"), .right("FILES"), .right("DEVICES"), .left("STATE"),
      .left("SINCE"),
    ])
    for user in users {
      table.add([
        user.name, HumanFormat.size(user.usage.used), HumanFormat.size(user.usage.reserved),
        user.usage.quota.map { HumanFormat.size($0) } ?? "-", HumanFormat.count(Int(user.usage.files)), HumanFormat.count(user.devices),
        user.isDisabled ? "disabled" : "active", String(user.createdAt.rfc3339.prefix(10)),
      ])
    }
    console.write(table.render(style: console.style))
  }

  private static let quota = Command(
    "quota", summary: "set how much a user may store",
    arguments: [user, CommandArgument("SIZE", help: "such as 50GiB, or unlimited")],
    examples: ["cairnctl users quota ada 50GiB", "cairnctl users quota ada unlimited"]
  ) { invocation in
    let text = invocation.argument("SIZE")
    let bytes = ByteSize.parse(text)
    guard bytes != nil || text == "unlimited" else {
      throw CommandFailure(.usage, "“\(text)” is no size: use one such as 50GiB, or unlimited.")
    }
    let name = invocation.argument("USER")
    _ = try await CoordinatorConnection().perform(OperatorOperations.SetUserQuota(user: name, quota: bytes))
    try done(invocation, "\(name) may store \(bytes.map { HumanFormat.size($0) } ?? "without a limit").")
  }

  private static let disable = Command(
    "disable", summary: "let a user in no more, keeping all files", arguments: [user], examples: ["cairnctl users disable ada"]
  ) { invocation in try await set(invocation, isDisabled: true) }

  private static let enable = Command(
    "enable", summary: "let a disabled user in again", arguments: [user], examples: ["cairnctl users enable ada"]
  ) { invocation in try await set(invocation, isDisabled: false) }

  private static func set(_ invocation: Invocation, isDisabled: Bool) async throws {
    let name = invocation.argument("USER")
    _ = try await CoordinatorConnection().perform(OperatorOperations.SetUserDisabled(user: name, isDisabled: isDisabled))
    try done(invocation, "\(name) is \(isDisabled ? "disabled" : "enabled").")
  }

  private static let reset = Command(
    "reset", summary: "give a user another password and log all their devices out",
    discussion: "Prints the new password, or takes it from standard input. The user changes it with “cairn passwd”.", arguments: [user],
    flags: [CommandFlag("password-stdin", help: "read the new password from standard input, one line")],
    examples: ["cairnctl users reset ada"]
  ) { invocation in
    let name = invocation.argument("USER")
    let isGiven = invocation.flag("password-stdin")
    let password =
      try await isGiven
      ? PasswordPrompt.readStandardInput().withBytes { String(decoding: $0, as: UTF8.self) }
      : Base64URL.encode(SecureRandom.bytes(12))
    _ = try await CoordinatorConnection().perform(OperatorOperations.ResetUserPassword(user: name, password: password))
    if isGiven { return try done(invocation, "\(name) has another password.") }
    try invocation.console.result(["user": name, "password": password]) { password }
  }

  private static func done(_ invocation: Invocation, _ sentence: String) throws {
    if invocation.console.isJSON { try invocation.console.printJSON(["done": true]) } else { invocation.console.note(sentence) }
  }
}
