import BlockModel
import CairnClient
import CommandLineKit
import Platform

/// Shares, links, and what others did.
enum SharingCommands {
  static let all = [share, unshare, shares, shared, link, links, unlink, notifications]

  private static let remote = CommandArgument("REMOTE", help: "the file or folder")

  private static func table(_ grants: [ShareGrant], _ console: Console) throws {
    if console.isJSON { return try console.printJSON(grants) }
    var table = Table([.left("USER"), .left("ROLE"), .left("GRANTED BY"), .left("SINCE"), .left("PATH")])
    for grant in grants {
      table.add([grant.user, grant.role, grant.grantedBy, String(grant.grantedAt.rfc3339.prefix(19)), grant.entry.path])
    }
    console.write(table.render(style: console.style))
  }

  private static let share = Command(
    "share", summary: "share a file or folder with a user",
    discussion: """
      The user finds it under “/Shared with me”. With the role read they may look and copy, with write also change and \
      delete to your trash, with admin also share it on, make links and delete for good.

      With an encrypted folder its key goes along, under the user's public key, whose fingerprint is printed: compare it with the user. A \
      former member can open what they kept, and whatever they can get hold of later: a folder's key does not change.
      """,
    arguments: [remote, CommandArgument("USER", help: "whom to share it with")],
    options: [
      CommandOption("role", value: "ROLE", help: "read, write or admin", kind: .choice(["read", "write", "admin"]), default: "read")
    ],
    flags: [CommandFlag("accept-new-key", help: "with an encrypted folder: the user's public key may be another one than was seen first")],
    examples: ["cairn share /photos bob", "cairn share /plans.txt carol --role write"]
  ) { invocation in
    let grant = try await Profile.current().client().share(
      invocation.argument("REMOTE"), with: invocation.argument("USER"), role: invocation.option("role") ?? "read",
      acceptNewKey: invocation.flag("accept-new-key"))
    try invocation.console.confirm(grant) {
      let key = grant.fingerprint.map { "\nFingerprint of the public key of \(grant.user): \($0)" } ?? ""
      return "\(grant.user) may \(grant.role) \(grant.entry.path) now." + key
    }
  }

  private static let unshare = Command(
    "unshare", summary: "take a share back, or give up your own",
    arguments: [remote, CommandArgument("USER", help: "whose share; your own when left away", count: .optional)],
    examples: ["cairn unshare /photos bob", "cairn unshare '/Shared with me/photos'"]
  ) { invocation in
    let path = invocation.argument("REMOTE")
    try await Profile.current().client().unshare(path, from: invocation.optionalArgument("USER"))
    if invocation.console.isJSON {
      try invocation.console.printJSON(["unshared": path])
    } else {
      invocation.console.note("\(path) is not shared any more.")
    }
  }

  private static let shares = Command(
    "shares", summary: "list with whom something is shared", arguments: [remote], examples: ["cairn shares /photos"]
  ) { invocation in
    try table(try await Profile.current().client().shares(of: invocation.argument("REMOTE")), invocation.console)
  }

  private static let shared = Command(
    "shared", summary: "list what others share with you",
    discussion: "Each is a path under “/Shared with me”, which works with every verb.", examples: ["cairn shared"]
  ) { invocation in
    let grants = try await Profile.current().client().shared()
    if invocation.console.isJSON { return try invocation.console.printJSON(grants) }
    var table = Table([.left("OWNER"), .left("ROLE"), .left("SINCE"), .left("PATH")])
    for grant in grants {
      let path = grant.entry.path + (grant.entry.kind == .folder ? "/" : "")
      table.add([grant.entry.owner, grant.role, String(grant.grantedAt.rfc3339.prefix(19)), path])
    }
    invocation.console.write(table.render(style: invocation.console.style))
  }

  // MARK: Links

