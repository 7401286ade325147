import Foundation
import Glibc
import Platform
import TestSupport

/// What tests on real disks need of the machine, and the writer process that they stop.
enum RealDisk {
  /// The writer that was built beside these tests.
  static var writer: String {
    let root = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent().path
    #if DEBUG
      return root + "/.build/debug/storewriter"
    #else
      return root + "/.build/release/storewriter"
    #endif
  }

  static let quick = Environment.value("CAIRN_QUICK") != nil

  static func has(_ tool: String) -> Bool {
    let folders = (Environment.value("PATH") ?? "").split(separator: ":").map(String.init) + ["/usr/sbin", "/sbin"]
    return folders.contains { access($0 + "/" + tool, X_OK) == 0 }
  }

  /// Whether this process may mount file systems, and has what makes them.
  static var canMount: Bool { geteuid() == 0 && access("/dev/loop-control", R_OK | W_OK) == 0 && has("mkfs.ext4") && has("mount") }

  /// Runs a command that has to succeed.
  static func run(_ command: String, _ arguments: [String]) async throws {
    let outcome = try await ProcessRunner.run(command, arguments, environment: environment)
    guard outcome.succeeded else {
      throw CommandFailed(what: "\(command) \(arguments.joined(separator: " ")): \(outcome.ending) \(outcome.error)")
    }
  }

  static let environment = ["PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C"]

  struct CommandFailed: Error, CustomStringConvertible {
    var what: String
    var description: String { what }
  }
}

/// A file system of its own in a file, taken away whatever happens.
struct MountedImage {
  let folder: TemporaryFolder
  /// Where it is mounted.
  let path: String
  private let image: String
  /// The journal and all tables lie in front.
  private static let metadataBytes: Int64 = 8 << 20

  /// - Parameters:
  ///   - megabytes: of the file system.
  ///   - hostMegabytes: of the memory file system that the image lies in; less than the file system's size makes writes fail. Nil for a
  ///     plain file.
  static func with(megabytes: Int, hostMegabytes: Int? = nil, _ body: (MountedImage) async throws -> Void) async throws {
    let folder = try TemporaryFolder()
    let mounted = MountedImage(folder: folder, path: folder.path("mounted"), image: folder.path("host/image"))
    do {
      try await mounted.make(megabytes, hostMegabytes)
      try await body(mounted)
    } catch {
      await mounted.takeAway(hostMegabytes != nil)
      throw error
    }
    await mounted.takeAway(hostMegabytes != nil)
  }

  private func make(_ megabytes: Int, _ hostMegabytes: Int?) async throws {
    try Directory.create(folder.path("host"))
    try Directory.create(path)
    if let hostMegabytes { try await RealDisk.run("mount", ["-t", "tmpfs", "-o", "size=\(hostMegabytes)m", "none", folder.path("host")]) }
    let file = try File(image, [.write, .create])
    try file.truncate(to: Int64(megabytes) << 20)
    // Without lazy initialisation nothing writes behind the test's back.
    var options = ["-q", "-F", "-m", "0", "-b", "4096", "-N", "1024", "-J", "size=4"]
    options += ["-E", "lazy_itable_init=0,lazy_journal_init=0,nodiscard,packed_meta_blocks=1"]
    try await RealDisk.run("mkfs.ext4", options + [image])
    // What the file system keeps for itself has room in any case: losing that, after a journal committed it, is not a failed write of ours.
    if hostMegabytes != nil { try file.allocate(offset: 0, length: MountedImage.metadataBytes) }
    try await mount()
    if hostMegabytes != nil { try await writePageByPage() }
  }

  /// The loop driver takes a write of which only a part found room for a whole one and says that all is well, which no disk does. One that
  /// is asked for a page at a time fails as disks do.
  private func writePageByPage() async throws {
    let command = "echo 4 > /sys/block/$(basename $(losetup -n -O NAME -j '\(image)'))/queue/max_sectors_kb"
    try await RealDisk.run("sh", ["-c", command])
  }

  func mount() async throws {
    try await RealDisk.run("mount", ["-o", "loop,nodiscard", image, path])
    // Whatever is about to be broken must not be what the machine runs from.
    var (root, here, work) = (stat(), stat(), stat())
    guard stat("/", &root) == 0, stat(path, &here) == 0, stat(folder.path, &work) == 0, here.st_dev != root.st_dev,
      here.st_dev != work.st_dev
    else { throw RealDisk.CommandFailed(what: "\(path) is not a file system of its own") }
  }

  func unmount() async throws { try await RealDisk.run("umount", [path]) }

  func growHost(toMegabytes megabytes: Int) async throws {
    try await RealDisk.run("mount", ["-o", "remount,size=\(megabytes)m", folder.path("host")])
  }

  /// The power fails: from now on nothing reaches the device, what the journal holds in memory neither.
  func losePower() throws {
    let file = try File(path, .read)
    // EXT4_IOC_SHUTDOWN, _IOR('X', 125, __u32), with EXT4_GOING_FLAGS_NOLOGFLUSH.
    var flags: UInt32 = 2
    let result = file.withDescriptor { ioctl($0, 0x8004_587D, &flags) }
    guard result == 0 else { throw RealDisk.CommandFailed(what: "the file system could not be shut down: errno \(errno)") }
  }

  private func takeAway(_ hasHost: Bool) async {
    for folder in hasHost ? [path, folder.path("host")] : [path] {
      for arguments in [[folder], ["-l", folder]] {
        if (try? await RealDisk.run("umount", arguments)) != nil { break }
      }
    }
  }
}
