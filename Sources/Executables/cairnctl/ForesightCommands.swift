import BlockModel
import ClusterLogic
import CommandLineKit
import Platform
import ServiceAPI

/// `cairnctl simulate`, `durability` and `set`: what a loss would mean, how durable blocks are, and how fast they are mended.
enum ForesightCommands {
  static let commands = [simulate, durability, set]

  // MARK: simulate

  private static let simulate = Command(
    "simulate", summary: "show what the loss of a zone, a node or a disk would leave",
    discussion: """
      How many copies of each block would be left, whether writes would go on, what would fit, and how long repair would take. \
      Changes nothing. Ends with 1 when blocks would be lost.
      """,
    options: [CommandOption("lose", value: "WHAT", help: "zone=NAME, node=NAME or disk=ID (or its first digits)", isRequired: true)],
    examples: ["cairnctl simulate --lose zone=b", "cairnctl simulate --lose node=node-3", "cairnctl simulate --lose disk=1f3a"]
  ) { invocation in
    let report = try await CoordinatorConnection().perform(try loss(invocation.option("lose") ?? ""))
    let console = invocation.console
    if console.isJSON { try console.printJSON(report) } else { show(report, console) }
    guard report.lostBlocks == 0 else {
      throw CommandFailure(.failed, "\(HumanFormat.counted(report.lostBlocks, "block")) would have no copy left on a live node.")
    }
  }

  private static func loss(_ text: String) throws -> OperatorOperations.SimulateLoss {
    let parts = text.split(separator: "=", maxSplits: 1).map(String.init)
    switch (parts.first, parts.last) {
    case ("zone", let name?) where parts.count == 2:
      if let zone = ZoneID(name) { return OperatorOperations.SimulateLoss(zone: zone, node: nil, disk: nil) }
    case ("node", let name?) where parts.count == 2:
      if let node = NodeID(name) { return OperatorOperations.SimulateLoss(zone: nil, node: node, disk: nil) }
    case ("disk", let id?) where parts.count == 2: return OperatorOperations.SimulateLoss(zone: nil, node: nil, disk: id)
    default: break
    }
    throw CommandFailure(.usage, "“\(text)” says nothing to lose: write zone=NAME, node=NAME or disk=ID.")
  }

  private static func show(_ report: LossReport, _ console: Console) {
    let style = console.style
    console.print("without \(report.loss) of \(HumanFormat.counted(report.referencedBlocks, "referenced block")):")
    var risk = Table([.right("BLOCKS"), .left("WOULD HAVE")])
    for standing in report.byCopies {
      let text = standing.left == 0 ? "no copy left: lost" : HumanFormat.counted(standing.left, "copy", "copies") + " left"
      risk.add([HumanFormat.count(standing.blocks), text])
    }
    for standing in report.byZones where standing.left > 0 {
      risk.add([HumanFormat.count(standing.blocks), "copies in \(HumanFormat.counted(standing.left, "zone"))"])
    }
    if report.byCopies.isEmpty { console.print("  every block keeps all its copies") } else { console.write(risk.render(style: style)) }
    console.print("")
    console.print(report.acceptsWrites ? "writes go on" : style.red("writes stop: too few zones would be left"))
    console.print(
      "capacity  \(HumanFormat.size(report.capacityBytesBefore)) → \(HumanFormat.size(report.capacityBytesAfter)), used "
        + "\(HumanFormat.size(report.usedBytesBefore)) → \(HumanFormat.size(report.usedBytesAfterRepair)) when repaired"
        + (report.fullestNode.map { ", the fullest \($0) at \(Int(((report.fullestShare ?? 0) * 100).rounded()))%" } ?? ""))
    console.print(
      "repair    \(HumanFormat.size(report.bytesToCopy)) to \(HumanFormat.counted(report.copyingNodes, "node")): "
        + "\(time(report.detectionSeconds)) until it begins, then \(time(report.copyingSeconds)) at "
        + "\(HumanFormat.size(report.repairBytesPerSecond))/s (\(report.repairRateSource.rawValue)) or longer")
    for obstacle in report.obstacles { console.print(style.yellow(TextWidth.sanitised(obstacle))) }
  }

  private static func time(_ seconds: Double) -> String { HumanFormat.duration(.seconds(max(0, seconds))) }

  // MARK: durability

  private static let durability = Command(
    "durability", summary: "show how durable blocks are, and what that rests on",
    discussion: """
      What was measured (how soon losses are noticed, how long repair takes, how long blocks lacked copies, when every copy was last read \
      back), and a model over it: a block of n copies is lost at about n·λ·q^(n-1) a year, λ the events a year that a copy suffers, q the \
      share of time for which it is bad. Nines are no better than the inputs, printed with them; bugs, operators and disasters that \
      take several zones are not among them.
      """,
    options: [
      CommandOption("disk", value: "RATE", help: "disks of a hundred that die in a year, in percent"),
      CommandOption("node", value: "RATE", help: "nodes that are lost with their disks in a year, in percent"),
      CommandOption("zone", value: "RATE", help: "zones that are lost for good in a year, in percent"),
      CommandOption("rot", value: "RATE", help: "copies that can no longer be read after a year, in percent"),
    ], examples: ["cairnctl durability", "cairnctl durability --disk 4 --zone 0.01 --json"]
  ) { invocation in
    func rate(_ name: String) throws -> Double? {
      guard let text = invocation.option(name) else { return nil }
      guard let percent = Double(text), percent.isFinite, percent >= 0 else {
        throw CommandFailure(.usage, "“\(text)” is no rate in percent, such as 1.5.")
      }
      return percent / 100
    }
    let report = try await CoordinatorConnection().perform(
      OperatorOperations.GetDurability(
        diskPerYear: try rate("disk"), nodePerYear: try rate("node"), zonePerYear: try rate("zone"), rotPerYear: try rate("rot")))
    let console = invocation.console
    if console.isJSON { try console.printJSON(report) } else { show(report, console) }
  }

