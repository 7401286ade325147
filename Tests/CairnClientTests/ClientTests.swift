import Testing

/// All tests of the client, one at a time: each brings up servers of its own and moves megabytes, and what is counted here (requests,
/// copies)
/// must not depend on how busy the machine is with the others.
@Suite("Client", .serialized)
struct ClientTests {}
