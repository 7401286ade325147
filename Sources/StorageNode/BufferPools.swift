internal import BlockStore
package import Platform

/// The node's buffers, by whom they serve. What must hold: nobody who holds a replica's, a read's or a decoder's buffer waits for
/// another node or for a buffer of a pool that stands before it in the order client, replica, read, decode; so no two nodes and no two
/// requests ever wait for each other in a circle.
package struct BufferPools: Sendable {
  /// Buffers of two sizes for one purpose: most blocks are small, and a whole-block buffer for each would let few in at once.
  package struct Pair: Sendable {
    package let small: BufferPool
    package let large: BufferPool

    init(small: Int, large: Int) {
      self.small = BufferPool(bufferCapacity: BufferPools.smallBufferBytes, limit: small)
      self.large = BufferPool(bufferCapacity: RecordLayout.bufferBytes, limit: large)
    }

    /// The pool whose buffers hold a record with this payload.
    package func pool(storedBytes: Int) -> BufferPool { pool(recordBytes: RecordLayout.recordBytes(storedBytes: storedBytes)) }

    /// The pool whose buffers hold a record of this many bytes, padded.
    package func pool(recordBytes: Int) -> BufferPool {
      recordBytes.roundedUp(to: 4096) <= BufferPools.smallBufferBytes ? small : large
    }
  }

  /// Payload bytes of the largest block that goes into a small buffer.
  package static let smallBlockBytes = 128 << 10
  static let smallBufferBytes = paddedRecordBytes(storedBytes: smallBlockBytes)

  package let client: Pair
  package let replica: Pair
  package let read: Pair
  package let decode: BufferPool

  package init(_ limits: NodeLimits) {
    client = Pair(small: limits.smallBuffers, large: limits.clientBuffers)
    replica = Pair(small: limits.smallBuffers, large: limits.replicaBuffers)
    read = Pair(small: limits.smallBuffers, large: limits.readBuffers)
    decode = BufferPool(bufferCapacity: RecordLayout.bufferBytes, limit: limits.decodeBuffers)
  }

  static func paddedRecordBytes(storedBytes: Int) -> Int { RecordLayout.recordBytes(storedBytes: storedBytes).roundedUp(to: 4096) }

  /// Every pool with the name that metrics give it.
  package var all: [(name: String, pool: BufferPool)] {
    [
      ("client", client.large), ("client-small", client.small), ("replica", replica.large), ("replica-small", replica.small),
      ("read", read.large), ("read-small", read.small), ("decode", decode),
    ]
  }
}
