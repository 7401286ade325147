import BlockModel
import ClusterLogic
import CommandLineKit
import ServiceAPI

/// `cairnctl gc …`: blocks that nothing refers to any more.
enum GarbageCommands {
  static let command = Command(
    "gc", summary: "find, delete and take back blocks that nothing refers to",
    discussion: """
      What no version, no trash and no open upload wants is set aside by the nodes, counts as missing from then on, and is gone for good \
      when the hold time (“quarantine-hours” of the nodes) is over. Runs begin by themselves every “gc-interval-hours”.
      """,
    subcommands: [status, plan, run, undo, release], examples: ["cairnctl gc plan", "cairnctl gc run --wait"])

  private static let status = Command("status", summary: "show the last run and what is under way", examples: ["cairnctl gc status"]) {
    invocation in
    let status = try await CoordinatorConnection().perform(OperatorOperations.GetGarbage())
    guard !invocation.console.isJSON else { return try invocation.console.printJSON(status) }
    show(status, invocation.console)
  }

  // MARK: - plan

  private static let plan = Command(
    "plan", summary: "show what a run would delete now, and why", discussion: "Looks at everything and changes nothing.",
    examples: ["cairnctl gc plan"]
  ) { invocation in
    let console = invocation.console
    let coordinator = try CoordinatorConnection()
    _ = try await coordinator.perform(OperatorOperations.StartGarbage(plan: true))
    let line = StatusLine(console)
    let ended = try await coordinator.wait(
      for: OperatorOperations.GetGarbage(), show: { line.show($0.plan.map(progress) ?? "") }, until: { $0.state != .planning })
    line.clear()
    guard let plan = ended.plan, plan.phase == .ended else {
      throw CommandFailure(.unavailable, "The coordinator was restarted before the plan was done: ask again.")
    }
    if console.isJSON { try console.printJSON(plan) } else { show(plan: plan, ended.hold, console) }
    try check(plan)
  }

  private static func show(plan: GarbageRun, _ hold: String?, _ console: Console) {
    let marked = plan.marked
    console.print(
      "\(HumanFormat.counted(marked.blocks, "block")) would go: \(HumanFormat.counted(marked.copies, "copy", "copies")), "
        + "\(HumanFormat.size(marked.bytes)) on the nodes’ disks")
    if marked.blocks > 0 { console.write(table(marked).render(style: console.style)) }
    skipped(plan, console)
    if let hold { console.print("Nothing is collected for now: \(TextWidth.sanitised(hold))") }
  }

  private static func table(_ tally: GarbageTally) -> Table {
    var table = Table([.right("BLOCKS"), .left("WHY")])
    let lines = [
      (tally.dereferenced, "the last version that referred to them is gone"),
      (tally.abandoned, "an upload announced them and ended without a version"),
      (tally.deletedBefore, "they were deleted before, and a node still has them or has them again"),
      (tally.unlogged, "nothing that the metadata remembers accounts for them"),
    ]
    for (count, why) in lines where count > 0 { table.add([HumanFormat.count(count), why]) }
    return table
  }

  // MARK: - run

  private static let run = Command(
    "run", summary: "delete what nothing refers to",
    discussion: """
      Nothing is deleted before everything was looked at. A run ends without deleting anything when more than 5 % of what the nodes hold \
      is not accounted for by any log; look at “gc plan” before you let that go. Ends with 1 when the run was stopped.
      """,
    flags: [
      CommandFlag("wait", help: "return when the run has ended"),
      CommandFlag("accept-unlogged", help: "delete also what no log accounts for, however much it is"),
    ],
    examples: ["cairnctl gc run --wait"]
  ) { invocation in
    let console = invocation.console
    let coordinator = try CoordinatorConnection()
    var status = try await coordinator.perform(
      OperatorOperations.StartGarbage(plan: false, acceptsUnlogged: invocation.flag("accept-unlogged") ? true : nil))
    let number = status.run?.number ?? 0
    guard invocation.flag("wait") else {
      return try console.result(status) { "run \(number) has begun; “cairnctl gc status” shows how far it is" }
    }
    let line = StatusLine(console)
    status = try await coordinator.wait(
      for: OperatorOperations.GetGarbage(), show: { line.show($0.run.map(progress) ?? "") },
      until: { status in status.run.map { $0.number > number || $0.number == number && $0.phase == .ended } ?? true })
    line.clear()
    if console.isJSON { try console.printJSON(status) } else { show(status, console) }
    if let run = status.run, run.number == number { try check(run) }
  }

