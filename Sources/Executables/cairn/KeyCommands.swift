import CairnClient
import CommandLineKit
import Platform

/// The user's key pair for encrypted folders.
enum KeyCommands {
  static let all = [keys]

  private static let keys = Command(
    "keys", summary: "manage the key pair that encrypted folders are shared by",
    discussion: """
      “cairn mkdir --encrypted” makes folders whose names and contents are encrypted on this machine before they are sent; \
      the cluster has no key of them. The key of a folder is handed to its members under their public keys. Your private key is on \
      the devices that you brought it to, and with the cluster under your recovery phrase.

      Who loses the recovery phrase and all devices loses what is in the folders: nobody can bring it back.
      """,
    subcommands: [create, show, recover, forget],
    examples: ["cairn keys create", "cairn keys show bob", "cairn keys recover", "cairn keys forget"])

  private static let create = Command(
    "create", summary: "make your key pair, and print its recovery phrase once",
    discussion: "Write the nine words down and keep them where you keep what must not be lost; they are not shown again.",
    flags: [
      CommandFlag(
        "replace", help: "make a new pair in place of one that is lost; folders that others shared with you have to be shared again")
    ],
    examples: ["cairn keys create", "cairn keys create --json"]
  ) { invocation in
    let made = try await Profile.current().client().createKeys(replacing: invocation.flag("replace"))
    try invocation.console.result(made) { text(of: made) }
  }

  /// Shown once, also by `mkdir --encrypted` when it had to make a pair.
  static func text(of made: NewKeys) -> String {
    """
    Your recovery phrase is

        \(made.recoveryPhrase.split(separator: "-").joined(separator: " "))

    Write it down: on a new device “cairn keys recover” asks for it, and it is not shown again.
    Fingerprint of your public key: \(made.status.fingerprint)
    """
  }

  private static let show = Command(
    "show", summary: "show the fingerprint of your public key, or of somebody else's",
    discussion: """
      Compare fingerprints with the other person, on the telephone for instance: equal words mean that nobody came in between. \
      A public key is remembered when it is first seen, and another one is refused from then on.
      """,
    arguments: [CommandArgument("USER", help: "whose; yours when left away", count: .optional)],
    flags: [CommandFlag("accept-new-key", help: "remember this key in place of the one that was seen first")],
    examples: ["cairn keys show", "cairn keys show bob"]
  ) { invocation in
    let client = try Profile.current().client()
    if let user = invocation.optionalArgument("USER") {
      let status = try await client.keys(of: user, acceptNewKey: invocation.flag("accept-new-key"))
      return try invocation.console.result(status) { "\(status.user)  \(status.fingerprint)" }
    }
    guard let status = try await client.keys() else {
      throw CommandFailure(.notFound, "You have no key pair yet; make one with “cairn keys create”.")
    }
    try invocation.console.result(status) {
      let place = status.isOnThisDevice == true ? "on this device" : "not on this device; run “cairn keys recover” to bring it here"
      return "\(status.user)  \(status.fingerprint)  (\(place))"
    }
  }

  private static let recover = Command(
    "recover", summary: "bring your key pair to this device",
    discussion: "Asks for your recovery phrase: nine words, with spaces or hyphens between.",
    flags: [CommandFlag("phrase-stdin", help: "read the recovery phrase from standard input, one line")],
    examples: ["cairn keys recover", "cairn keys recover --phrase-stdin < phrase"]
  ) { invocation in
    let secret =
      try await invocation.flag("phrase-stdin")
      ? PasswordPrompt.readStandardInput(
        asking: "recovery phrase") : PasswordPrompt.ask("Recovery phrase: ", alternative: "--phrase-stdin")
    let phrase = secret.withBytes { String(decoding: $0, as: UTF8.self) }
    let status = try await Profile.current().client().recoverKeys(phrase: phrase)
    try invocation.console.confirm(status) { "Your keys are on this device now. Fingerprint of your public key: \(status.fingerprint)" }
  }

  private static let forget = Command(
    "forget", summary: "remove your keys from this device, or what it knows of a folder",
    discussion: """
      Without FOLDER, your private key and the keys of all folders go from this device; “cairn keys recover” brings them back. With \
      FOLDER, this device no longer expects an encrypted folder there, as is right when it was moved, removed or no longer shared.
      """,
    arguments: [CommandArgument("FOLDER", help: "where an encrypted folder was", count: .optional)],
    examples: ["cairn keys forget", "cairn keys forget /secret"]
  ) { invocation in
    let client = try Profile.current().client()
    if let folder = invocation.optionalArgument("FOLDER") {
      try await client.forgetEncryptedFolder(folder)
    } else {
      try await client.forgetKeys()
    }
    if invocation.console.isJSON {
      try invocation.console.printJSON(["forgotten": invocation.optionalArgument("FOLDER") ?? "keys"])
    } else {
      invocation.console.note(
        invocation.optionalArgument("FOLDER").map { "This device expects nothing encrypted at \($0) any more." }
          ?? "Your keys are not on this device any more.")
    }
  }
}