  private static func show(_ report: DurabilityReport, _ console: Console) {
    func measured(_ name: String, _ figure: DurabilityReport.Measured) {
      let text = figure.medianSeconds.map { "median \(time($0)), longest \(time(figure.longestSeconds ?? $0)), of \(figure.count)" }
      console.print("  \(name) \(text ?? "none yet")")
    }
    console.print("measured over \(time(report.observedSeconds)) by this coordinator:")
    measured("noticing a lost node    ", report.detections)
    measured("copies of it made anew  ", report.repairs)
    console.print("  repair copies            \(report.repairBytesPerSecond.map { HumanFormat.rate($0) } ?? "nothing yet")")
    console.print("  all copies read back     \(report.scrubAgeSeconds.map { "\(time($0)) ago" } ?? "not yet on every disk")")
    console.print("  bad copies ever found    \(HumanFormat.count(report.rottenCopies))")
    console.print(
      "  blocks lacking copies    \(significant(report.underReplicatedBlockSeconds)) block-seconds, at most "
        + "\(HumanFormat.count(report.mostUnderReplicatedBlocks)) of \(HumanFormat.count(report.referencedBlocks)) at once")
    console.print("")
    console.print("inputs of the model:")
    var table = Table([.left("CAUSE"), .right("A YEAR"), .right("NOTICED AFTER"), .left("IS"), .right("MENDED AFTER"), .left("IS")])
    for input in report.inputs {
      table.add([
        input.cause.rawValue, "\(significant(input.perYear * 100))%", time(input.detectionSeconds), input.detectionSource.rawValue,
        time(input.repairSeconds), input.repairSource.rawValue,
      ])
    }
    console.write(table.render(style: console.style))
    console.print("")
    console.print(
      "n = \(report.copies) copies in different zones, λ = \(significant(report.eventsPerYear)) a year, q = \(significant(report.badShare))"
    )
    console.print(
      "a block is lost within a year with n·λ·q^(n-1) = \(significant(report.lossPerBlockYear))"
        + (report.nines.map { ": \(significant($0)) nines" } ?? ""))
    console.print(
      "of \(HumanFormat.counted(report.referencedBlocks, "block")): \(significant(report.lossesPerYear)) a year. Rates a year are assumed, "
        + "unless given; what takes several zones at once is not in it.")
  }

  /// Three digits, with a power of ten where that is shorter.
  static func significant(_ value: Double) -> String {
    guard value != 0, value.isFinite else { return "0" }
    var (mantissa, exponent) = (abs(value), 0)
    while mantissa >= 9.995 { (mantissa, exponent) = (mantissa / 10, exponent + 1) }
    while mantissa < 0.9995 { (mantissa, exponent) = (mantissa * 10, exponent - 1) }
    let sign = value < 0 ? "-" : ""
    if (-3...5).contains(exponent) {
      var scale = 1.0
      for _ in 0..<max(0, 2 - exponent) { scale *= 10 }
      let rounded = (abs(value) * scale).rounded() / scale
      return sign + (rounded == rounded.rounded() ? "\(Int(rounded))" : "\(rounded)")
    }
    return "\(sign)\((mantissa * 100).rounded() / 100)e\(exponent)"
  }

  // MARK: set

  private static let set = Command(
    "set", summary: "change a setting of the running cluster, or list them",
    discussion: """
      What is set counts at once and over restarts, before the coordinator's configuration; “default” lets that count again. \
      Rates are bytes a second (such as 200MiB), times are seconds. Without a key all settings are listed.
      """,
    arguments: [
      CommandArgument("KEY", help: "such as repair-bytes-per-second", count: .optional),
      CommandArgument("VALUE", help: "a number, or “default”", count: .optional),
    ],
    examples: ["cairnctl set", "cairnctl set repair-bytes-per-second 500MiB", "cairnctl set out-after-seconds default"]
  ) { invocation in
    let console = invocation.console
    let coordinator = try CoordinatorConnection()
    let key = invocation.optionalArgument("KEY")
    let report: TuningReport
    if let key {
      guard let text = invocation.optionalArgument("VALUE") else {
        throw CommandFailure(.usage, "\(key) needs a value, or “default”.")
      }
      report = try await coordinator.perform(OperatorOperations.SetTuning(key: key, value: try number(text)))
    } else {
      report = try await coordinator.perform(OperatorOperations.GetTuning())
    }
    guard !console.isJSON else { return try console.printJSON(report) }
    var table = Table([.left("SETTING"), .right("VALUE"), .left("FROM")])
    for entry in report.settings where key == nil || entry.key == key {
      table.add([entry.key, "\(entry.value)", entry.isSet ? "set" : "configuration"])
    }
    console.write(table.render(style: console.style))
  }

  /// Nil for “default”.
  private static func number(_ text: String) throws -> Int64? {
    guard text != "default" else { return nil }
    if let number = Int64(text) { return number }
    guard let size = ByteSize.parse(text) else { throw CommandFailure(.usage, "“\(text)” is no number, such as 600 or 200MiB.") }
    return size
  }
}
