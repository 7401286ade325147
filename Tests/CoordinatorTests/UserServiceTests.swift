import BlockModel
import Coordinator
import Credentials
import Platform
import ServiceAPI
import Testing

@Suite("The users' side of the coordinator")
struct UserServiceTests {
  @Test("sign up, log in, be known, log out, be unknown at once")
  func accounts() async throws {
    let fixture = try await UserFixture()
    let user = try await fixture.signUp()
    let token = try await fixture.logIn()
    #expect(token.hasPrefix("ct_") && token.utf8.count == 46)
    let me = try await fixture.dispatcher.perform(UserOperations.WhoAmI(), context: UserFixture.context(token))
    #expect(me == UserInfo(id: user.id, name: "ada", device: "laptop"))
    let phone = try await fixture.logIn(device: "phone")
    let devices = try await fixture.dispatcher.perform(UserOperations.ListDevices(), context: UserFixture.context(token)).items
    #expect(devices.map(\.name).sorted() == ["laptop", "phone"])
    _ = try await fixture.dispatcher.perform(UserOperations.LogOut(), context: UserFixture.context(token))
    for bad in [token, nil, "", "ct_", "ct_" + String(repeating: "A", count: 43)] {
      let problem = await refusal { try await fixture.dispatcher.perform(UserOperations.WhoAmI(), context: UserFixture.context(bad)) }
      #expect(problem?.kind == .unauthenticated)
    }
    _ = try await fixture.dispatcher.perform(UserOperations.WhoAmI(), context: UserFixture.context(phone))
    fixture.time.advance(by: .seconds(91 * 24 * 3600))
    let late = await refusal { try await fixture.dispatcher.perform(UserOperations.WhoAmI(), context: UserFixture.context(phone)) }
    #expect(late?.kind == .unauthenticated, "a token ends after its 90 days")
  }

