// The ordered object: order, look-up, replacement, removal, equality, small and large.

import LoRAJSON
import Testing

@Suite struct JSONObjectTests {
  @Test(arguments: [0, 1, 5, 12, 13, 14, 100])
  func behavesLikeAnOrderedDictionary(count: Int) {
    var object = JSONObject()
    for n in 0..<count { object["key\(n)"] = .integer(n) }
    #expect(object.count == count)
    #expect(object.keys == (0..<count).map { "key\($0)" })
    for n in 0..<count { #expect(object["key\(n)"] == .integer(n)) }
    #expect(object["other"] == nil)
    if count > 1 {
      object["key0"] = "new"
      #expect(object.keys.first == "key0")
      #expect(object[0].value == "new")
      object["key1"] = nil
      #expect(object.count == count - 1)
      #expect(object["key1"] == nil)
      for n in 2..<max(2, count) { #expect(object["key\(n)"] == .integer(n)) }
    }
  }

  @Test(arguments: [3, 30])
  func equalityIgnoresOrder(count: Int) {
    let members = (0..<count).map { ("k\($0)", JSONValue.integer($0)) }
    let a = JSONObject(members)
    let b = JSONObject(members.reversed())
    #expect(a == b)
    #expect(a.hashValue == b.hashValue)
    #expect(a.keys != b.keys)
    var c = a
    c["k0"] = "x"
    #expect(a != c)
  }

  @Test func accessorsAnswerOnlyTheirKind() {
    let values: [JSONValue] = [nil, true, 1, 1.5, "s", [1], ["a": 1]]
    #expect(values.map { $0.boolValue != nil } == [false, true, false, false, false, false, false])
    #expect(values.map(\.integerValue) == [nil, nil, 1, nil, nil, nil, nil])
    #expect(values.map(\.numberValue) == [nil, nil, 1, 1.5, nil, nil, nil])
    #expect(values.map(\.stringValue) == [nil, nil, nil, nil, "s", nil, nil])
    #expect(values.map { $0.arrayValue?.count } == [nil, nil, nil, nil, nil, 1, nil])
    #expect(values.map { $0.objectValue?.keys } == [nil, nil, nil, nil, nil, nil, ["a"]])
  }
}
