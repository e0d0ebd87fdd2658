// PEFT's rules for names and patterns, as tables; the verdicts are those of PEFT 0.21.2.

import LoRAAdapters
import LoRAJSON
import LoRANN
import LoRATensor
import LoRATestSupport
import Testing

/// One row of Fixtures/matching/cases.json, which PEFT's own functions filled in.
struct MatchingCase: CustomTestStringConvertible {
  let key: String
  let configuration: JSONObject
  let expected: JSONValue
  var testDescription: String { "\(key) by \(JSONValue.object(configuration).serialized(.python))" }

  static func all(_ table: String) -> [MatchingCase] {
    let value = try? JSONValue(parsing: Fixture.text("matching/cases.json"))
    return (value?.objectValue?[table]?.arrayValue ?? []).compactMap { row in
      guard let object = row.objectValue, let key = object["key"]?.stringValue,
        let configuration = object["config"]?.objectValue, let expected = object["expected"]
      else { return nil }
      return MatchingCase(key: key, configuration: configuration, expected: expected)
    }
  }

  func patterns() throws -> ConfigurationPatterns {
    let fields = PEFTFields(configuration)
    var result = LoRAConfiguration(rank: 8, alpha: 16, targets: .names(["x"]))
    if configuration["target_modules"] != nil {
      result.targets = try fields.targets("target_modules")
    }
    result.excluded = try fields.moduleNames("exclude_modules")
    result.layers = try fields.layers()
    result.rankPattern = try fields.ranks("rank_pattern")
    result.alphaPattern = try fields.alphas("alpha_pattern")
    result.modulesToSave = try fields.strings("modules_to_save") ?? []
    return try ConfigurationPatterns(result)
  }
}

@Suite struct MatchingTests {
  @Test func tablesAreThere() {
    #expect(MatchingCase.all("targets").count >= 90)
    #expect(MatchingCase.all("ranks").count >= 25)
  }

  @Test(arguments: MatchingCase.all("targets")) func targets(row: MatchingCase) throws {
    let patterns = try row.patterns()
    let isSelected =
      try patterns.isTargeted(row.key) && !patterns.excludes(row.key)
      && !patterns.isTrainedWhole(row.key)
    #expect(JSONValue.bool(isSelected) == row.expected)
  }

  @Test(arguments: MatchingCase.all("ranks")) func ranks(row: MatchingCase) throws {
    #expect(try JSONValue.integer(row.patterns().pair(row.key).rank) == row.expected)
  }

  @Test(arguments: MatchingCase.all("ranks")) func alphas(row: MatchingCase) throws {
    var object = row.configuration
    object["alpha_pattern"] = object["rank_pattern"]
    object["rank_pattern"] = nil
    let patterns = try MatchingCase(key: row.key, configuration: object, expected: .null).patterns()
    let expected = row.expected == 8 ? 16 : Float(row.expected.numberValue ?? 0)
    let pair = try patterns.pair(row.key)
    #expect(pair.alpha == expected && pair.rank == 8)
  }

