import BlockModel
import CommandLineKit
import ServiceAPI

/// `cairnctl repair`, `audit` and `explain`: whether the copies are what they should be.
enum RepairCommands {
  static let commands = [repair, audit, explain]

  /// Lines of a long list that are printed; `--json` has all.
  private static let shownLines = 20

  // MARK: repair

  private static let repair = Command(
    "repair", summary: "check the copies of blocks and make missing ones",
    discussion: """
      Without a filter every copy on every live node is checked. With --wait it returns when each referenced block has all the copies that \
      the live nodes allow. It ends with 7 when nodes that do not answer are missing for that, and with 1 when a block could not be \
      brought there for another reason.
      """,
    options: [
      CommandOption("node", value: "N", help: "only what this node should hold"),
      CommandOption("block", value: "ID", help: "only this block"),
      CommandOption("partition", value: "P", help: "only this partition", kind: .integer(0...(1 << 20))),
    ],
    flags: [
      CommandFlag("wait", help: "return when it is done"),
      CommandFlag("override-brake", help: "the silent nodes are down indeed, however many: repair as if few were, for an hour"),
    ],
    examples: ["cairnctl repair --wait", "cairnctl repair --node node-3"]
  ) { invocation in
    let console = invocation.console
    let coordinator = try CoordinatorConnection()
    let begun = try await coordinator.perform(try operation(invocation))
    guard invocation.flag("wait") else {
      return try console.result(begun) { "repair \(begun.id) runs; “cairnctl status” shows how far it is" }
    }
    let line = StatusLine(console)
    let ended = try await coordinator.wait(
      for: OperatorOperations.GetRepair(), show: { line.show(text(of: $0)) }, until: { $0.id < begun.id || !$0.running })
    line.clear()
    guard ended.id >= begun.id else { throw CommandFailure(.unavailable, "The coordinator was restarted meanwhile: repair again.") }
    try console.result(ended) { text(of: ended) }
    guard !ended.failures.isEmpty else { return }
    for failure in ended.failures.prefix(shownLines) where !console.isJSON { console.complain("  \(TextWidth.sanitised(failure))") }
    throw await failure(coordinator)
  }

  /// Why not every block has all its copies: nodes that are away may have what lacks, or take it.
  private static func failure(_ coordinator: CoordinatorConnection) async -> CommandFailure {
    let status = try? await coordinator.perform(OperatorOperations.GetStatus())
    let silent = status?.nodes.filter { $0.state != .alive }.map(\.name.text) ?? []
    guard silent.isEmpty else {
      return CommandFailure(
        .unavailable,
        "Not every block could be brought to all its copies without \(silent.joined(separator: ", ")): start what is down, and repair.")
    }
    return CommandFailure(
      .failed, "Not every block could be brought to all its copies, although all nodes answer: cairnctl explain BLOCK shows what it lacks.")
  }

  private static func operation(_ invocation: Invocation) throws -> OperatorOperations.StartRepair {
    let given = [invocation.option("node"), invocation.option("block"), invocation.option("partition")].compactMap(\.self)
    guard given.count <= 1 else { throw CommandFailure(.usage, "--node, --block and --partition exclude each other.") }
    let node = try invocation.option("node").map { text in
      guard let node = NodeID(text) else { throw CommandFailure(.usage, "“\(text)” is no node's name.") }
      return node
    }
    let block = try invocation.option("block").map(blockID)
    return OperatorOperations.StartRepair(
      node: node, block: block, partition: invocation.int("partition"),
      overridesBrake: invocation.flag("override-brake") ? true : nil)
  }

  private static func text(of progress: RepairProgress) -> String {
    let share = progress.partitionsTotal > 0 ? " (\(progress.partitionsDone * 100 / progress.partitionsTotal)%)" : ""
    return "repair \(progress.id) \(progress.running ? "runs" : "is done"): "
      + "\(HumanFormat.count(progress.partitionsDone)) of \(HumanFormat.counted(progress.partitionsTotal, "partition"))\(share), "
      + "\(HumanFormat.counted(progress.blocksChecked, "block")) checked, "
      + "\(HumanFormat.counted(progress.blocksCopied, "copy", "copies")) made (\(HumanFormat.size(progress.bytesCopied)))"
  }

  // MARK: audit

