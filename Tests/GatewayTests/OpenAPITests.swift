import BlockModel
import Foundation
import Gateway
import HTTPTransport
import Platform
import ServiceAPI
import Testing

@Suite("The API's description")
struct OpenAPITests {
  /// The description as it is served, and the router that serves.
  private func served() async throws -> (document: [String: Any], routes: [HTTPRouter.Route]) {
    nonisolated(unsafe) var result: (document: [String: Any], routes: [HTTPRouter.Route])?
    try await withGateway({ $0.publicAddress = "https://cairn.example" }) { gateway in
      let reply = try await gateway.send(.get, "/v1/openapi.json", token: nil)
      #expect(reply.status == 200)
      result = (try reply.object, gateway.service.router().routes)
    }
    return try #require(result)
  }

  @Test("every route is described, and nothing else")
  func complete() async throws {
    let (document, routes) = try await served()
    let paths = try #require(document["paths"] as? [String: [String: Any]])
    let described = paths.flatMap { path, methods in methods.keys.map { "\($0.uppercased()) \(path)" } }.sorted()
    #expect(described == routes.map { "\($0.method.rawValue) \($0.pattern)" }.sorted())
    let ids = paths.values.flatMap { $0.values.compactMap { ($0 as? [String: Any])?["operationId"] as? String } }
    #expect(ids.count == routes.count && Set(ids).count == ids.count)
    #expect(document["openapi"] as? String == "3.1.0")
    #expect(((document["servers"] as? [[String: Any]])?.first)?["url"] as? String == "https://cairn.example")
  }

  @Test("every reference leads to a schema, every schema is used, and every path parameter is declared")
  func references() async throws {
    let (document, routes) = try await served()
    var references: Set<String> = []
    func walk(_ value: Any) {
      if let object = value as? [String: Any] {
        if let reference = object["$ref"] as? String { references.insert(reference) }
        for member in object.values { walk(member) }
      } else if let list = value as? [Any] {
        for element in list { walk(element) }
      }
    }
    walk(document)
    let components = try #require(document["components"] as? [String: Any])
    let schemas = try #require(components["schemas"] as? [String: Any])
    #expect(references == Set(schemas.keys.map { "#/components/schemas/\($0)" }))
    let paths = try #require(document["paths"] as? [String: [String: [String: Any]]])
    for route in routes {
      let operation = try #require(paths[route.pattern]?[route.method.rawValue.lowercased()])
      let parameters = (operation["parameters"] as? [[String: Any]] ?? []).filter { $0["in"] as? String == "path" }
      let wanted = route.pattern.split(separator: "/").filter { $0.hasPrefix("{") }.map { String($0.dropFirst().dropLast()) }
      #expect(parameters.compactMap { $0["name"] as? String } == wanted, "\(route.pattern)")
      #expect((operation["responses"] as? [String: Any])?.isEmpty == false)
    }
  }

  @Test("the documents that are served have the members that their schemas name, and those that must be there")
  func documents() async throws {
    let (document, _) = try await served()
    let schemas = try #require((document["components"] as? [String: Any])?["schemas"] as? [String: [String: Any]])
    func check(_ name: String, _ value: some Encodable, sourceLocation: SourceLocation = #_sourceLocation) throws {
      let bytes = try JSONCoding.encode(value)
      let object = try #require(try JSONSerialization.jsonObject(with: Data(bytes)) as? [String: Any])
      let schema = try #require(schemas[name])
      let properties = Set(try #require(schema["properties"] as? [String: Any]).keys)
      #expect(Set(object.keys).isSubset(of: properties), "\(name)", sourceLocation: sourceLocation)
      #expect(Set(schema["required"] as? [String] ?? []).isSubset(of: object.keys), "\(name)", sourceLocation: sourceLocation)
    }
    try check("File", Samples.file(mimeType: "text/plain"))
    try check("File", Samples.file(kind: .symlink))
    var sealed = Samples.file()
    (sealed.encrypted, sealed.keyFolder, sealed.envelope) = (true, Samples.entryID, "AA")
    try check("File", sealed)
    var sealedVersion = Samples.versionInfo
    sealedVersion.envelope = "AA"
    try check("Version", sealedVersion)
    let wrapped = WrappedKey(wrappedKey: "AA", generation: 1)
    try check("WrappedKey", wrapped)
    try check("FolderKey", FolderKeyInfo(folder: sealed, key: wrapped, grantedBy: "ann"))
    try check("FolderKeyPage", Page(items: [FolderKeyInfo(folder: sealed, key: nil, grantedBy: nil)], next: "n"))
    try check("KeyPair", KeyPairInfo(publicKey: "AA", wrappedPrivateKey: "AA", generation: 1, createdAt: Samples.moment))
    try check("PublicKey", PublicKeyInfo(user: "ann", publicKey: "AA", generation: 1))
    try check("Version", Samples.versionInfo)
    try check("Upload", Samples.upload(missing: 3, file: Samples.file()))
    try check("MissingBlock", Samples.upload(missing: 1).missing[0])
    try check("Usage", Usage(used: 1, reserved: 2, quota: 3, files: 4))
    try check("User", UserInfo(id: UserID(high: 1, low: 1), name: "ann", device: "desk"))
    try check("Device", DeviceInfo(id: Samples.deviceID, name: "d", createdAt: Samples.moment, lastSeenAt: Samples.moment, current: true))
    try check("Session", SessionToken(token: "t", expiresAt: Samples.moment))
    try check("Change", Change(sequence: 1, action: .moved, entry: Samples.file(), oldPath: "/o", at: Samples.moment))
    try check("ChangesPage", ChangesPage(changes: [], cursor: "c", hasMore: false, reset: false))
    try check("FilePage", Page(items: [Samples.file()], next: "n"))
    try check("UploadBatch", BatchOpenResponse(results: []))
    try check("CompleteBatchRequest", BatchCompleteRequest(uploads: []))
    try check(
      "UploadRequest",
      UploadRequest(
        path: "/a", size: 1, contentHash: Samples.hash, blocks: [], baseVersion: 1, baseEntry: Samples.file().id,
        onConflict: .copy, mimeType: "a/b", modifiedAt: FileTime(Samples.moment), executable: true, chunker: .cdc, parents: true,
        encrypted: true))
    try check("CompleteRequest", CompleteRequest(size: 1, contentHash: Samples.hash, receipts: [], envelope: "AA"))
    try check("SignedTarget", SignedTarget(node: Samples.node(1), zone: Samples.zone(ofNode: 1), url: "u"))
    var plan = FakeControl.plan()
    plan.next = "n"
    plan.envelope = "AA"
    plan.blocks[0].strays = nil
    try check("DownloadPlan", plan)
    try check("PlannedBlock", plan.blocks[0])
  }
}
