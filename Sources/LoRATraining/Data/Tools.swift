// Tools and the calls of them, as templates take them.

import LoRAJSON

enum Tools {
  private static let toolExample =
    #"{"type": "function", "function": {"name": "…", "description": "…", "parameters": {…}}}"#
  private static let callExample =
    #"{"type": "function", "function": {"name": "…", "arguments": {…}}}"#

  /// The tools of a row: a list of JSON schemas, or that list as text, as most data sets have it.
  ///
  /// - Parameter hasNullValue: set where a null was taken as absent.
  static func list(_ value: JSONValue?, _ hasNullValue: inout Bool) throws -> [JSONValue]? {
    guard let value, !value.isBlankValue else { return nil }
    let tools = try decoded(value, "tools", hint: "it is a list like [\(toolExample)]")
    for (index, tool) in tools.enumerated() where tool.objectValue == nil {
      throw DataError(
        message: "tools[\(index)] is \(tool.kind), not an object",
        hint: "a tool looks like \(toolExample)")
    }
    guard !tools.isEmpty else { return nil }
    // What was written as text is what its author wrote; Arrow fills only what it has columns for.
    return value.stringValue == nil ? tools.map { absent($0, &hasNullValue) } : tools
  }

  /// The calls of a message in OpenAI's form; arguments that are text are known to hold an object.
  static func calls(
    _ value: JSONValue, _ place: String, _ hasNullValue: inout Bool
  ) throws -> [JSONValue] {
    let hint = "it is a list like [\(callExample)]"
    return try decoded(value, "\(place).tool_calls", hint: hint).enumerated().map {
      try call($1, "\(place).tool_calls[\($0)]", &hasNullValue)
    }
  }

  private static func call(
    _ value: JSONValue, _ place: String, _ hasNullValue: inout Bool
  ) throws -> JSONValue {
    let hint = "a call looks like \(callExample)"
    guard var call = value.objectValue?.withoutNulls else {
      throw DataError(message: "\(place) is \(value.kind), not an object", hint: hint)
    }
    if call["function"] == nil, call["name"] != nil {
      // {"name", "arguments"}: what models write, as the API that templates are written for has it.
      let (name, arguments) = (call["name"] ?? "", call["arguments"] ?? [:])
      call["function"] = .object(["name": name, "arguments": arguments])
      call["name"] = nil
      call["arguments"] = nil
      if call["type"] == nil { call["type"] = "function" }
    }
    guard var function = call["function"]?.objectValue?.withoutNulls else {
      throw DataError(message: "\(place) has no function", hint: hint)
    }
    guard function["name"]?.stringValue?.isEmpty == false else {
      throw DataError(message: "\(place).function has no name", hint: hint)
    }
    let arguments = function["arguments"] ?? [:]
    switch arguments {
    case .string(""): function["arguments"] = [:]
    case .string(let text):
      guard let value = try? JSONValue(parsing: text), value.objectValue != nil else {
        throw DataError(
          message: "\(place).function.arguments is not a JSON object: \"\(text.shortened)\"",
          hint: "write the arguments as an object, or as the text of one")
      }
    case .object: function["arguments"] = absent(arguments, &hasNullValue)
    default:
      throw DataError(
        message: "\(place).function.arguments is \(arguments.kind), not an object", hint: hint)
    }
    call["function"] = .object(function)
    return .object(call)
  }

  /// Whether the row keeps its own word that an answer has one call.
  static func checkParallelCalls(_ value: JSONValue?, _ conversation: Conversation) throws {
    guard let value else { return }
    guard let mayBeParallel = value.boolValue else {
      throw DataError(
        message: "parallel_tool_calls is \(value.kind), not true or false",
        hint: "write true or false, or remove it")
    }
    guard !mayBeParallel else { return }
    for (index, message) in conversation.messages.enumerated()
    where (message.objectValue?["tool_calls"]?.arrayValue?.count ?? 0) > 1 {
      throw DataError(
        message: "\(conversation.place(index)) has several tool_calls, but parallel_tool_calls is "
          + "false",
        hint: "give each call a message of its own, or remove parallel_tool_calls")
    }
  }

  private static func absent(_ value: JSONValue, _ hasNullValue: inout Bool) -> JSONValue {
    guard value.hasNullMember else { return value }
    hasNullValue = true
    return value.withoutNullMembers
  }

  private static func decoded(
    _ value: JSONValue, _ place: String, hint: String
  ) throws -> [JSONValue] {
    if let list = value.arrayValue { return list }
    guard let text = value.stringValue else {
      throw DataError(message: "\(place) is \(value.kind), not a list", hint: hint)
    }
    guard let list = (try? JSONValue(parsing: text))?.arrayValue else {
      throw DataError(
        message: "\(place) is a text that is not a JSON list: \"\(text.shortened)\"", hint: hint)
    }
    return list
  }
}
