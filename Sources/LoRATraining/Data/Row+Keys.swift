// Keys of rows and messages that are not part of a form: which of them cannot matter, which mean
// something elsewhere, and what to do about these.

import LoRAJSON

extension DataFormat {
  /// Keys that rows of the form may have beside those it is known by.
  func optionalKeys(isConversation: Bool) -> [String] {
    guard isConversation else { return [] }
    return (self == .instruction ? ["input"] : []) + ["system", "tools", "parallel_tool_calls"]
  }
}

extension Row {
  /// Keys about a row, not of it: they hold nothing that an answer could depend on.
  private static let harmlessKeys: Set<String> = [
    "id", "idx", "index", "uid", "uuid", "guid", "source", "sources", "dataset", "dataset_name",
    "data_source", "origin", "subset", "split", "category", "categories", "topic", "subtopic",
    "domain", "task_type", "type", "difficulty", "level", "quality", "score",
    "scores", "rating", "language", "lang", "locale", "license", "url", "link", "author",
    "annotator", "annotators", "model", "model_name", "generator", "date", "time", "timestamp",
    "created", "created_at", "updated", "updated_at", "version", "hash", "sha256", "md5", "length",
    "num_tokens", "token_count", "num_turns", "tags", "metadata", "meta",
  ]

  static func isHarmless(_ key: String) -> Bool {
    harmlessKeys.contains(key) || key.hasSuffix("_id") || key.hasPrefix("__")
  }

  /// What a person may have called the text that a question is about.
  private static let passageKeys: Set<String> = [
    "context", "contexts", "passage", "passages", "paragraph", "document", "documents", "article",
    "background", "evidence", "knowledge", "facts", "body", "content", "abstract", "source_text",
  ]
  static func isPassage(_ key: String) -> Bool { passageKeys.contains(key.lowercased()) }

  /// What a person may have called a question or an answer.
  private static let turnKeys: Set<String> = [
    "input", "instructions", "question", "questions", "query", "user", "human", "answer", "answers",
    "response",
    "responses", "reply", "output", "target", "targets", "label", "completion", "assistant",
    "chosen", "rejected", "preferred_output", "non_preferred_output",
  ]
  private static let lossKeys: Set<String> = [
    "weight", "weights", "loss_weight", "sample_weight", "train", "training", "train_detail",
    "mask",
    "loss", "loss_mask",
  ]
  private static let reasoningKeys: Set<String> = [
    "reasoning_content", "reasoning", "thinking", "thought", "thoughts", "rationale", "cot",
    "chain_of_thought",
  ]
  private static let mediaKeys: Set<String> = [
    "image", "images", "audio", "audios", "video", "videos",
  ]
  private static let tokenKeys: Set<String> = [
    "input_ids", "token_ids", "labels", "attention_mask", "token_type_ids",
  ]

  /// What to do about a row's key that could be meant; nil where nothing is known about it.
  static func remedy(for key: String, in format: DataFormat, isConversation: Bool) -> String? {
    let name = key.lowercased()
    let known = format.keys + format.optionalKeys(isConversation: isConversation)
    if let near = name.nearest(in: known) { return "did you mean \"\(near)\"?" }
    if isPassage(name) {
      return format == .instruction ? "rename it to input" : "write its text into \(format.keys[0])"
    }
    switch name {
    case "system_prompt", "system_message", "system":
      return isConversation
        ? "rename it to system"
        : "a system message needs a conversation: write the row as messages"
    case "history": return "write the row, with its earlier turns, as messages"
    case "functions": return "rename it to tools, each tool as the field function of an object"
    case "tools", "parallel_tool_calls":
      return "tools need a conversation: write the row as messages"
    case "chat_template", "chat_template_kwargs", "template":
      return "a row cannot change the chat template"
    case _ where turnKeys.contains(name):
      return "write its text into \(format.keys.joined(separator: " or "))"
    case _ where lossKeys.contains(name):
      return "\"weight\": 0 in an assistant's message leaves that out of the loss"
    case _ where reasoningKeys.contains(name):
      return "write the row as messages, with reasoning_content in the assistant's"
    case _ where mediaKeys.contains(name): return "only texts are trained on"
    case _ where tokenKeys.contains(name): return "rows are texts, not tokens"
    default: return nil
    }
  }

  /// What to do about a message's key that could be meant; nil where it is used, cannot matter, or is
  /// the template's to know.
  static func remedy(forMessageKey key: String, role: String) -> String? {
    switch key {
    case "name": return nil
    case "tool_calls": return role == "assistant" ? nil : "only the assistant calls tools"
    case "tool_call_id":
      return role == "tool" ? nil : "only messages of the role tool answer a call"
    case "refusal": return "no template knows it: write what the assistant says as content"
    case "function_call":
      return "write it as tool_calls: [{\"type\": \"function\", \"function\": …}]"
    case "audio": return "only texts are trained on"
    case _ where Messages.reasoningKeys.contains(key): return nil
    case _ where lossKeys.contains(key.lowercased()):
      return "\"weight\": 0 leaves an assistant's message out of the loss"
    case _ where isHarmless(key): return nil
    default:
      let known = ["role", "content", "weight", "name", "tool_calls", "tool_call_id"]
      return key.lowercased().nearest(in: known + Messages.reasoningKeys)
        .map { "did you mean \"\($0)\"?" }
    }
  }

  /// What the keys that are not the form's give reason to say.
  static func keyOddities(_ object: JSONObject, _ format: DataFormat, _ row: Row) -> [Oddity] {
    var isConversation = false
    if case .conversation = row { isConversation = true }
    let known = format.keys + format.optionalKeys(isConversation: isConversation)
    guard object.count > format.keys.count || object.contains(where: { !known.contains($0.key) })
    else { return [] }
    return object.compactMap { key, value in
      if known.contains(key) || value.isBlankValue { return nil }
      if isHarmless(key) { return .unusedKey(key) }
      if let remedy = remedy(for: key, in: format, isConversation: isConversation) {
        return .refusedKey(key, remedy)
      }
      return .unknownKey(key)
    }
  }

  /// - Parameter isArray: whether the file is one array of rows.
  static func keyHint(_ keys: [String], isArray: Bool = false) -> String {
    let paths = keys.prefix(8).map { ".\"\($0)\"" }.joined(separator: ", ")
    return "what could be meant is never left out silently: rename the key, or take it out "
      + "(jq -c '\(isArray ? ".[] | " : "")del(\(paths))' FILE > rows.jsonl)"
  }
}
