import BlockModel
import ClusterLogic
import Credentials
import HTTPTransport
import Journal
import Platform
import TestSupport
import Testing

@Suite("The door to a node's journal") struct JournalRouteTests {
  private let term = JournalTerm(generation: 4, writer: 9)

  private func ask(
    _ request: JournalRequest, _ cluster: TestCluster, at index: Int = 0, changing: ([UInt8]) -> [UInt8] = { $0 },
    signer: CapabilitySigner? = nil
  ) async throws -> HTTPClientResponse {
    let body = request.encoded
    let capability = cluster.capability(.control, TestCluster.name(body), size: body.count, at: index)
    let url = (signer ?? cluster.signer).url(capability, address: cluster.nodes[index].address)
    return try await cluster.client.send(
      HTTPClientRequest(method: .post, url: url.replacing("/v1/control/", with: "/v1/journal/"), body: .bytes(changing(body))))
  }

  private func record(_ sequence: UInt64 = 1) -> JournalRecord {
    JournalRecord(term: term, sequence: sequence, previous: BlockID(words: (0, 0, 0, 0)), payload: [1, 2, 3])
  }

  @Test("what the coordinator signed is kept and read back; an earlier term is refused with 409")
  func keeps() async throws {
    try await withCluster { cluster in
      #expect(try await ask(.append(term, [record()]), cluster).status == 200)
      let status = try JSONCoding.decode(JournalStatus.self, from: try await ask(.status, cluster).bytes)
      #expect(status.promised == term)
      #expect(status.newest?.hash == record().hash)
      let name = try #require(status.files?.first?.name)
      #expect(try await ask(.read(file: name, offset: 0, limit: 1 << 20), cluster).bytes == record().encoded)
      #expect(try await ask(.read(file: "../promise", offset: 0, limit: 100), cluster).status == 404)
      #expect(try await ask(.promise(JournalTerm(generation: 3, writer: 9)), cluster).status == 409)
      #expect(try await ask(.view, cluster).status == 200)
    }
  }

  @Test("a message that was changed, signed by others, meant for another node, or is no message, does nothing")
  func refuses() async throws {
    try await withCluster { cluster in
      let request = JournalRequest.append(term, [record()])
      #expect(try await ask(request, cluster, changing: { $0.dropLast() + [$0.last! ^ 1] }).status == 422)
      #expect(try await ask(request, cluster, changing: { $0 + [0] }).status == 413)
      let stranger = CapabilitySigner(secret: .generate())
      #expect(try await ask(request, cluster, signer: stranger).status == 401)
      let body = request.encoded
      let url = cluster.url(cluster.capability(.control, TestCluster.name(body), size: body.count, at: 0))
        .replacing("/v1/control/", with: "/v1/journal/")
        .replacing(":\(cluster.nodes[0].server.port)", with: ":\(cluster.nodes[1].server.port)")
      #expect(try await cluster.client.send(HTTPClientRequest(method: .post, url: url, body: .bytes(body))).status == 403)
      // A command of the other door says nothing here.
      let command = Array("{\"scrub\":{}}".utf8)
      let other = cluster.url(cluster.capability(.control, TestCluster.name(command), size: command.count, at: 0))
      let response = try await cluster.client.send(
        HTTPClientRequest(method: .post, url: other.replacing("/v1/control/", with: "/v1/journal/"), body: .bytes(command)))
      #expect(response.status == 400)
      let status = try JSONCoding.decode(JournalStatus.self, from: try await ask(.status, cluster).bytes)
      #expect(status.newest == nil && status.promised == nil)
    }
  }
}
