internal import BlockModel
internal import HTTPTransport
internal import Platform
internal import ServiceAPI

/// Many small blocks with few requests: those that begin at the same node travel together. What a batch does not settle is for the caller
/// to do singly, where every replica gets its turn.
struct SmallBlocks: Sendable {
  private static let blockPath = "/v1/blocks/"

  let resources: TransferResources

  /// Blocks that go to, or come from, one node in one request. `places` are their indexes in the caller's list.
  private struct Parcel: Sendable {
    var node: NodeID
    var base: String
    var places: [Int] = []
    var texts: [String] = []
    var bytes = BlockBatch.magic.count
  }

  /// - Returns: the receipts of each block, nil for those that are to be sent singly.
  func put(_ blocks: [(block: PreparedBlock, targets: [SignedTarget])]) async throws -> [[String]?] {
    let parcels = parcels(blocks.map { ($0.targets, $0.block.stored, 0) })
    let items = blocks.map(\.block)
    return try await withThrowingTaskGroup(of: [(Int, [String])].self) { group in
      var receipts = [[String]?](repeating: nil, count: items.count)
      for parcel in parcels {
        group.addTask { try await resources.smallBlocks.run { await put(parcel, items) } }
      }
      for try await settled in group { for (place, list) in settled { receipts[place] = list } }
      return receipts
    }
  }

  /// - Returns: the verified bytes of each block, nil for those that are to be fetched singly.
  func get(_ blocks: [DownloadPlan.Block]) async throws -> [[UInt8]?] {
    let parcels = parcels(blocks.map { ($0.get, 0, $0.size) })
    return try await withThrowingTaskGroup(of: [(Int, [UInt8])].self) { group in
      var found = [[UInt8]?](repeating: nil, count: blocks.count)
      for parcel in parcels {
        group.addTask { try await resources.smallBlocks.run { await get(parcel, blocks) } }
      }
      for try await settled in group { for (place, bytes) in settled { found[place] = bytes } }
      return found
    }
  }

  // MARK: Who with whom

  private func parcels(_ blocks: [(targets: [SignedTarget], sent: Int, received: Int)]) -> [Parcel] {
    var open: [NodeID: Int] = [:]
    var parcels: [Parcel] = []
    for (place, block) in blocks.enumerated() {
      guard block.sent <= BlockBatch.itemDataBytes, block.received <= BlockBatch.itemDataBytes,
        let target = resources.health.order(block.targets).first, let path = Self.split(target.url)
      else { continue }
      let bytes = max(
        BlockBatch.itemBytes(text: path.text.utf8.count, data: block.sent), BlockBatch.itemBytes(text: 0, data: block.received))
      if let index = open[target.node], parcels[index].bytes + bytes <= BlockBatch.bodyBytes, parcels[index].places.count < BlockBatch.items
      {
        parcels[index].places.append(place)
        parcels[index].texts.append(path.text)
        parcels[index].bytes += bytes
      } else {
        open[target.node] = parcels.count
        parcels.append(
          Parcel(node: target.node, base: path.base, places: [place], texts: [path.text], bytes: BlockBatch.magic.count + bytes))
      }
    }
    return parcels
  }

  /// A signed URL's address, and the path and query that an item carries.
  private static func split(_ url: String) -> (base: String, text: String)? {
    guard let start = url.range(of: blockPath) else { return nil }
    return (String(url[..<start.lowerBound]), String(url[start.lowerBound...]))
  }

  // MARK: One request

  private func put(_ parcel: Parcel, _ blocks: [PreparedBlock]) async -> [(Int, [String])] {
    var body = BlockBatch.begin(reserving: parcel.bytes)
    for (place, text) in zip(parcel.places, parcel.texts) {
      let block = blocks[place]
      BlockBatch.append(
        to: &body, encoding: block.encoding, text: text, data: block.buffer.bytes(block.start..<(block.start + block.stored)))
    }
    guard let response = await exchange(parcel, path: "batch", body: body, work: .put),
      let reply = try? JSONCoding.decode(BatchPutReply.self, from: response.bytes), reply.items.count == parcel.places.count
    else { return [] }
    return zip(parcel.places, reply.items).compactMap { place, item in
      guard item.status == 201, let receipts = item.receipts, BlockSender.isAcceptable(receipts, for: blocks[place].ref) else { return nil }
      return (place, receipts)
    }
  }

  private func get(_ parcel: Parcel, _ blocks: [DownloadPlan.Block]) async -> [(Int, [UInt8])] {
    var body = BlockBatch.begin(reserving: parcel.places.count * 1024)
    for text in parcel.texts { BlockBatch.append(to: &body, text: text) }
    guard let response = await exchange(parcel, path: "batch/get", body: body, work: .get) else { return [] }
    let opened = try? await resources.threads.run {
      let items = try BlockBatch.parse(response.bytes)
      guard items.count == parcel.places.count else { return [(Int, [UInt8])]() }
      return zip(parcel.places, items).compactMap { place, item in
        item.status == 200 ? Self.verified(item, of: response.bytes, blocks[place]).map { (place, $0) } : nil
      }
    }
    return opened ?? []
  }

  private func exchange(_ parcel: Parcel, path: String, body: [UInt8], work: NodeHealth.Work) async -> HTTPClientResponse? {
    let request = HTTPClientRequest(
      method: .post, url: parcel.base + Self.blockPath + path,
      headers: ["Content-Type": BlockBatch.contentType, "Accept-Encoding": "zstd"],
      body: .bytes(body), deadline: resources.health.batchDeadline(work), connectTimeout: BlockSender.connectTimeout, stallTimeout: nil,
      responseLimit: BlockBatch.bodyBytes + (1 << 20))
    do {
      try await resources.pace.wait(for: parcel.bytes)
      let response = try await resources.transport.send(request)
      return response.status == 200 ? response : nil
    } catch {
      if !Task.isCancelled { resources.health.failed(parcel.node) }
      return nil
    }
  }

  /// The plain bytes, nil when they are not the block.
  private static func verified(_ item: BlockBatch.Item, of body: [UInt8], _ block: DownloadPlan.Block) -> [UInt8]? {
    var plain = [UInt8](repeating: 0, count: block.size)
    let isRight = body.withUnsafeBytes { body -> Bool in
      let stored = UnsafeRawBufferPointer(rebasing: body[item.data])
      return plain.withUnsafeMutableBytes { plain in
        switch item.encoding {
        case .plain:
          guard stored.count == plain.count else { return false }
          plain.copyMemory(from: stored)
        case .zstd: guard (try? Zstandard.decode(stored, into: plain)) != nil else { return false }
        }
        return BlockID(words: SHA256Hasher.hash(UnsafeRawBufferPointer(plain))) == block.id
      }
    }
    return isRight ? plain : nil
  }
}

extension String {
  /// Where `text` first stands.
  fileprivate func range(of text: String) -> Range<Index>? {
    let (bytes, wanted) = (Array(utf8), Array(text.utf8))
    guard bytes.count >= wanted.count else { return nil }
    for start in 0...(bytes.count - wanted.count) where bytes[start..<(start + wanted.count)].elementsEqual(wanted) {
      let lower = utf8.index(utf8.startIndex, offsetBy: start)
      return lower..<utf8.index(lower, offsetBy: wanted.count)
    }
    return nil
  }
}