  // MARK: - undo, release

  private static let undo = Command(
    "undo", summary: "take back what was deleted, as far as the nodes still hold it",
    discussion: "Collecting is on hold from then on, until “cairnctl gc release”.",
    options: [CommandOption("since-run", value: "N", help: "only what this run and later ones deleted", kind: .integer(1...Int.max))],
    examples: ["cairnctl gc undo"]
  ) { invocation in
    let console = invocation.console
    let coordinator = try CoordinatorConnection()
    _ = try await coordinator.perform(OperatorOperations.UndoGarbage(sinceRun: invocation.int("since-run").map { UInt64($0) }))
    let line = StatusLine(console)
    let ended = try await coordinator.wait(
      for: OperatorOperations.GetGarbage(), show: { line.show($0.undo.map(text) ?? "") }, until: { $0.state != .undoing })
    line.clear()
    guard let undo = ended.undo else { throw CommandFailure(.unavailable, "The coordinator was restarted meanwhile: ask again.") }
    try console.result(ended) { text(undo) + "; collecting is on hold until “cairnctl gc release”" }
    guard undo.skipped.isEmpty else {
      throw CommandFailure(
        .failed, "\(undo.skipped.map(\.text).joined(separator: ", ")) did not answer: bring them back and undo again.")
    }
  }

  private static func text(_ undo: GarbageUndo) -> String {
    "\(HumanFormat.counted(undo.restoredCopies, "copy", "copies")) taken back at \(undo.nodesDone) of "
      + HumanFormat.counted(undo.nodesTotal, "node")
  }

  private static let release = Command(
    "release", summary: "let garbage be collected again", discussion: "After an undo, or after a restore of the metadata.",
    examples: ["cairnctl gc release"]
  ) { invocation in
    let status = try await CoordinatorConnection().perform(OperatorOperations.ReleaseGarbage())
    try invocation.console.result(status) { "garbage is collected again" }
  }

  // MARK: - Showing

  private static func check(_ run: GarbageRun) throws {
    guard run.outcome == .stopped else { return }
    throw CommandFailure(.failed, "The garbage collector stopped: \(run.reason ?? "the coordinator’s log says why")")
  }

  private static func progress(_ run: GarbageRun) -> String {
    let share = run.partitionCount > 0 ? run.partition * 100 / run.partitionCount : 0
    switch run.phase {
    case .settling: return "waiting until what was dropped last has passed its grace"
    case .marking: return "marking \(share)%, \(HumanFormat.counted(run.marked.blocks, "block")) found"
    case .deleting: return "deleting \(share)%, \(HumanFormat.counted(run.deleted.blocks, "block")) gone"
    case .forgetting: return "forgetting"
    case .ended: return "done"
    }
  }

  private static func show(_ status: GarbageStatus, _ console: Console) {
    if let run = status.run {
      let stopped = run.outcome == .stopped
      let state = run.phase == .ended ? (stopped ? "was stopped" : "is done") : progress(run)
      console.print("run \(run.number) (epoch \(run.epoch), begun \(run.startedAt.rfc3339)): \(state)")
      console.print(
        "  \(HumanFormat.counted(run.deleted.blocks, "block")) deleted, \(HumanFormat.counted(run.deleted.copies, "copy", "copies")), "
          + "\(HumanFormat.size(run.deleted.bytes))")
      if let reason = run.reason { console.print("  \(TextWidth.sanitised(reason))") }
      skipped(run, console)
    } else {
      console.print("no run of the garbage collector yet")
    }
    console.print("\(HumanFormat.counted(status.unreferencedBlocks, "block")) that no version refers to")
    if let next = status.nextRunAt { console.print("next run \(next.rfc3339)") }
    if let hold = status.hold { console.print(console.style.red("on hold: ") + TextWidth.sanitised(hold)) }
  }

  private static func skipped(_ run: GarbageRun, _ console: Console) {
    guard !run.skipped.isEmpty else { return }
    console.print("  not looked at, because they did not answer: \(run.skipped.map(\.text).joined(separator: ", "))")
  }
}
