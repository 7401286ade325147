import Platform
import ServiceAPI
import Testing

@Suite("answers to PUTs")
struct ReplyTests {
  @Test(
    "a reply written by hand is what a JSON reader reads, and reads back",
    arguments: [[], ["r1.a.b"], ["r1.a", "r1.b", "r1.c d~"], [""], ["", ""]])
  func plain(receipts: [String]) throws {
    let reply = PutReply(receipts: receipts)
    let json = try #require(reply.plainJSON)
    #expect(try JSONCoding.decode(PutReply.self, from: json) == reply)
    #expect(json == (try JSONCoding.encode(reply)))
    #expect(PutReply(plainJSON: json) == reply)
  }

  @Test("receipts that need escaping are left to the encoder", arguments: ["a\"b", "a\\b", "a\nb", "ü", "a,b"])
  func escaped(receipt: String) { #expect(PutReply(receipts: ["r1", receipt]).plainJSON == nil) }

  @Test(
    "any other spelling is left to the decoder",
    arguments: [
      "", "{}", #"{"receipts":["#, #"{"receipts":]}"#, #"{"receipts":["a"]"#, #"{"receipts":["a" ]}"#, #"{"receipts":["a",]}"#,
      #"{"receipts":["]}"#, #"{"receipts":["a\u0062"]}"#, #"{"receipts":["a","b]}"#, #"{"receipts":["a"b"]}"#, #"{"receipts":[a]}"#,
      #" {"receipts":["a"]}"#, #"{"receipts":["a"]}x"#,
    ])
  func others(json: String) { #expect(PutReply(plainJSON: Array(json.utf8)) == nil) }
}
