internal import Platform

/// A command line that was read: what a command's body works from.
///
/// Asking for an option, flag or argument that the command does not declare is a mistake in the program and stops it.
package struct Invocation: Sendable {
  /// The program and its verbs: `["cairn", "put"]`.
  package let path: [String]
  package let console: Console
  let values: [String: [String]]
  let setFlags: Set<String>
  let arguments: [String: [String]]
  let declared: Declared

  /// All that the command and those above it declare.
  struct Declared: Sendable {
    var options: [CommandOption]
    var flags: [CommandFlag]
    var arguments: [CommandArgument]
  }

  package func flag(_ name: String) -> Bool {
    precondition(declared.flags.contains { $0.name == name }, "the flag \(name) is not declared")
    return setFlags.contains(name)
  }

  /// The option's value, its default when it was not given, else nil.
  package func option(_ name: String) -> String? {
    precondition(declaration(name).repeats == false, "the option \(name) repeats")
    return options(name).last
  }

  /// Every value of an option that may repeat, in order; its default alone when it was not given.
  package func options(_ name: String) -> [String] {
    let option = declaration(name)
    return values[name] ?? option.defaultValue.map { [$0] } ?? []
  }

  /// The value of an option of the kind `.integer`.
  package func int(_ name: String) -> Int? { option(name).flatMap { Int($0) } }
  /// The value of an option of the kind `.size`, in bytes.
  package func size(_ name: String) -> Int64? { option(name).flatMap { ByteSize.parse($0) } }
  /// The value of an option of the kind `.duration`.
  package func duration(_ name: String) -> Duration? { option(name).flatMap { DurationText.parse($0) } }

  /// The value of an argument that is there once.
  package func argument(_ name: String) -> String {
    guard let value = optionalArgument(name) else { preconditionFailure("the argument \(name) is required, or asked for as optional") }
    return value
  }

  /// The value of an argument that may be missing.
  package func optionalArgument(_ name: String) -> String? { self.arguments(name).first }

  /// Every value of an argument that takes several.
  package func arguments(_ name: String) -> [String] {
    precondition(declared.arguments.contains { $0.name == name }, "the argument \(name) is not declared")
    return arguments[name] ?? []
  }

  private func declaration(_ name: String) -> CommandOption {
    guard let option = declared.options.first(where: { $0.name == name }) else { preconditionFailure("the option \(name) is not declared") }
    return option
  }
}
