import CairnClient
import Platform
import Synchronization
import TestSupport
import Testing

extension ClientTests {
  @Suite("The tutorial")
  struct TutorialTests {
    @Test("does what it says")
    func runs() async throws {
      try await withCluster { cluster in
        let gateway = cluster.gateway.address
        let state = cluster.folder.path("state")
        let copy = cluster.folder.path("copy")
        let file = try cluster.write("today.txt", Array("Hello, cluster".utf8))
        let other = try cluster.write("other.txt", Array("Hello again".utf8))
        let folder = cluster.folder.path("folder")
        try Directory.create(folder)
        _ = try cluster.write("folder/a", [1])

        // Log in
        let client = try CairnClient(Configuration(gateway: gateway, stateDirectory: state))
        try await client.signUp(name: "ada", password: "correct horse")
        let session = try await client.logIn(name: "ada", password: "correct horse", device: "laptop")
        #expect(!session.token.isEmpty)

        // Put a file and read it back
        try await client.upload(file, to: "/notes/today.txt")
        cluster.replicate()
        try await client.download("/notes/today.txt", to: copy)
        let received = Mutex<[UInt8]>([])
        try await client.read("/notes/today.txt", range: 0..<5) { bytes in received.withLock { $0 += bytes } }
        #expect(received.withLock { $0 } == Array("Hello".utf8))

        // Do not overwrite what you have not seen
        var newest: Int64?
        _ = try cluster.write("today.txt", Array("Hello, world".utf8))
        let known = try await client.entry(at: "/notes/today.txt")
        try await client.upload(file, to: "/notes/today.txt", options: UploadOptions(onConflict: .fail, baseVersion: known.version))
        do {
          try await client.upload(other, to: "/notes/today.txt", options: UploadOptions(onConflict: .fail, baseVersion: known.version))
        } catch let error as CairnError where error.kind == .conflict {
          newest = error.current?.version
        }
        #expect(newest.map { $0 > known.version } == true)

        // Put a folder and watch it go
        let progress = TransferProgress()
        let watcher = Task {
          for await snapshot in progress.updates() { print("\(snapshot.files) files, \(snapshot.bytes) bytes") }
        }
        let result = try await client.put([folder], to: "/backup", recursive: true, progress: progress)
        watcher.cancel()
        for failure in result.failures { print("\(failure.path): \(failure.error)") }
        #expect(result.files == 1 && result.failures.isEmpty)

        // Send only what changed
        try await client.upload(file, to: "/images/disk.img", options: UploadOptions(chunking: .contentDefined))

        // Keep a folder to yourself
        let made = try await client.createKeys()
        print("Write this down: \(made.recoveryPhrase)")
        try await client.makeEncryptedFolder("/secret")
        try await client.upload(file, to: "/secret/plans.txt")
        #expect(try await client.entry(at: "/secret/plans.txt").encrypted == true)
      }
    }

    @Test("every line of code in it is one that was run above")
    func isCompiled() throws {
      let here = #filePath
      let root = here.split(separator: "/").dropLast(3).joined(separator: "/")
      let article = try #require(try AtomicFile.read("/\(root)/Sources/CairnClient/CairnClient.docc/Tutorial.md", limit: 1 << 20))
      let code = String(decoding: try #require(try AtomicFile.read(here, limit: 1 << 20)), as: UTF8.self)
      let known = Set(code.split(separator: "\n").map(trimmed))
      var isCode = false
      var lines = 0
      for line in String(decoding: article, as: UTF8.self).split(separator: "\n") {
        if line.hasPrefix("```") {
          isCode.toggle()
        } else if isCode {
          lines += 1
          #expect(known.contains(trimmed(line)), "\(line)")
        }
      }
      #expect(lines > 15 && !isCode)
    }

    private func trimmed(_ line: Substring) -> Substring { line.drop { $0 == " " } }
  }
}
