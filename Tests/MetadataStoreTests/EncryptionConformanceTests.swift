import BlockModel
import MetadataStore
import Platform
import ServiceAPI
import TestSupport
import Testing

@Suite("Encrypted folders")
struct EncryptionConformanceTests {
  private static let mount = "/Shared with me/vault"
  private static let encrypted = Problem.Kind.encryptionBoundary

  /// What a client would make of a name: something of the right length that follows from it.
  private static func sealed(_ name: String) -> String {
    let tag = SHA256Hasher.hash(Array(name.utf8)).prefix(16)
    return Base64URL.encode(Array(tag) + Array(name.utf8))
  }

  private static func path(_ names: String...) -> String { "/vault" + names.map { "/" + sealed($0) }.joined() }

  private static let envelope = Base64URL.encode([UInt8](repeating: 7, count: SealedForm.envelopeBytes))

  private static func wrapped(_ seed: UInt8 = 1, generation: Int64 = 1) -> WrappedKey {
    WrappedKey(
      wrappedKey: Base64URL.encode([UInt8](repeating: seed, count: SealedForm.wrappedFolderKeyBytes)), generation: generation)
  }

  @discardableResult
  private func keys(_ principal: Principal, _ fixture: Fixture, seed: UInt8 = 1, replaces: Int64 = 0) async throws -> KeyPairInfo {
    try await fixture.store.putKeyPair(
      .init(
        publicKey: Base64URL.encode([UInt8](repeating: seed, count: 32)),
        wrappedPrivateKey: Base64URL.encode([UInt8](repeating: seed, count: 40)), replaces: replaces), for: principal)
  }

  private func vault(_ path: String = "/vault", _ principal: Principal, _ fixture: Fixture) async throws -> FileEntry {
    try await fixture.store.createFolder(
      .init(path: path, parents: true, modifiedAt: nil, key: Self.wrapped()), for: principal, once: nil)
  }

  private func world(
    _ engine: Engine
  ) async throws -> (fixture: Fixture, ada: Principal, bob: Principal, vault: FileEntry) {
    let fixture = try await Fixture(engine)
    let ada = try await fixture.user("ada")
    let bob = try await fixture.user("bob")
    try await keys(ada, fixture)
    return (fixture, ada, bob, try await vault("/vault", ada, fixture))
  }

  /// Uploads as a client that seals, or as one that does not.
  @discardableResult
  private func put(
    _ path: String, _ principal: Principal, _ fixture: Fixture, encrypted: Bool? = true, envelope: String? = envelope,
    policy: ConflictPolicy = .overwrite, block: BlockRef = Fixture.block(1)
  ) async throws -> FileEntry {
    let state = try await fixture.store.openUpload(
      UploadRequest(path: path, blocks: [block], onConflict: policy, parents: true, encrypted: encrypted), for: principal, once: nil)
    let receipts = state.missing.flatMap { Fixture.receipts(state.uploadID, BlockRef(id: $0.id, size: $0.size)) }
    return try await fixture.store.completeUpload(
      Completion(upload: state.uploadID, receipts: receipts, envelope: envelope), for: principal)
  }

  private func move(_ entry: EntryID, to path: String) -> UserOperations.UpdateEntry {
    .init(entry: .id(entry), newPath: path, modifiedAt: nil, executable: nil, ifVersion: nil)
  }

  // MARK: Keys

  @Test("a key pair is kept once, is replaced only by who knows of it, and shows others its public half", arguments: Engine.allCases)
  func pairs(engine: Engine) async throws {
    let fixture = try await Fixture(engine)
    let ada = try await fixture.user("ada")
    #expect(await problem { try await fixture.store.keyPair(of: ada) }?.kind == .notFound)
    #expect(await problem { try await fixture.store.publicKey(ofUserNamed: "ada") }?.kind == .notFound)
    #expect(await problem { try await fixture.store.publicKey(ofUserNamed: "nobody") }?.kind == .notFound)
    let first = try await keys(ada, fixture)
    #expect(first.generation == 1)
    #expect(try await keys(ada, fixture) == first, "the same again is the same")
    #expect(await problem { try await keys(ada, fixture, seed: 2) }?.kind == .conflict)
    #expect(try await fixture.store.keyPair(of: ada) == first)
    let second = try await keys(ada, fixture, seed: 2, replaces: 1)
    #expect(second.generation == 2 && second.publicKey != first.publicKey)
    let shown = try await fixture.store.publicKey(ofUserNamed: "ADA")
    #expect(shown == PublicKeyInfo(user: "ada", publicKey: second.publicKey, generation: 2))
    let short = UserOperations.PutKeyPair(publicKey: "AAAA", wrappedPrivateKey: second.wrappedPrivateKey, replaces: 2)
    #expect(await problem { try await fixture.store.putKeyPair(short, for: ada) }?.kind == .malformed)
  }

