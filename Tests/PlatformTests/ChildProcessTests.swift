internal import Platform
internal import TestSupport
internal import Testing

@Suite("Child processes and signals")
struct ChildProcessTests {
  @Test("status, output and errors of a program come back")
  func outcome() async throws {
    let outcome = try await ProcessRunner.run("/bin/sh", ["-c", "cat; echo err >&2; exit 3"], input: "in")
    #expect(outcome.ending == .exited(status: 3))
    #expect(outcome.output == "in" && outcome.error == "err\n")
  }

  @Test("the environment and the folder are those given, and a name without a slash is looked up")
  func surroundings() async throws {
    let folder = try TemporaryFolder()
    let outcome = try await ProcessRunner.run(
      "sh", ["-c", "pwd; echo $A-$HOME"], environment: ["A": "1", "PATH": "/usr/bin:/bin"], workingDirectory: folder.path)
    #expect(outcome.output == "\(folder.path)\n1-\n")
  }

  @Test("a program that is not there is an error")
  func missing() throws {
    #expect(throws: FileError.self) { try ChildProcess.start("/nowhere/at/all") }
  }

  @Test("signals stop, continue and end a process; after its end none is sent")
  func signals() async throws {
    let child = try ChildProcess.start("/bin/sleep", ["1000"])
    #expect(child.isRunning)
    #expect(child.send(.stop) && child.send(.continue))
    #expect(child.send(.terminate))
    #expect(await child.wait() == .killed(signal: 15))
    #expect(child.waitBlockingForTests() == .killed(signal: 15))
    #expect(!child.isRunning && !child.send(.kill))
  }

  @Test("a child starts with the signals of a fresh process, also when this one ignores broken pipes")
  func freshSignals() async throws {
    ProcessSignals.ignoreBrokenPipes()
    let outcome = try await ProcessRunner.run("/bin/sh", ["-c", "kill -PIPE $$; echo survived"])
    #expect(outcome.ending == .killed(signal: 13) && outcome.output.isEmpty)
  }

  @Test("only the standard streams are inherited")
  func descriptors() async throws {
    let folder = try TemporaryFolder()
    let open = try (0..<5).map { try File(folder.path("f\($0)"), [.write, .create]) }
    let outcome = try await ProcessRunner.run("/bin/sh", ["-c", "ls -l /proc/self/fd"])
    #expect(!outcome.output.contains(folder.path + "/f"))
    withExtendedLifetime(open) {}
  }

  @Test("signals to this process become values of a stream, and a broken pipe does not end it")
  func stream() async {
    await #expect(processExitsWith: .success) {
      let signals = try ProcessSignals.stream()
      let me = try #require(try AtomicFile.read("/proc/self/stat", limit: 4096)).split(separator: 32)[0]
      let kill = try ChildProcess.start(
        "/bin/sh", ["-c", "kill -HUP $0; sleep 0.1; kill -PIPE $0; kill -TERM $0", String(decoding: me, as: UTF8.self)])
      var seen: [ProcessSignal] = []
      for await signal in signals {
        seen.append(signal)
        if signal == .terminate { break }
      }
      #expect(seen == [.hangUp, .terminate])
      _ = await kill.wait()
    }
  }
}

extension ChildProcess {
  /// The process has ended, so this does not block.
  fileprivate func waitBlockingForTests() -> Ending { waitBlocking() }
}
