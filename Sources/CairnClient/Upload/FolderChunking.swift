internal import BlockModel

/// How the folders of one transfer want their files cut, each asked for once: by the first file that does not say and is large enough for
/// it to matter. Files of the same folder that come meanwhile wait for that answer.
actor FolderChunking {
  private var known: [RemotePath: Task<Chunking, any Error>] = [:]

  /// - Parameter ask: is run by the first who needs to know; when it fails, the next one asks.
  func chunking(in folder: RemotePath, ask: @escaping @Sendable () async throws -> Chunking) async throws -> Chunking {
    while let asked = known[folder] {
      if let chunking = try? await asked.value { return chunking }
      try Task.checkCancellation()
      if known[folder] == asked { known[folder] = nil }
    }
    let asking = Task(operation: ask)
    known[folder] = asking
    return try await withTaskCancellationHandler {
      try await asking.value
    } onCancel: {
      asking.cancel()
    }
  }
}