  private static let link = Command(
    "link", summary: "make a link that opens something to whoever has it", arguments: [remote],
    options: [
      CommandOption("expires", value: "TIME", help: "ends after this long, such as 7d", kind: .duration),
      CommandOption("max-downloads", value: "N", help: "ends after so many downloads", kind: .integer(1...1_000_000_000)),
    ],
    flags: [CommandFlag("password-stdin", help: "read a password for the link from standard input, one line")],
    examples: ["cairn link /photos/2026.jpg --expires 7d", "printf '%s\\n' \"$SECRET\" | cairn link /plans --password-stdin"]
  ) { invocation in
    var password: String?
    if invocation.flag("password-stdin") {
      password = try await PasswordPrompt.readStandardInput().withBytes { String(decoding: $0, as: UTF8.self) }
    }
    let end = invocation.duration("expires").map { Moments.fromNow($0) }
    let made = try await Profile.current().client().createLink(
      to: invocation.argument("REMOTE"), expiresAt: end, password: password, maxDownloads: invocation.int("max-downloads").map(Int64.init))
    try invocation.console.result(made) { made.url ?? made.id }
  }

  private static let links = Command(
    "links", summary: "list links", discussion: "Those of a file or folder, or all that you made.",
    arguments: [CommandArgument("REMOTE", help: "a file or folder", count: .optional)], examples: ["cairn links", "cairn links /photos"]
  ) { invocation in
    let links = try await Profile.current().client().links(of: invocation.optionalArgument("REMOTE"))
    if invocation.console.isJSON { return try invocation.console.printJSON(links) }
    var table = Table([.left("ID"), .left("ENDS"), .right("DOWNLOADS"), .left("PASSWORD"), .left("PATH")])
    for link in links {
      let downloads = link.maxDownloads.map { "\(link.downloads) of \($0)" } ?? "\(link.downloads)"
      let end = link.expiresAt.map { String($0.rfc3339.prefix(19)) } ?? "-"
      table.add([link.id, end, downloads, link.hasPassword ? "yes" : "-", link.entry.path])
    }
    invocation.console.write(table.render(style: invocation.console.style))
  }

  private static let unlink = Command(
    "unlink", summary: "revoke links", arguments: [CommandArgument("LINK", help: "ids, as “cairn links” shows them", count: .oneOrMore)],
    examples: ["cairn unlink 0123456789abcdef0123456789abcdef"]
  ) { invocation in
    let client = try Profile.current().client()
    try await invocation.each(invocation.arguments("LINK")) { id in
      try await client.revokeLink(id)
      if invocation.console.isJSON { try invocation.console.printJSON(["revoked": id]) }
    }
  }

  private static let notifications = Command(
    "notifications", summary: "show what others did to your files and to what is shared with you",
    options: [CommandOption("limit", value: "N", help: "at most so many", kind: .integer(1...100_000), default: "100")],
    examples: ["cairn notifications", "cairn notifications --limit 10 --json"]
  ) { invocation in
    let notices = try await Profile.current().client().notifications(limit: invocation.int("limit") ?? 100)
    if invocation.console.isJSON { return try invocation.console.printJSON(notices) }
    var table = Table([.left("WHEN"), .left("WHO"), .left("WHAT"), .left("PATH")])
    for notice in notices { table.add([String(notice.at.rfc3339.prefix(19)), notice.actor, notice.kind, notice.entry.path]) }
    invocation.console.write(table.render(style: invocation.console.style))
  }
}

/// Times as people give them.
enum Moments {
  static func fromNow(_ duration: Duration) -> Timestamp { moved(by: duration, sign: 1) }
  static func ago(_ duration: Duration) -> Timestamp { moved(by: duration, sign: -1) }

  /// RFC 3339, a day such as `2026-11-21`, or how long ago, such as `2h`; nil for anything else.
  static func past(_ text: String) -> Timestamp? {
    if let time = Timestamp(rfc3339: text) ?? Timestamp(rfc3339: text + "T00:00:00Z") { return time }
    return DurationText.parse(text).map { ago($0) }
  }

  private static func moved(by duration: Duration, sign: Int64) -> Timestamp {
    let nanoseconds = duration.components.seconds * 1_000_000_000 + duration.components.attoseconds / 1_000_000_000
    return Timestamp(nanoseconds: SystemTime().wall().microseconds * 1000 + sign * nanoseconds)
  }
}
