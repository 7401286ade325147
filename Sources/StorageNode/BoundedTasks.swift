/// Does something with each item, a bounded number at a time, and answers in their order. One item costs no task.
func each<Item: Sendable, Outcome: Sendable>(
  of items: [Item], atMost limit: Int, _ body: @escaping @Sendable (Item) async -> Outcome
) async -> [Outcome] {
  if items.count == 1 { return [await body(items[0])] }
  return await withTaskGroup(of: (Int, Outcome).self) { group in
    var next = 0
    func add() {
      guard next < items.count else { return }
      let (index, item) = (next, items[next])
      next += 1
      group.addTask { (index, await body(item)) }
    }
    for _ in 0..<limit { add() }
    var outcomes = [Outcome?](repeating: nil, count: items.count)
    while let (index, outcome) = await group.next() {
      outcomes[index] = outcome
      add()
    }
    return outcomes.compactMap { $0 }
  }
}