  @Test("a new folder becomes an encrypted one with its maker's key, and everything in it says so", arguments: Engine.allCases)
  func marks(engine: Engine) async throws {
    let (fixture, ada, _, vault) = try await world(engine)
    #expect(vault.encrypted == true && vault.keyFolder == vault.id)
    let folder = try await fixture.folder(Self.path("plans"), as: ada)
    let file = try await put(Self.path("plans", "a.txt"), ada, fixture)
    let link = try await fixture.store.createSymlink(
      .init(path: Self.path("link"), target: Self.sealed("a.txt"), parents: false, modifiedAt: nil), for: ada, once: nil)
    for entry in [folder, file, link] { #expect(entry.encrypted == true && entry.keyFolder == vault.id) }
    #expect(file.envelope == Self.envelope && folder.envelope == nil)
    #expect(try await fixture.entries(of: ada).allSatisfy { $0.keyFolder == vault.id })
    #expect(try await fixture.store.stat(.id(file.id), for: ada) == file)
    let plan = try await fixture.store.downloadPlan(.id(file.id), version: nil, cursor: nil, limit: 1, for: ada)
    #expect(plan.envelope == Self.envelope && plan.file.keyFolder == vault.id)
    let changes = try await fixture.store.changes(since: nil, limit: 100, for: ada).changes
    #expect(changes.count == 4 && changes.allSatisfy { $0.entry.keyFolder == vault.id })
    #expect(changes.first { $0.entry.id == file.id }?.entry.envelope == Self.envelope)
    let listed = try await fixture.store.folderKeys(limit: 10, cursor: nil, for: ada).items
    #expect(listed.map(\.folder) == [vault] && listed.first?.key == Self.wrapped() && listed.first?.grantedBy == "ada")
    #expect(try await fixture.put("/plain", as: ada).encrypted == nil)
    try await fixture.expectSound()
  }

  @Test("only a new folder in the own tree, with a key for the present pair, becomes one; none lies in another", arguments: Engine.allCases)
  func making(engine: Engine) async throws {
    let (fixture, ada, bob, _) = try await world(engine)
    #expect(await problem { try await vault("/vault", ada, fixture) }?.kind == .alreadyExists)
    #expect(await problem { try await vault(Self.path("inner"), ada, fixture) }?.kind == Self.encrypted)
    #expect(await problem { try await vault("/his", bob, fixture) }?.kind == .conflict, "Bob has no pair")
    let stale = UserOperations.CreateFolder(path: "/stale", parents: false, modifiedAt: nil, key: Self.wrapped(generation: 2))
    #expect(await problem { try await fixture.store.createFolder(stale, for: ada, once: nil) }?.kind == .conflict)
    let short = UserOperations.CreateFolder(
      path: "/short", parents: false, modifiedAt: nil, key: WrappedKey(wrappedKey: "AAAA", generation: 1))
    #expect(await problem { try await fixture.store.createFolder(short, for: ada, once: nil) }?.kind == .malformed)
    try await keys(bob, fixture, seed: 3)
    let shared = try await fixture.folder("/shared", as: ada)
    _ = try await fixture.store.share(.init(entry: .id(shared.id), user: "bob", role: .admin), for: ada)
    #expect(await problem { try await vault("/Shared with me/shared/v", bob, fixture) }?.kind == .forbidden)
  }

  // MARK: The border

  @Test("what is not sealed does not get in, by its name, its target, its upload or its commit", arguments: Engine.allCases)
  func unsealed(engine: Engine) async throws {
    let (fixture, ada, _, _) = try await world(engine)
    let short = "/vault/" + Base64URL.encode([UInt8](repeating: 1, count: 16))
    for path in ["/vault/plain name", short] {
      #expect(await problem { try await fixture.folder(path, as: ada) }?.kind == Self.encrypted, "\(path)")
      #expect(await problem { try await put(path, ada, fixture) }?.kind == Self.encrypted, "\(path)")
    }
    #expect(await problem { try await put(Self.path("a") + "/plain", ada, fixture) }?.kind == Self.encrypted, "also below what is missing")
    #expect(await problem { try await put("/vault/plain/" + Self.sealed("a"), ada, fixture) }?.kind == Self.encrypted)
    let target = UserOperations.CreateSymlink(path: Self.path("l"), target: "../a", parents: false, modifiedAt: nil)
    #expect(await problem { try await fixture.store.createSymlink(target, for: ada, once: nil) }?.kind == Self.encrypted)
    #expect(await problem { try await put(Self.path("a"), ada, fixture, encrypted: nil) }?.kind == Self.encrypted)
    #expect(await problem { try await put(Self.path("a"), ada, fixture, envelope: nil) }?.kind == Self.encrypted)
    #expect(await problem { try await put(Self.path("a"), ada, fixture, envelope: "AAAA") }?.kind == .malformed)
    #expect(await problem { try await put(Self.path("a"), ada, fixture, policy: .copy) }?.kind == Self.encrypted)
    #expect(await problem { try await put("/plain", ada, fixture) }?.kind == Self.encrypted, "nor what is sealed into what is not")
    #expect(await problem { try await put("/plain", ada, fixture, encrypted: nil) }?.kind == Self.encrypted)
    #expect(try await fixture.paths(of: ada) == ["/vault"])
    try await put(Self.path("a"), ada, fixture)
    #expect(await problem { try await put(Self.path("a"), ada, fixture, encrypted: nil, block: Fixture.block(2)) }?.kind == Self.encrypted)
  }

  @Test(
    "nothing is moved, copied or restored across the border; inside, and with the folder as a whole, all goes", arguments: Engine.allCases)
  func border(engine: Engine) async throws {
    let (fixture, ada, _, vault) = try await world(engine)
    let store = fixture.store
    let inside = try await put(Self.path("d", "a"), ada, fixture)
    let outside = try await fixture.put("/docs/b", as: ada)
    let other = try await self.vault("/other", ada, fixture)
    for (entry, path) in [
      (inside.id, "/docs/" + Self.sealed("a")), (outside.id, Self.path("b")), (inside.id, "/other/" + Self.sealed("a")),
      (vault.id, "/other/" + Self.sealed("v")), (inside.id, "/vault/plain"),
    ] {
      #expect(await problem { try await store.updateEntry(move(entry, to: path), for: ada) }?.kind == Self.encrypted, "moving to \(path)")
      let copy = UserOperations.CopyEntry(entry: .id(entry), newPath: path)
      #expect(await problem { try await store.copyEntry(copy, for: ada, once: nil) }?.kind == Self.encrypted, "copying to \(path)")
    }
    for (entry, path) in [(vault.id, "/copy"), (try await store.stat(.path("/"), for: ada).id, "/x")] where entry == vault.id {
      let copy = UserOperations.CopyEntry(entry: .id(entry), newPath: path)
      #expect(await problem { try await store.copyEntry(copy, for: ada, once: nil) }?.kind == Self.encrypted, "it would need a key")
    }
    #expect(try await store.updateEntry(move(inside.id, to: Self.path("d", "c")), for: ada).keyFolder == vault.id)
    let copied = try await store.copyEntry(.init(entry: .id(inside.id), newPath: Self.path("d", "e")), for: ada, once: nil)
    #expect(copied.keyFolder == vault.id && copied.envelope == Self.envelope)
    #expect(try await store.updateEntry(move(vault.id, to: "/docs/vault"), for: ada).keyFolder == vault.id)
    #expect(try await store.stat(.id(inside.id), for: ada).path.hasPrefix("/docs/vault/"))
    let around = UserOperations.CopyEntry(entry: .path("/docs"), newPath: "/docs2")
    #expect(await problem { try await store.copyEntry(around, for: ada, once: nil) }?.kind == Self.encrypted, "with one inside")
    try await store.deleteEntry(.init(entry: .id(inside.id), forever: false, recursive: false, ifVersion: nil), for: ada)
    let astray = UserOperations.RestoreFromTrash(entry: inside.id, newPath: "/docs/c")
    #expect(await problem { try await store.restoreFromTrash(astray, for: ada, once: nil) }?.kind == Self.encrypted)
    let restored = try await store.restoreFromTrash(.init(entry: inside.id, newPath: nil), for: ada, once: nil)
    #expect(restored.keyFolder == vault.id && restored.envelope == Self.envelope)
    _ = other
    try await fixture.expectSound()
  }

  @Test("a version's envelope is its own through revisions, reverts and rewinds", arguments: Engine.allCases)
  func envelopes(engine: Engine) async throws {
    let (fixture, ada, _, vault) = try await world(engine)
    let store = fixture.store
    let second = Base64URL.encode([UInt8](repeating: 9, count: SealedForm.envelopeBytes))
    let first = try await put(Self.path("a"), ada, fixture)
    let before = try await store.changes(since: nil, limit: 100, for: ada).cursor
    try await put(Self.path("a"), ada, fixture, envelope: second, block: Fixture.block(2))
    let versions = try await store.versions(of: .id(first.id), limit: 10, cursor: nil, for: ada).items
    #expect(versions.map(\.envelope) == [second, Self.envelope])
    let plan = try await store.downloadPlan(.id(first.id), version: first.version, cursor: nil, limit: 1, for: ada)
    #expect(plan.envelope == Self.envelope && plan.file.envelope == second)
    let reverted = try await store.restoreVersion(.init(entry: .id(first.id), version: first.version, ifVersion: nil), for: ada, once: nil)
    #expect(reverted.envelope == Self.envelope)
    try await put(Self.path("a"), ada, fixture, envelope: second, block: Fixture.block(2))
    _ = try await store.rewind(.init(entry: .id(vault.id), target: .cursor(before)), for: ada, once: nil)
    let now = try await store.stat(.id(first.id), for: ada)
    #expect(now.envelope == Self.envelope && now.contentHash == first.contentHash)
    try await fixture.expectSound()
  }

  @Test("the trash restores no sealed name under one that nobody can open", arguments: Engine.allCases)
  func restoring(engine: Engine) async throws {
    let (fixture, ada, _, _) = try await world(engine)
    let first = try await put(Self.path("a"), ada, fixture)
    try await fixture.store.deleteEntry(.init(entry: .id(first.id), forever: false, recursive: false, ifVersion: nil), for: ada)
    try await put(Self.path("a"), ada, fixture, block: Fixture.block(2))
    let refused = await problem { try await fixture.store.restoreFromTrash(.init(entry: first.id, newPath: nil), for: ada, once: nil) }
    #expect(refused?.kind == .alreadyExists)
    let elsewhere = UserOperations.RestoreFromTrash(entry: first.id, newPath: Self.path("b"))
    #expect(try await fixture.store.restoreFromTrash(elsewhere, for: ada, once: nil).path == Self.path("b"))
  }

  @Test("no link opens anything encrypted, not even through a folder above", arguments: Engine.allCases)
  func links(engine: Engine) async throws {
    let (fixture, ada, _, vault) = try await world(engine)
    let store = fixture.store
    let file = try await put(Self.path("a"), ada, fixture)
    for entry in [vault.id, file.id] {
      let link = NewLink(id: .random(), entry: .id(entry), tokenHash: SecureRandom.bytes(32))
      #expect(await problem { try await store.createLink(link, for: ada, once: nil) }?.kind == Self.encrypted)
    }
    try await fixture.put("/docs/b", as: ada)
    _ = try await store.updateEntry(move(vault.id, to: "/docs/vault"), for: ada)
    let hash = SecureRandom.bytes(32)
    let docs = try await store.stat(.path("/docs"), for: ada)
    _ = try await store.createLink(NewLink(id: .random(), entry: .id(docs.id), tokenHash: hash), for: ada, once: nil)
    let content = try await store.linkContent(tokenHash: hash, path: "/", limit: 10, cursor: nil)
    #expect(content.children.map(\.name) == ["b"])
    for path in ["/vault", "/vault/" + Self.sealed("a")] {
      #expect(await problem { try await store.linkContent(tokenHash: hash, path: path, limit: 10, cursor: nil) }?.kind == .notFound)
      let plan = await problem {
        try await store.linkPlan(tokenHash: hash, path: path, version: nil, cursor: nil, limit: 1, counts: false)
      }
      #expect(plan?.kind == .notFound)
    }
  }

  // MARK: Sharing

  @Test("a member gets the key that was wrapped for them and nobody else's, until the share goes", arguments: Engine.allCases)
  func sharing(engine: Engine) async throws {
    let (fixture, ada, bob, vault) = try await world(engine)
    let store = fixture.store
    try await keys(bob, fixture, seed: 3)
    let file = try await put(Self.path("a"), ada, fixture)
    let key = UserOperations.PutFolderKey(entry: .id(vault.id), user: "bob", key: Self.wrapped(2))
    #expect(await problem { try await store.putFolderKey(key, for: ada) }?.kind == .notFound, "Bob does not see it")
    #expect(await problem { try await store.share(.init(entry: .id(file.id), user: "bob", role: .read), for: ada) }?.kind == Self.encrypted)
    _ = try await store.share(.init(entry: .id(vault.id), user: "bob", role: .write), for: ada)
    let before = try await store.folderKeys(limit: 10, cursor: nil, for: bob).items
    #expect(before.map(\.folder.path) == [Self.mount] && before.first?.key == nil && before.first?.folder.encrypted == true)
    #expect(await problem { try await store.putFolderKey(key, for: bob) }?.kind == .forbidden, "who may not share it may not hand it on")
    try await store.putFolderKey(key, for: ada)
    let after = try await store.folderKeys(limit: 10, cursor: nil, for: bob).items
    #expect(after.map(\.key) == [Self.wrapped(2)] && after.first?.grantedBy == "ada")
    #expect(try await store.folderKeys(limit: 10, cursor: nil, for: ada).items.map(\.key) == [Self.wrapped()])
    let his = try await put(Self.mount + "/" + Self.sealed("b"), bob, fixture)
    #expect(his.keyFolder == vault.id)
    #expect(try await store.changes(since: nil, limit: 100, for: bob).changes.allSatisfy { $0.entry.keyFolder == vault.id })
    #expect(try await store.notifications(limit: 10, cursor: nil, for: ada).items.map(\.entry.keyFolder) == [vault.id])
    #expect(await problem { try await put(Self.mount + "/plain", bob, fixture) }?.kind == Self.encrypted)

    let plain = try await fixture.put("/plain", as: ada)
    let none = UserOperations.PutFolderKey(entry: .id(plain.id), user: "ada", key: Self.wrapped())
    #expect(await problem { try await store.putFolderKey(none, for: ada) }?.kind == Self.encrypted, "it has no key")
    let stale = UserOperations.PutFolderKey(entry: .id(vault.id), user: "bob", key: Self.wrapped(2, generation: 7))
    #expect(await problem { try await store.putFolderKey(stale, for: ada) }?.kind == .conflict)

    try await store.unshare(.init(entry: .id(vault.id), user: "bob"), for: ada)
    #expect(try await store.folderKeys(limit: 10, cursor: nil, for: bob).items.isEmpty)
    #expect(try await fixture.rowCount("folder_keys") == 1, "the member's key went with the share")
    try await fixture.expectSound()
  }

  @Test("a share of a folder above shows the encrypted one, and the key goes with the last share that does", arguments: Engine.allCases)
  func sharingAbove(engine: Engine) async throws {
    let (fixture, ada, bob, vault) = try await world(engine)
    let store = fixture.store
    try await keys(bob, fixture, seed: 3)
    let docs = try await fixture.folder("/docs", as: ada)
    _ = try await store.updateEntry(move(vault.id, to: "/docs/vault"), for: ada)
    _ = try await store.share(.init(entry: .id(docs.id), user: "bob", role: .read), for: ada)
    _ = try await store.share(.init(entry: .id(vault.id), user: "bob", role: .read), for: ada)
    try await store.putFolderKey(.init(entry: .id(vault.id), user: "bob", key: Self.wrapped(2)), for: ada)
    try await store.unshare(.init(entry: .id(vault.id), user: "bob"), for: ada)
    let left = try await store.folderKeys(limit: 10, cursor: nil, for: bob).items
    #expect(left.map(\.folder.path) == ["/Shared with me/docs/vault"] && left.first?.key == Self.wrapped(2))
    try await store.unshare(.init(entry: .id(docs.id), user: "bob"), for: ada)
    #expect(try await store.folderKeys(limit: 10, cursor: nil, for: bob).items.isEmpty)
    #expect(try await fixture.rowCount("folder_keys") == 1)
  }

  @Test(
    "pages of folders and keys leave none out; what is in the trash is not listed, what is gone for good is forgotten",
    arguments: Engine.allCases)
  func listing(engine: Engine) async throws {
    let (fixture, ada, _, vault) = try await world(engine)
    let store = fixture.store
    var made = [vault.id]
    for number in 1...4 { made.append(try await self.vault("/v\(number)", ada, fixture).id) }
    var found: [EntryID] = []
    var cursor: String?
    repeat {
      let page = try await store.folderKeys(limit: 2, cursor: cursor, for: ada)
      found += page.items.map(\.folder.id)
      cursor = page.next
    } while cursor != nil
    #expect(found.sorted() == made.sorted())
    #expect(await problem { try await store.folderKeys(limit: 2, cursor: "AAAA", for: ada) }?.kind == .invalidCursor)
    try await store.deleteEntry(.init(entry: .id(made[1]), forever: false, recursive: true, ifVersion: nil), for: ada)
    #expect(try await store.folderKeys(limit: 10, cursor: nil, for: ada).items.count == 4)
    _ = try await store.restoreFromTrash(.init(entry: made[1], newPath: nil), for: ada, once: nil)
    #expect(try await store.folderKeys(limit: 10, cursor: nil, for: ada).items.count == 5, "with its key")
    for id in made { try await store.deleteEntry(.init(entry: .id(id), forever: true, recursive: true, ifVersion: nil), for: ada) }
    while try await store.expire() > 0 {}
    for table in ["encrypted_folders", "folder_keys"] { #expect(try await fixture.rowCount(table) == 0, "\(table)") }
    #expect(try await put("/" + Self.sealed("a"), ada, fixture, encrypted: nil, envelope: nil).encrypted == nil)
    try await fixture.expectSound()
  }

  @Test("a batch of uploads is sealed item by item", arguments: Engine.allCases)
  func batches(engine: Engine) async throws {
    let (fixture, ada, _, vault) = try await world(engine)
    let store = fixture.store
    let requests = [
      UploadRequest(path: Self.path("a"), blocks: [Fixture.block(1)], parents: true, encrypted: true),
      UploadRequest(path: Self.path("b"), blocks: [Fixture.block(2)], parents: true),
      UploadRequest(path: "/plain", blocks: [Fixture.block(3)], parents: true),
    ]
    let opened = try await store.openUploads(requests, for: ada, once: nil)
    #expect(opened.map { $0.problem?.kind } == [nil, Self.encrypted, nil])
    let completions = zip(requests, opened).compactMap { request, item -> Completion? in
      guard let state = item.value else { return nil }
      return Completion(
        upload: state.uploadID, receipts: Fixture.receipts(state.uploadID, request.blocks![0]),
        envelope: request.encrypted == true ? Self.envelope : nil)
    }
    let done = try await store.completeUploads(completions, for: ada)
    #expect(done.map { $0.value?.keyFolder } == [vault.id, nil] && done.allSatisfy { $0.value != nil })
  }
}
