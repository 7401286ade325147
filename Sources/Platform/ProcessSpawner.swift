internal import CLinux
internal import Glibc

/// `posix_spawn` with what our processes need: signals as at a fresh start, nothing inherited but the three standard streams.
enum ProcessSpawner {
  static func spawn(_ executable: String, _ arguments: [String], _ options: ChildProcess.Options) throws(FileError) -> pid_t {
    var actions = posix_spawn_file_actions_t()
    posix_spawn_file_actions_init(&actions)
    defer { posix_spawn_file_actions_destroy(&actions) }
    connect(options.input, to: 0, flags: O_RDONLY, &actions)
    connect(options.output, to: 1, flags: O_WRONLY | O_CREAT | O_APPEND, &actions)
    connect(options.error, to: 2, flags: O_WRONLY | O_CREAT | O_APPEND, &actions)
    if let folder = options.workingDirectory { _ = cairn_spawn_in_folder(&actions, folder) }

    var attributes = posix_spawnattr_t()
    posix_spawnattr_init(&attributes)
    defer { posix_spawnattr_destroy(&attributes) }
    configure(&attributes, ownGroup: options.ownGroup)

    let environment = options.environment.map { $0.sorted { $0.key < $1.key }.map { "\($0.key)=\($0.value)" } }
    var process: pid_t = 0
    let result = withCStrings([executable] + arguments) { arguments in
      guard let environment else { return posix_spawnp(&process, executable, &actions, &attributes, arguments, environ) }
      return withCStrings(environment) { posix_spawnp(&process, executable, &actions, &attributes, arguments, $0) }
    }
    guard result == 0 else { throw FileError(operation: "start", path: executable, errno: result) }
    return process
  }

  private static func connect(
    _ stream: ChildProcess.Stream, to descriptor: Int32, flags: Int32, _ actions: inout posix_spawn_file_actions_t
  ) {
    switch stream {
    case .inherited: break
    case .null: posix_spawn_file_actions_addopen(&actions, descriptor, "/dev/null", O_RDWR, 0)
    case .file(let path): posix_spawn_file_actions_addopen(&actions, descriptor, path, flags, 0o644)
    }
  }

  private static func configure(_ attributes: inout posix_spawnattr_t, ownGroup: Bool) {
    var defaults = sigset_t()
    sigemptyset(&defaults)
    for signal in [SIGPIPE, SIGTERM, SIGINT, SIGHUP, SIGCHLD] { sigaddset(&defaults, signal) }
    var nothing = sigset_t()
    sigemptyset(&nothing)
    posix_spawnattr_setsigdefault(&attributes, &defaults)
    posix_spawnattr_setsigmask(&attributes, &nothing)
    var flags = POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETSIGMASK
    if ownGroup { flags |= POSIX_SPAWN_SETPGROUP }
    posix_spawnattr_setflags(&attributes, Int16(flags))
  }

  private static func withCStrings<R>(_ strings: [String], _ body: ([UnsafeMutablePointer<CChar>?]) -> R) -> R {
    let copies = strings.map { strdup($0) }
    defer { for copy in copies { free(copy) } }
    return body(copies + [nil])
  }
}