  @Test(arguments: [
    (
      "q_proj(", "\"q_proj(\" is not a regular expression: missing closing parenthesis, at offset 7"
    ),
    ("*.q", "\"*.q\" is not a regular expression: quantifier does not follow a repeatable item"),
    ("[a-", "\"[a-\" is not a regular expression: missing terminating ] for character class"),
    ("(?P<a>q)(?P=b)", "\"(?P<a>q)(?P=b)\" is not a regular expression: reference to non-existent"),
  ])
  func patternsThatAreNone(pattern: String, expected: String) throws {
    let text = message {
      try tinyModel().addAdapter("a", LoRAConfiguration(targets: .pattern(pattern)), seed: 1)
    }
    #expect(text.hasPrefix(expected), "\(text)")
    #expect(
      text.hasSuffix("write it as Python's re.fullmatch takes it, like \".*\\.(q_proj|v_proj)\""))
  }

  @Test func aPatternThatNeverEndsIsAnError() throws {
    let start = ContinuousClock.now
    let text = message {
      try tinyModel().addAdapter(
        "a", LoRAConfiguration(targets: .pattern("(([a-z_.0-9]+)+)+[A-Z]")), seed: 1)
    }
    #expect(
      text.hasPrefix(
        "the regular expression \"(([a-z_.0-9]+)+)+[A-Z]\" does not come to an end on model."),
      "\(text)")
    #expect(ContinuousClock.now - start < .seconds(5))
  }

  @Test(arguments: [
    (
      LoRAConfiguration(targets: .pattern("q_proj")),
      """
      the pattern "q_proj" matches no module of the model
      hint: it must match a whole path, like .*\\.q_proj; \(InjectionTests.available)
      """
    ),
    (
      LoRAConfiguration(targets: .names(["q_proj", "k_prj", "gat_proj"])),
      """
      the targets "k_prj", "gat_proj" match no module of the model
      hint: did you mean "k_proj" (model.layers.0.self_attn.k_proj, \
      model.layers.1.self_attn.k_proj)? \(InjectionTests.available)
      """
    ),
    (
      configuration { $0.rankPattern = ["q_prj": 4] },
      """
      the key "q_prj" of rank_pattern matches nothing
      hint: did you mean "q_proj"? \(InjectionTests.available)
      """
    ),
    (
      configuration {
        $0.rankPattern = ["attn.q_proj": 4]
        $0.alphaPattern = ["^layers.1": 3]
      },
      """
      the key "attn.q_proj" of rank_pattern, the key "^layers.1" of alpha_pattern match nothing
      hint: \(InjectionTests.available)
      """
    ),
    (
      configuration { $0.excluded = .names(["down_prj"]) },
      """
      the key "down_prj" of exclude_modules matches nothing
      hint: did you mean "down_proj"? \(InjectionTests.available)
      """
    ),
    (
      configuration { $0.excluded = .pattern("(down") },
      """
      "(down" is not a regular expression: missing closing parenthesis, at offset 5
      hint: write it as Python's re.fullmatch takes it, like ".*\\.(q_proj|v_proj)"
      """
    ),
    (
      configuration { $0.excluded = .pattern(".*") },
      """
      every layer that the targets name is excluded or trained whole: \
      model.layers.0.self_attn.q_proj, model.layers.0.self_attn.k_proj, \
      model.layers.0.self_attn.v_proj and 11 more
      hint: take the names out of exclude_modules or modules_to_save
      """
    ),
    (
      configuration { $0.layers = LayerSelection([2, 7]) },
      """
      none of the targeted layers is in a layer with the number 2, 7
      hint: layers are numbered from 0; the last linear layer is model.layers.1.mlp.down_proj
      """
    ),
    (
      configuration {
        $0.targets = .pattern(".*q_proj")
        $0.layers = LayerSelection([1])
      },
      """
      a choice of layers by number goes with targets by name, not with a pattern
      hint: put the numbers into the pattern, like .*layers\\.[0-3]\\..*q_proj
      """
    ),
    (
      configuration { $0.rankPattern = ["q_proj": 0] },
      """
      rank_pattern["q_proj"]: rank is 0, but a low-rank path needs at least 1
      hint: 8, 16 and 32 are common ranks
      """
    ),
    (
      configuration { $0.modulesToSave = ["nrom"] },
      """
      the key "nrom" of modules_to_save matches nothing
      hint: did you mean "norm"? \(InjectionTests.available)
      """
    ),
    (
      configuration {
        $0.targets = .names(["q_proj"])
        $0.modulesToSave = ["proj"]
      },
      """
      modules_to_save names "proj", which is the end of model.layers.0.self_attn.q_proj, a layer \
      that also gets a low-rank pair
      hint: take it out of one of the two; modules_to_save takes every module whose path ends in \
      the name
      """
    ),
    (
      configuration { $0.trainedTokens = [TrainedTokens([40])] },
      """
      trainable_token_indices has the token 40, but model.embed_tokens has 40 rows
      hint: tokens are numbered from 0
      """
    ),
    (
      configuration { $0.trainedTokens = [TrainedTokens([1], of: "wte")] },
      """
      trainable_token_indices names "wte", which is no embedding of the model
      hint: the embeddings are: model.embed_tokens
      """
    ),
    (
      configuration { $0.trainedTokens = [TrainedTokens([1, 2, 1])] },
      "trainable_token_indices names a token twice\nhint: name each token once"
    ),
    (
      configuration {
        $0.trainedTokens = [TrainedTokens([1])]
        $0.modulesToSave = ["embed_tokens"]
      },
      """
      trainable_token_indices names tokens of model.embed_tokens, which is also adapted or trained \
      whole
      hint: choose one of the two
      """
    ),
  ])
  func configurationsThatDoNotFit(configuration: LoRAConfiguration, expected: String) throws {
    let model = try tinyModel()
    #expect(message { try model.addAdapter("a", configuration, seed: 1) } == expected)
    #expect(model.adapterNames == [])
    #expect(model.namedParameters.allSatisfy { $0.parameter.replacements.isEmpty })
  }

  private static func configuration(
    _ change: (inout LoRAConfiguration) -> Void
  ) -> LoRAConfiguration {
    var configuration = LoRAConfiguration(rank: 2)
    change(&configuration)
    return configuration
  }

  /// PEFT writes overlapping keys in alphabetical order and then reads another rank than it wrote.
  @Test func overlappingKeysAreWrittenDisjoint() throws {
    var configuration = LoRAConfiguration(rank: 8, alpha: 8)
    configuration.rankPattern = ["q_proj": 4, ".*proj": 3]
    let model = try tinyModel()
    try model.addAdapter("a", configuration, seed: 1)
    fill(model, "a", seed: 2)
    let expected = try logits(model)
    let folder = try TemporaryFolder()
    try model.saveAdapter("a", configuration, to: folder.path)
    let written = try PEFTConfiguration.read(folder.file("adapter_config.json"))
    #expect(
      Set(written.rankPattern.entries.map { "\($0.key) \($0.value)" }) == [
        "q_proj 4", "k_proj 3", "v_proj 3", "o_proj 3", "gate_proj 3", "up_proj 3", "down_proj 3",
      ])
    let other = try tinyModel()
    try other.loadAdapter("a", from: folder.path)
    #expect(try logits(other).map(\.bitPattern) == expected.map(\.bitPattern))
  }

  /// With alpha unset every scale is 1, whatever the rank: the file has to say so layer by layer.
  @Test func unsetAlphaWithRanks() throws {
    var configuration = LoRAConfiguration(rank: 4)
    configuration.rankPattern = ["v_proj": 2]
    let model = try tinyModel()
    try model.addAdapter("a", configuration, seed: 1)
    fill(model, "a", seed: 2)
    #expect(model.adapterPairs("a").allSatisfy { $0.pair.scale == 1 })
    let folder = try TemporaryFolder()
    try model.saveAdapter("a", configuration, to: folder.path)
    let written = try PEFTConfiguration.read(folder.file("adapter_config.json"))
    #expect(written.alpha == 4 && written.alphaPattern == ["v_proj": 2])
    let other = try tinyModel()
    try other.loadAdapter("a", from: folder.path)
    #expect(try logits(other).map(\.bitPattern) == logits(model).map(\.bitPattern))
  }
}
