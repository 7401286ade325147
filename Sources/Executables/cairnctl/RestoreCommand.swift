import CommandLineKit
import Foundation
import Glibc
import Platform

/// `cairnctl restore`: works on the files of a stopped coordinator, with the `cairnd` beside this program.
enum RestoreCommand {
  static let command = Command(
    "restore", summary: "make a stopped coordinator's database anew, from the nodes or from a backup",
    discussion: """
      To be run where the coordinator runs, with the coordinator stopped and no database in its “data” folder. --from-nodes brings back \
      everything that was acknowledged; FILE, from “cairnctl backup”, what there was then. “cairnd restore --help” says more.

      Afterwards start the coordinator, look at “cairnctl audit”, and allow collecting with “cairnctl gc release”.
      """,
    arguments: [CommandArgument("FILE", help: "a backup", count: .optional)],
    options: [
      CommandOption("config", value: "FILE", help: "the coordinator's configuration", isRequired: true),
      CommandOption("node", value: "NAME=URL", help: "a node and where it is, when its heartbeats do not come here", repeats: true),
      CommandOption("timeout", value: "T", help: "how long to wait for nodes", kind: .duration),
    ],
    flags: [
      CommandFlag("from-nodes", help: "restore what the nodes keep of the metadata"),
      CommandFlag("accept-loss", help: "restore also when so many nodes are silent that acknowledged changes may be missing"),
    ],
    examples: ["cairnctl restore --from-nodes --config /etc/cairn/coordinator.conf"]
  ) { invocation in
    var arguments = ["restore"] + [invocation.optionalArgument("FILE")].compactMap { $0 }
    for name in ["config", "timeout"] { if let value = invocation.option(name) { arguments += ["--\(name)", value] } }
    for node in invocation.options("node") { arguments += ["--node", node] }
    for name in ["from-nodes", "accept-loss", "json", "quiet"] where invocation.flag(name) { arguments.append("--\(name)") }
    let folder = URL(fileURLWithPath: Bundle.main.executablePath ?? CommandLine.arguments[0]).deletingLastPathComponent().path
    let child: ChildProcess
    do throws(FileError) { child = try ChildProcess.start(folder + "/cairnd", arguments) } catch {
      throw CommandFailure(.failed, "cairnd is to lie beside cairnctl and cannot be started: \(error)")
    }
    // cairnd has said why.
    if case .exited(let status) = await child.wait() { exit(status) }
    throw CommandFailure(.failed, "cairnd was killed; nothing is restored before it ends well.")
  }
}
