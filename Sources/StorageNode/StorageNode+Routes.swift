internal import BlockModel
internal import BlockStore
package import HTTPTransport
internal import Journal
internal import Platform
internal import ServiceAPI

extension StorageNode {
  /// The node's routes.
  package var router: HTTPRouter {
    var router = HTTPRouter()
    addBlocks(to: &router)
    addBatches(to: &router)
    let (commands, node) = (commands, self)
    router.add(
      .post, "/v1/control/{hash}", maxBodyBytes: ControlCommands.bodyLimit,
      gate: gate { head throws(Problem) in
        _ = try node.admission.capability(of: head, operations: [.control])
      }
    ) { head, body in await commands.handle(head, body) }
    let journal = journal
    router.add(
      .post, JournalRoutes.path, maxBodyBytes: JournalRequest.bodyLimit,
      gate: gate { head throws(Problem) in
        _ = try node.admission.capability(of: head, operations: [.control])
      }
    ) { head, body in await journal.handle(head, body) }
    router.add(.get, "/healthz") { _, _ in
      HTTPResponse(status: 200, headers: ["Content-Type": "text/plain"], body: .bytes(Array("ok\n".utf8)))
    }
    router.add(.get, "/readyz") { _, _ in
      if let reason = node.notReady { return HTTPResponse(Problem(.unavailable, reason, retryAfter: 1)) }
      return HTTPResponse(status: 200, headers: ["Content-Type": "text/plain"], body: .bytes(Array("ready\n".utf8)))
    }
    router.add(.get, "/metrics") { _, _ in
      HTTPResponse(status: 200, headers: ["Content-Type": Metrics.contentType], body: .bytes(Array(node.metrics.registry.render().utf8)))
    }
    return router
  }

  private func addBlocks(to router: inout HTTPRouter) {
    let (admission, upload, replica, reading, metrics) = (admission, upload, replica, reading, metrics)
    let path = "/v1/blocks/{id}"
    // The longest body is a record; what a client's block may have at most is for the gate to say, in words of its own.
    let longest = RecordLayout.wireRange(storedBytes: Limits.blockBytes).count
    router.add(
      .put, path, maxBodyBytes: longest,
      gate: gate { head throws(Problem) in
        let put = try admission.put(head)
        head.admission = put
        // Hashing and sealing one frame takes some tens of microseconds, as long as handing the request to another thread.
        head.startsAtOnce = put.capability.size <= Limits.frameBytes
      }
    ) { head, body in
      do throws(Problem) {
        let put = if let admitted = head.admission as? AdmittedPut { admitted } else { try admission.put(head) }
        metrics.received(put)
        let receipts = try await admission.writing(put.capability) { () async throws(Problem) in
          put.capability.operation == .put ? try await upload.receive(put, body) : try await replica.receive(put, body)
        }
        return HTTPResponse(stored: PutReply(receipts: receipts))
      } catch { return HTTPResponse(error) }
    }
    router.add(.get, path, inline: reading.getCached) { head, _ in
      let response = await reading.get(head)
      return response.status == 404 ? admission.movedAway(head).map { HTTPResponse($0) } ?? response : response
    }
    router.add(.delete, path) { _, _ in
      HTTPResponse(
        Problem(.forbidden, "Blocks are deleted by the coordinator alone, by a command; delete the files that use them instead."))
    }
  }

  private func addBatches(to router: inout HTTPRouter) {
    let batches = batches
    let limit = BlockBatch.bodyBytes
    router.add(.post, BatchRoutes.putPath, maxBodyBytes: limit) { head, body in await batches.put(head, body) }
    router.add(.post, BatchRoutes.getPath, maxBodyBytes: limit) { head, body in await batches.get(head, body) }
    router.add(.post, BatchRoutes.replicatePath, maxBodyBytes: limit) { head, body in await batches.replicate(head, body) }
  }

  /// A check of the head that refuses by throwing.
  private func gate(_ check: @escaping @Sendable (inout HTTPRequestHead) throws(Problem) -> Void) -> HTTPGate {
    { head in
      do throws(Problem) {
        try check(&head)
        return nil
      } catch { return HTTPResponse(error) }
    }
  }
}