  @Test(
    "names and passwords under the rules are taken, others refused",
    arguments: [
      ("a", "12345678", nil), ("Ada.L_b-1", "pässwörd", nil), (String(repeating: "n", count: 64), "12345678", nil),
      ("", "12345678", .invalidName), (String(repeating: "n", count: 65), "12345678", .invalidName), ("a b", "12345678", .invalidName),
      ("a/b", "12345678", .invalidName), ("..", "12345678", .invalidName), ("ädä", "12345678", .invalidName),
      ("a", "1234567", .malformed), ("a", String(repeating: "p", count: 1025), .malformed),
    ] as [(String, String, Problem.Kind?)])
  func rules(name: String, password: String, kind: Problem.Kind?) async throws {
    let fixture = try await UserFixture()
    do {
      #expect(try await fixture.signUp(name, password: password).name == name)
      #expect(kind == nil)
      _ = try await fixture.logIn(name.uppercased(), password: password)
    } catch { #expect(error.kind == kind) }
  }

  @Test("a repeated sign-up makes one user, a repeated log-in one device, whose last token is the good one")
  func repeatedKeys() async throws {
    let fixture = try await UserFixture()
    let user = try await fixture.signUp(key: "1")
    #expect(try await fixture.signUp(key: "1") == user)
    #expect(await refusal { try await fixture.signUp(password: "another one", key: "1") }?.kind == .keyReused)
    #expect(await refusal { try await fixture.signUp(key: "2") }?.kind == .alreadyExists)
    #expect(try await fixture.signUp("bob", key: "1").name == "bob", "somebody else's key of the same name")
    let first = try await fixture.logIn(key: "1")
    let second = try await fixture.logIn(key: "1")
    let gone = await refusal { try await fixture.dispatcher.perform(UserOperations.WhoAmI(), context: UserFixture.context(first)) }
    #expect(gone?.kind == .unauthenticated)
    let devices = try await fixture.dispatcher.perform(UserOperations.ListDevices(), context: UserFixture.context(second)).items
    #expect(devices.map(\.name) == ["laptop"])
    #expect(await refusal { try await fixture.logIn(device: "phone", key: "1") }?.kind == .keyReused)
    _ = try await fixture.dispatcher.perform(UserOperations.LogOut(), context: UserFixture.context(second))
    #expect(await refusal { try await fixture.logIn(key: "1") }?.kind == .keyReused)
  }

  @Test("a changed password opens, the former does not, and other devices are logged out unless they may stay")
  func passwordChange() async throws {
    let fixture = try await UserFixture()
    _ = try await fixture.signUp()
    let (here, there) = (try await fixture.logIn(), try await fixture.logIn(device: "phone"))
    func change(_ old: String, _ new: String, keeping: Bool) async throws {
      _ = try await fixture.dispatcher.perform(
        UserOperations.ChangePassword(password: old, newPassword: new, keepDevices: keeping), context: UserFixture.context(here))
    }
    #expect(await refusal { try await change("not this one", "second password", keeping: true) }?.kind == .forbidden)
    #expect(await refusal { try await change("correct horse", "short", keeping: true) }?.kind == .malformed)
    try await change("correct horse", "second password", keeping: true)
    _ = try await fixture.dispatcher.perform(UserOperations.WhoAmI(), context: UserFixture.context(there))
    #expect(await refusal { try await fixture.logIn() }?.kind == .unauthenticated)
    try await change("second password", "third password", keeping: false)
    let gone = await refusal { try await fixture.dispatcher.perform(UserOperations.WhoAmI(), context: UserFixture.context(there)) }
    #expect(gone?.kind == .unauthenticated)
    _ = try await fixture.dispatcher.perform(UserOperations.WhoAmI(), context: UserFixture.context(here))
    _ = try await fixture.logIn(password: "third password")
  }

  @Test("wrong passwords are limited per name and address, and an unknown name answers alike")
  func guessing() async throws {
    let fixture = try await UserFixture()
    _ = try await fixture.signUp()
    let unknown = await refusal { try await fixture.logIn("nobody") }
    let wrong = await refusal { try await fixture.logIn(password: "wrong password") }
    #expect(unknown == wrong && wrong?.kind == .unauthenticated)
    for _ in 0..<9 { _ = await refusal { try await fixture.logIn(password: "wrong password") } }
    let limited = await refusal { try await fixture.logIn() }
    #expect(limited?.kind == .tooManyRequests && limited?.retryAfter ?? 0 > 0)
    _ = try await fixture.dispatcher.perform(
      UserOperations.LogIn(name: "ada", password: "correct horse", device: ""), context: UserFixture.context(address: "10.0.0.2"))
    fixture.time.advance(by: .seconds(601))
    _ = try await fixture.logIn()
  }

  @Test("a file goes up on genuine receipts only")
  func uploads() async throws {
    let fixture = try await UserFixture()
    _ = try await fixture.signUp()
    let context = UserFixture.context(try await fixture.logIn())
    let block = BlockRef(id: try #require(BlockID(bytes: SHA256Hasher.hash([1, 2, 3]))), size: 3)
    let state = try await fixture.dispatcher.perform(
      UserOperations.OpenUpload(request: UploadRequest(path: "/f", blocks: [block])), context: context)
    let genuine = fixture.receipt(state.uploadID, block)
    for bad in [fixture.receipt(state.uploadID, block, secret: .generate()), genuine.dropLast() + "0", "r1.nonsense", ""] as [String]
    where bad != genuine {
      let problem = await refusal {
        try await fixture.dispatcher.perform(
          UserOperations.CompleteUpload(upload: state.uploadID, request: CompleteRequest(receipts: [bad])), context: context)
      }
      #expect(problem?.kind == .invalidReceipt)
    }
    let file = try await fixture.dispatcher.perform(
      UserOperations.CompleteUpload(upload: state.uploadID, request: CompleteRequest(receipts: [genuine])), context: context)
    #expect(file.path == "/f" && file.size == 3)
  }

  @Test("in a batch a forged receipt fails its own item")
  func batches() async throws {
    let fixture = try await UserFixture()
    _ = try await fixture.signUp()
    let context = UserFixture.context(try await fixture.logIn())
    let blocks = (0..<3).map { BlockRef(id: BlockID(words: (UInt64($0), 1, 2, 3)), size: 5) }
    let opened = try await fixture.dispatcher.perform(
      UserOperations.OpenUploadBatch(
        request: BatchOpenRequest(uploads: blocks.enumerated().map { UploadRequest(path: "/\($0)", blocks: [$1]) })), context: context
    ).results.compactMap(\.value)
    let items = zip(opened, blocks).enumerated().map { index, pair in
      BatchCompleteRequest.Item(
        uploadID: pair.0.uploadID,
        complete: CompleteRequest(receipts: [fixture.receipt(pair.0.uploadID, pair.1, secret: index == 1 ? .generate() : nil)]))
    }
    let results = try await fixture.dispatcher.perform(
      UserOperations.CompleteUploadBatch(request: BatchCompleteRequest(uploads: items)), context: context
    ).results
    #expect(results.map { $0.problem?.kind } == [nil, .invalidReceipt, nil])
    #expect(results.map { $0.value?.path } == ["/0", nil, "/2"])
    let empty = await refusal {
      try await fixture.dispatcher.perform(UserOperations.OpenUploadBatch(request: BatchOpenRequest(uploads: [])), context: context)
    }
    #expect(empty?.kind == .malformed)
  }

  @Test("an idempotency key makes a repeated request take effect once")
  func idempotency() async throws {
    let fixture = try await UserFixture()
    _ = try await fixture.signUp()
    let context = UserFixture.context(try await fixture.logIn(), key: "once")
    let operation = UserOperations.CreateFolder(path: "/d", parents: false, modifiedAt: nil)
    let first = try await fixture.dispatcher.perform(operation, context: context)
    #expect(try await fixture.dispatcher.perform(operation, context: context) == first)
    let other = UserOperations.CreateFolder(path: "/e", parents: false, modifiedAt: nil)
    #expect(await refusal { try await fixture.dispatcher.perform(other, context: context) }?.kind == .keyReused)
    var long = context
    long.idempotencyKey = String(repeating: "k", count: 256)
    #expect(await refusal { try await fixture.dispatcher.perform(other, context: long) }?.kind == .malformed)
  }

  @Test("a key of a batch goes with that very batch: any part that differs makes it another request")
  func idempotentBatches() async throws {
    let fixture = try await UserFixture()
    _ = try await fixture.signUp()
    let block = BlockRef(id: BlockID(words: (1, 2, 3, 4)), size: 5)
    let hash = String(repeating: "a", count: 64)
    let request = UploadRequest(path: "/f", size: 5, blocks: [block], onConflict: .fail, parents: true)
    #expect(Mirror(reflecting: request).children.count == 13, "a new field has to be told apart, too")
    let changes: [(inout UploadRequest) -> Void] = [
      { $0.path = "/g" }, { $0.size = nil }, { $0.contentHash = hash }, { $0.blocks = [] }, { $0.blocks = nil }, { $0.baseVersion = 0 },
      { ($0.baseVersion, $0.baseEntry) = (1, EntryID(high: 1, low: 1)) }, { $0.onConflict = nil }, { $0.mimeType = "a/b" },
      { $0.modifiedAt = FileTime(nanoseconds: 0) }, { $0.executable = false }, { $0.chunker = .fixed }, { $0.parents = nil },
      { $0.encrypted = true },
      { $0.blocks = [BlockRef(id: block.id, size: 4)] },
    ]
    let context = UserFixture.context(try await fixture.logIn(), key: "once")
    func open(_ requests: [UploadRequest]) async throws -> BatchOpenResponse {
      try await fixture.dispatcher.perform(UserOperations.OpenUploadBatch(request: .init(uploads: requests)), context: context)
    }
    let first = try await open([request])
    #expect(try await open([request]) == first)
    for change in changes {
      var other = request
      change(&other)
      #expect(await refusal { try await open([other]) }?.kind == .keyReused)
    }
    #expect(await refusal { try await open([request, request]) }?.kind == .keyReused)
  }

  @Test("every user operation has its handler, under the audience it names")
  func registered() async throws {
    let fixture = try await UserFixture()
    #expect(fixture.dispatcher.operationNames.count == 54)
    #expect(fixture.dispatcher.audience(of: "sign-up") == .gateway && fixture.dispatcher.audience(of: "stat") == .user)
    #expect(fixture.dispatcher.audience(of: "no-such-operation") == nil)
  }
}