  private static let audit = Command(
    "audit", summary: "check every invariant on the live cluster, hashing each copy again",
    discussion: "Ends with 1 when one does not hold. A node that is dead is no failure by itself.", examples: ["cairnctl audit"]
  ) { invocation in
    let console = invocation.console
    let coordinator = try CoordinatorConnection()
    _ = try await coordinator.perform(OperatorOperations.StartAudit())
    let line = StatusLine(console)
    let ended = try await coordinator.wait(
      for: OperatorOperations.GetAudit(),
      show: { line.show("audit: \(HumanFormat.count($0.blocksDone)) of \(HumanFormat.counted($0.blocksTotal, "block"))") },
      until: { !$0.running && $0.findings != nil })
    line.clear()
    let findings = ended.findings ?? []
    if console.isJSON { try console.printJSON(ended) } else { show(findings, console) }
    let broken = findings.filter { !$0.holds }
    guard !findings.isEmpty else { throw CommandFailure(.failed, "The audit ended without a finding: look into the coordinator's log.") }
    guard broken.isEmpty else {
      let numbers = broken.map { String($0.invariant) }.joined(separator: ", ")
      throw CommandFailure(.failed, "\(HumanFormat.counted(broken.count, "invariant")) of \(findings.count) broken: \(numbers).")
    }
  }

  private static func show(_ findings: [AuditFinding], _ console: Console) {
    var table = Table([.right("NO"), .left("HOLDS"), .right("CHECKED"), .left("INVARIANT")])
    for finding in findings {
      table.add(["\(finding.invariant)", finding.holds ? "yes" : "NO", HumanFormat.count(finding.checked), finding.statement])
    }
    console.write(table.render(style: console.style))
    for finding in findings where !finding.holds {
      console.print("")
      console.print(console.style.red("invariant \(finding.invariant) is broken:"))
      for violation in finding.violations.prefix(shownLines) { console.print("  \(TextWidth.sanitised(violation))") }
      let more = finding.violations.count - shownLines
      if more > 0 { console.print("  and \(HumanFormat.count(more)) more; --json has them all") }
    }
  }

  // MARK: explain

  private static let explain = Command(
    "explain", summary: "show who uses a block and where its copies are",
    arguments: [CommandArgument("BLOCK", help: "the block's id, 64 hexadecimal digits")],
    examples: ["cairnctl explain e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"]
  ) { invocation in
    let console = invocation.console
    let block = try blockID(invocation.argument("BLOCK"))
    let found = try await CoordinatorConnection().perform(OperatorOperations.ExplainBlock(block: block))
    // Replicas are listed whether or not they have it; one that does not answer says nothing of a block that nobody wants.
    let isKnown = !found.uses.isEmpty || !found.leases.isEmpty || found.copies.contains { $0.state != nil && $0.state != .missing }
    if console.isJSON { try console.printJSON(found) } else if isKnown { show(found, console) }
    guard isKnown else { throw CommandFailure(.notFound, "Nothing in this cluster is, or refers to, the block \(block.hex).") }
  }

  private static func show(_ found: BlockExplanation, _ console: Console) {
    console.print("block     \(found.block.hex)")
    console.print("size      \(found.size.map { "\(HumanFormat.count($0)) bytes" } ?? "not known")")
    console.print("partition \(found.partition)")
    if !found.copies.isEmpty {
      var table = Table([
        .left("NODE"), .left("ZONE"), .left("NODE IS"), .left("ROLE"), .left("COPY"), .left("READ BACK"), .left("SCRUBBED"),
      ])
      for copy in found.copies {
        table.add([
          copy.node.text, copy.zone.text, copy.nodeState?.rawValue ?? "-", copy.role, copy.state?.rawValue ?? "not asked",
          copy.verifiedAt?.rfc3339 ?? "-", copy.scrubbedAt?.rfc3339 ?? "-",
        ])
      }
      console.print("")
      console.write(table.render(style: console.style))
    }
    if !found.uses.isEmpty {
      var table = Table([.left("OWNER"), .right("VERSION"), .left("PATH")])
      for use in found.uses { table.add([use.owner, "\(use.version)", use.path]) }
      console.print("")
      console.write(table.render(style: console.style))
    }
    for lease in found.leases { console.print("pinned by upload \(lease.hex)") }
  }

  private static func blockID(_ text: String) throws -> BlockID {
    guard let block = BlockID(hex: text) else {
      throw CommandFailure(.usage, "“\(text)” is no block id: 64 lower-case hexadecimal digits.")
    }
    return block
  }
}
