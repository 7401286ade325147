internal import CLinux
internal import Glibc

/// Facts about the machine.
package enum Machine {
  /// Processors that this process may run on; at least 1.
  package static var processorCount: Int { max(1, Int(cairn_processor_count())) }
  /// Bytes of memory that this process holds; 0 when the system does not say.
  package static var residentBytes: Int { Int(clamping: cairn_resident_bytes()) }
  /// Whether this process may do everything, such as mounting file systems.
  package static var isRoot: Bool { geteuid() == 0 }
  /// Gives the calling thread less of processors and disks than the others, for good: for background work on threads of its own.
  package static func lowerThisThread() { cairn_lower_thread() }
}
