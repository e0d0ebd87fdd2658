// A config.json that every reader takes alike, and what is said of one that mlx-lm takes otherwise.

import LoRAFormats
import LoRAJSON
import LoRAModels
import LoRATensor
import LoRATestSupport
import Testing

struct ConfigurationWritingTests {
  private static let llama3: JSONObject = [
    "rope_type": "llama3", "factor": 8, "low_freq_factor": 1.0, "high_freq_factor": 4,
    "original_max_position_embeddings": 8192,
  ]

  private static func object(_ members: JSONObject, _ more: JSONObject) -> JSONValue {
    var result = members
    for (key, value) in more { result[key] = value }
    return .object(result)
  }

  /// What a base says, and what is written: rope_parameters, rope_theta, rope_scaling.
  private static let rotations: [(base: JSONObject, written: [JSONValue])] = [
    ([:], [["rope_type": "default", "rope_theta": 10000.0], 10000.0, .null]),
    (
      ["rope_parameters": ["rope_theta": 12345.0, "rope_type": "default"]],
      [["rope_type": "default", "rope_theta": 12345.0], 12345.0, .null]
    ),
    (
      ["rope_theta": 12345.0, "rope_scaling": .null],
      [["rope_type": "default", "rope_theta": 12345.0], 12345.0, .null]
    ),
    (
      ["rope_theta": 500000, "rope_scaling": ["type": "linear", "factor": 4]],
      [
        ["rope_type": "linear", "factor": 4, "rope_theta": 500000.0], 500000.0,
        ["type": "linear", "rope_type": "linear", "factor": 4],
      ]
    ),
    (
      ["rope_parameters": ["rope_theta": 500.0, "rope_type": "linear", "factor": 4.5]],
      [
        ["rope_type": "linear", "factor": 4.5, "rope_theta": 500.0], 500.0,
        ["rope_type": "linear", "factor": 4.5],
      ]
    ),
    (
      ["rope_parameters": object(llama3, ["rope_theta": 500000.0])],
      [object(llama3, ["rope_theta": 500000.0]), 500000.0, .object(llama3)]
    ),
    (
      ["rope_theta": 500000.0, "rope_scaling": .object(llama3)],
      [object(llama3, ["rope_theta": 500000.0]), 500000.0, .object(llama3)]
    ),
    (
      [
        "rope_theta": 500000.0, "rope_scaling": .object(llama3),
        "rope_parameters": object(llama3, ["rope_theta": 500000]),
      ], [object(llama3, ["rope_theta": 500000.0]), 500000.0, .object(llama3)]
    ),
  ]

  @Test func bothSpellingsOfTheRotation() throws {
    for (base, written) in Self.rotations {
      let made = try ModelConfiguration.completed(
        base, of: "DIR", dtype: .float16, tiesEmbeddings: true)
      let keys = ["rope_parameters", "rope_theta", "rope_scaling"]
      #expect(keys.map { made[$0] } == written, "\(base)")
      #expect(made["dtype"] == "float16" && made["torch_dtype"] == "float16")
      #expect(made["tie_word_embeddings"] == true && made["rms_norm_eps"] == 1e-06)
      // What was written says the same, to mlx-lm too.
      let again = try ModelConfiguration.completed(
        made, of: "DIR", dtype: .float16, tiesEmbeddings: true)
      #expect(again == made, "\(base)")
      let folder = ModelFolder(path: "DIR", configuration: made)
      #expect(try ModelConfiguration.warningsForMLX(folder) == [])
    }
  }

  /// Keys of the base stay as they are, the type of its weights does not.
  @Test func otherKeysStay() throws {
    let made = try ModelConfiguration.completed(
      ["torch_dtype": "bfloat16", "dtype": "float16", "rms_norm_eps": 1e-5, "thing": [1]],
      of: "DIR", dtype: .float32, tiesEmbeddings: false)
    #expect(made["dtype"] == "float32" && made["torch_dtype"] == "float32")
    #expect(made["rms_norm_eps"] == 1e-05 && made["thing"] == [1])
    #expect(made["tie_word_embeddings"] == false)
  }

  @Test func whatMLXTakesOtherwise() throws {
    let rotation =
      "DIR/config.json: mlx-lm does not read rope_parameters and would compute with another "
      + "rotation: add "
    let tie =
      "DIR/config.json: without tie_word_embeddings mlx-lm takes the embedding for the head: add "
      + "\"tie_word_embeddings\": false"
    let tied: JSONObject = ["tie_word_embeddings": true]
    let cases: [(JSONValue, [String])] = [
      ([:], [tie]), (.object(tied), []),
      (Self.object(tied, ["rope_parameters": ["rope_type": "default", "rope_theta": 10000]]), []),
      (
        Self.object(tied, ["rope_parameters": ["rope_type": "default", "rope_theta": 12345.0]]),
        [rotation + "\"rope_theta\": 12345.0"]
      ),
      (
        ["rope_parameters": ["rope_type": "linear", "rope_theta": 10000.0, "factor": 4.0]],
        [
          rotation + "\"rope_theta\": 10000.0, \"rope_scaling\": {\"rope_type\": \"linear\", "
            + "\"factor\": 4.0}", tie,
        ]
      ),
      (Self.object(tied, ["rope_theta": 12345, "rope_scaling": .object(Self.llama3)]), []),
    ]
    for (configuration, expected) in cases {
      let folder = ModelFolder(path: "DIR", configuration: try #require(configuration.objectValue))
      #expect(try ModelConfiguration.warningsForMLX(folder) == expected)
    }
  }
}
