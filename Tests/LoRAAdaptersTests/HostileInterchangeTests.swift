// GGUF and MLX adapters that are broken or of another model, and what a form cannot hold: each has its
// exact error, and nothing is written.

import Foundation
import LoRAAdapters
import LoRAFormats
import LoRAJSON
import LoRATensor
import LoRATestSupport
import Testing

/// A GGUF adapter to be spoilt.
struct GGUFAdapter {
  var metadata: [(String, GGUFValue)] = [
    ("general.architecture", .string("llama")), ("general.type", .string("adapter")),
    ("adapter.type", .string("lora")), ("adapter.lora.alpha", .float32(4)),
  ]
  var tensors: [(String, Tensor)] = [
    ("blk.0.attn_q.weight.lora_a", Tensor.full([2, 16], 0.5)),
    ("blk.0.attn_q.weight.lora_b", Tensor.full([16, 2], 0.25)),
  ]

  mutating func set(_ key: String, _ value: GGUFValue?) {
    metadata.removeAll { $0.0 == key }
    if let value { metadata.append((key, value)) }
  }

  mutating func set(_ name: String, _ tensor: Tensor?) {
    tensors.removeAll { $0.0 == name }
    if let tensor { tensors.append((name, tensor)) }
  }

  func write(to path: String) throws {
    var writer = GGUFWriter()
    for (key, value) in metadata { writer.set(key, value) }
    for (name, tensor) in tensors { writer.add(name, StoredTensor(tensor)) }
    try writer.write(to: path)
  }
}

@Suite struct HostileInterchangeTests {
  private let folder: TemporaryFolder
  private let a = "blk.0.attn_q.weight.lora_a"
  private let b = "blk.0.attn_q.weight.lora_b"

  init() throws { folder = try TemporaryFolder() }

  /// What a conversion says; also proves that nothing was written.
  private func refusal(
    _ path: String, _ target: AdapterTarget, layout: LlamaLayout? = tinyLayout
  ) -> String {
    let output = folder.file("out")
    let text = message(in: folder.path) { try convert(path, target, output, layout: layout) }
    #expect(!FileManager.default.fileExists(atPath: output))
    return text
  }

  private func ofGGUF(_ spoil: (inout GGUFAdapter) -> Void) throws -> String {
    var adapter = GGUFAdapter()
    spoil(&adapter)
    let path = folder.file("a.gguf")
    try adapter.write(to: path)
    return refusal(path, .peft)
  }

  @Test func ggufFiles() throws {
    let onlyLlama =
      "hint: only adapters of the llama family (Llama, SmolLM, TinyLlama, Mistral) are read"
    let cases: [(String, (inout GGUFAdapter) -> Void)] = [
      (
        "general.type is \"model\", expected \"adapter\"\n"
          + "hint: this GGUF file is a model or something else, not an adapter",
        { $0.set("general.type", .string("model")) }
      ),
      (
        "metadata key general.type is missing\n"
          + "hint: this GGUF file is a model or something else, not an adapter",
        { $0.set("general.type", nil as GGUFValue?) }
      ),
      (
        "adapter.type is \"cvec\", expected \"lora\"\nhint: only LoRA adapters are read",
        { $0.set("adapter.type", .string("cvec")) }
      ),
      (
        "general.architecture is \"qwen2\", expected \"llama\"\n" + onlyLlama,
        { $0.set("general.architecture", .string("qwen2")) }
      ),
      (
        "adapter.lora.alpha is nan\nhint: convert the adapter again",
        { $0.set("adapter.lora.alpha", .float32(.nan)) }
      ),
      (
        "adapter.alora.invocation_tokens: activated LoRA (aLoRA) is not supported\n"
          + "hint: use it with llama.cpp",
        { $0.set("adapter.alora.invocation_tokens", .array(.uint32, [.uint32(3)])) }
      ),
      (
        "the tensor \(b) is alone: the factor A of model.layers.0.self_attn.q_proj is missing\n"
          + "hint: the file is not complete: fetch or save it again", { $0.set(a, nil as Tensor?) }
      ),
      (
        "the tensor \(a) is alone: the factor B of model.layers.0.self_attn.q_proj is missing\n"
          + "hint: the file is not complete: fetch or save it again", { $0.set(b, nil as Tensor?) }
      ),
      (
        "the pair of model.layers.0.self_attn.q_proj maps 2 to 2 features, the base's layer 16 to 16\n"
          + "hint: the factors are transposed: the other form's orientation, or a broken converter",
        {
          $0.set(a, Tensor.full([16, 2], 1))
          $0.set(b, Tensor.full([2, 16], 1))
        }
      ),
      (
        "the factors of model.layers.0.mlp.gate_proj do not make a pair: A is [16, 2] and B [2, 24]\n"
          + "hint: they are transposed: the other form's orientation, or a broken converter",
        {
          $0.set("blk.0.ffn_gate.weight.lora_a", Tensor.full([16, 2], 1))
          $0.set("blk.0.ffn_gate.weight.lora_b", Tensor.full([2, 24], 1))
        }
      ),
      (
        "the factors of model.layers.0.self_attn.q_proj do not make a pair: A is [3, 16] and B "
          + "[16, 2]\nhint: A is (r, in) and B (out, r)", { $0.set(a, Tensor.full([3, 16], 1)) }
      ),
      (
        "the factors of model.layers.0.self_attn.q_proj do not make a pair: A is [32] and B "
          + "[16, 2]\nhint: A is (r, in) and B (out, r)", { $0.set(a, Tensor.full([32], 1)) }
      ),
      (
        "the pair of model.layers.0.self_attn.q_proj maps 16 to 18 features, the base's layer 16 to "
          + "16\nhint: was the adapter made for another model?",
        { $0.set(b, Tensor.full([18, 2], 1)) }
      ),
      (
        "the tensor \(b) has the value inf at 7\n"
          + "hint: the adapter is broken, its training probably diverged: use another checkpoint",
        {
          var values = [Float](repeating: 1, count: 32)
          values[7] = .infinity
          $0.set(b, Tensor(values, shape: [16, 2]))
        }
      ),
      (
        "the tensor \(b) holds whole numbers\nhint: convert the adapter again",
        { $0.set(b, Tensor.zeros([16, 2], dtype: .int32)) }
      ),
      (
        "the tensor blk.0.attn_norm.weight is no factor of a low-rank pair\n"
          + "hint: it is a trained norm, which llama.cpp reads past; nothing here can hold it",
        { $0.set("blk.0.attn_norm.weight", Tensor.full([16], 1)) }
      ),
      (
        "the tensor blk.0.attn_q.lora_a is no factor of a low-rank pair\n"
          + "hint: names end in .weight.lora_a and .weight.lora_b",
        { $0.set("blk.0.attn_q.lora_a", Tensor.full([2, 16], 1)) }
      ),
      (
        "the tensor blk.0.ffn_gate_exps.weight.lora_a adapts blk.0.ffn_gate_exps, which a Llama does "
          + "not have\nhint: only adapters of the llama family are read",
        { $0.set("blk.0.ffn_gate_exps.weight.lora_a", Tensor.full([2, 16], 1)) }
      ),
      (
        "the base has no layer model.layers.7.self_attn.v_proj\nhint: the nearest is "
          + "model.layers.0.self_attn.v_proj; the base has 2 layers: was the adapter made for another "
          + "model?",
        {
          $0.set("blk.7.attn_v.weight.lora_a", Tensor.full([2, 16], 1))
          $0.set("blk.7.attn_v.weight.lora_b", Tensor.full([8, 2], 1))
        }
      ),
      (
        "the file holds no low-rank pair\nhint: is it the file of a LoRA adapter?",
        { $0.tensors = [] }
      ),
    ]
    for (expected, spoil) in cases {
      let text = try ofGGUF(spoil)
      #expect(text == "DIR/a.gguf: " + expected)
    }
  }

  /// Cut at every length, a file is refused or (behind the last number) the same.
  @Test func ggufFilesCutShort() throws {
    let path = folder.file("whole.gguf")
    try GGUFAdapter().write(to: path)
    let bytes = Array(try Data(contentsOf: URL(fileURLWithPath: path)))
    for count in stride(from: 0, to: bytes.count - 32, by: 7) {
      try folder.write(Array(bytes.prefix(count)), to: "cut.gguf")
      #expect(refusal(folder.file("cut.gguf"), .peft).contains("\nhint: "))
    }
  }

  private func ofMLX(
    settings: JSONValue = [
      "fine_tune_type": "lora", "num_layers": 2,
      "lora_parameters": ["rank": 2, "scale": 2.0, "dropout": 0.0],
    ], _ spoil: (inout [String: Tensor]) -> Void = { _ in }
  ) throws -> String {
    let path = "model.layers.0.self_attn.q_proj"
    var tensors = [
      path + ".lora_a": Tensor.full([16, 2], 0.5), path + ".lora_b": Tensor.full([2, 16], 0.25),
    ]
    spoil(&tensors)
    let adapter = folder.file("mlx")
    try FileManager.default.createDirectory(atPath: adapter, withIntermediateDirectories: true)
    var writer = SafeTensorsWriter()
    for (name, tensor) in tensors { writer.add(name, StoredTensor(tensor)) }
    try writer.write(to: adapter + "/adapters.safetensors")
    try folder.write(Array(settings.serialized().utf8), to: "mlx/adapter_config.json")
    return refusal(adapter, .peft)
  }

  @Test func mlxTensors() throws {
    let path = "model.layers.0.self_attn.q_proj"
    let cases: [(String, (inout [String: Tensor]) -> Void)] = [
      (
        "the tensor \(path).lora_b is alone: the factor A of \(path) is missing\n"
          + "hint: the file is not complete: fetch or save it again", { $0[path + ".lora_a"] = nil }
      ),
      (
        "the tensor \(path).lora_a has the shape [2, 16], the configuration's rank is 2\n"
          + "hint: the factor is transposed: mlx's a is (in, r) and its b (r, out)",
        { $0[path + ".lora_a"] = Tensor.full([2, 16], 1) }
      ),
      (
        "the tensor \(path).lora_b has the shape [3, 16], the configuration's rank is 2\n"
          + "hint: rank in lora_parameters must be that of the tensors",
        { $0[path + ".lora_b"] = Tensor.full([3, 16], 1) }
      ),
      (
        "the tensor model.norm.weight is no factor of a low-rank pair\nhint: names end in .lora_a "
          + "and .lora_b; other weights were trained as a whole",
        { $0["model.norm.weight"] = Tensor.full([16], 1) }
      ),
      (
        "fine_tune_type is \"lora\", but the pair of \(path) has a DoRA magnitude\n"
          + "hint: the files of two adapters are mixed", { $0[path + ".m"] = Tensor.full([16], 1) }
      ),
      (
        "DoRA's magnitude of \(path) has 3 numbers, expected 16\n"
          + "hint: it is one number for every output", { $0[path + ".m"] = Tensor.full([3], 1) }
      ),
      (
        "the tensor \(path).lora_a is stored as I32, expected F32, BF16 or F16\n"
          + "hint: convert the adapter to F32",
        { $0[path + ".lora_a"] = Tensor.zeros([16, 2], dtype: .int32) }
      ),
      (
        "the pair of \(path) maps 12 to 16 features, the base's layer 16 to 16\n"
          + "hint: was the adapter made for another model?",
        { $0[path + ".lora_a"] = Tensor.full([12, 2], 1) }
      ),
    ]
    for (expected, spoil) in cases {
      #expect(try ofMLX(spoil) == "DIR/mlx/adapters.safetensors: " + expected)
    }
  }

  @Test func mlxConfigurations() throws {
    let cases: [(JSONValue, String)] = [
      ([], "this is an array, not an object\nhint: mlx-lm writes one JSON object"),
      (
        ["fine_tune_type": "full"],
        "fine_tune_type is \"full\", expected \"lora\" or \"dora\"\n"
          + "hint: weights that were trained as a whole are no adapter"
      ),
      (
        [:],
        "the key lora_parameters is missing or no object\n"
          + "hint: mlx-lm writes rank, scale and dropout there"
      ),
      (
        ["peft_type": "LORA"],
        "the key lora_parameters is missing or no object\nhint: this is PEFT's configuration beside "
          + "MLX's tensors: keep them in folders of their own"
      ),
      (
        ["lora_parameters": ["scale": 1]],
        "lora_parameters has no rank of at least 1\nhint: mlx-lm writes it"
      ),
      (
        ["lora_parameters": ["rank": 2, "alpha": 4]],
        "lora_parameters has no scale\nhint: it has alpha, which mlx-lm does not read: write scale"
      ),
      (
        ["lora_parameters": ["rank": 2, "scale": 4, "dropout": 1]],
        "dropout is 1.0, which is not in [0, 1)\nhint: correct it"
      ),
    ]
    for (settings, expected) in cases {
      #expect(try ofMLX(settings: settings) == "DIR/mlx/adapter_config.json: " + expected)
    }
  }

  @Test func whatAFormCannotHold() throws {
    let o = "base_model.model.model.layers.0.self_attn.o_proj"
    let merge = "\nhint: merge the adapter into its model with lora merge instead"
    func refusal(
      _ key: String, _ value: JSONValue, _ tensor: (String, Tensor), _ target: AdapterTarget
    ) throws -> String {
      var adapter = try AdapterFolder()
      adapter.configuration[key] = value
      adapter.set(tensor.0, tensor.1)
      // What a layer has, all have.
      if key == "use_dora" || key == "lora_bias" {
        adapter.set(tensor.0.replacing("layers.0", with: "layers.1"), tensor.1)
      }
      let path = try adapter.write()
      return self.refusal(path, target).replacingOccurrences(of: path, with: "IN")
    }
    let vector = Tensor.full([16], 1)
    let file = "IN/adapter_model.safetensors: "
    let reasons: [AdapterTarget: String] = [
      .gguf: "GGUF cannot hold: llama.cpp reads A and B of pairs alone",
      .mlx: "MLX cannot hold: mlx-lm refuses all but lora_a, lora_b and m",
      .portable: "a portable adapter cannot hold: vLLM and other readers refuse or skip them",
    ]
    for target in [AdapterTarget.gguf, .portable] {
      #expect(
        try refusal("use_dora", true, (o + ".lora_magnitude_vector", vector), target)
          == file
          + "the adapter is DoRA's (model.layers.0.self_attn.o_proj has a magnitude), which "
          + "\(reasons[target] ?? "")" + merge)
    }
    let others: [(String, JSONValue, (String, Tensor), String)] = [
      ("lora_bias", true, (o + ".lora_B.bias", vector), "a bias of B (lora_bias)"),
      (
        "modules_to_save", ["lm_head"],
        ("base_model.model.lm_head.weight", Tensor.full([40, 16], 1)),
        "a fully trained module (modules_to_save)"
      ),
      ("bias", "lora_only", (o + ".base_layer.bias", vector), "a trained bias"),
      (
        "trainable_token_indices", [3],
        (
          "base_model.model.model.embed_tokens.token_adapter.trainable_tokens_delta",
          Tensor.full([1, 16], 1)
        ), "trained tokens"
      ),
    ]
    for (key, value, tensor, role) in others {
      for target in [AdapterTarget.gguf, .mlx, .portable] {
        #expect(
          try refusal(key, value, tensor, target)
            == file + "the tensor \(tensor.0) is \(role),"
            + (key == "lora_bias" ? " and there are 1 more," : "")
            + " which \(reasons[target] ?? "")" + merge)
      }
    }
  }

  @Test func whatNeedsTheBase() throws {
    let path = Fixture.path("adapters/o-proj")
    let unknown =
      "the base model is not known: GGUF has the rows of q and k in another order, which depends on "
      + "its heads\nhint: give --model: the base's GGUF file, or its folder (config.json is enough)"
    #expect(refusal(path, .gguf, layout: nil) == "\(path): " + unknown)
    #expect(
      refusal(path, .peft)
        == "\(path): the adapter is in the form \"peft\" already\n"
        + "hint: to fold its scale into the factors, use --to portable; with --dtype it gets "
        + "another element type")
    #expect(
      refusal(folder.file("none"), .gguf)
        == "DIR/none: there is no such file or folder\nhint: check the path of the adapter")
  }

  @Test func whatIsInTheWay() throws {
    let path = Fixture.path("adapters/o-proj")
    try folder.write([1], to: "file")
    try FileManager.default.createDirectory(
      atPath: folder.file("full"), withIntermediateDirectories: false)
    try folder.write([1], to: "full/precious")
    func refusal(_ target: AdapterTarget, _ name: String, overwrite: Bool = false) -> String {
      message(in: folder.path) {
        try convert(path, target, folder.file(name), overwrite: overwrite)
      }
    }
    #expect(
      refusal(.gguf, "file")
        == "DIR/file: the file is there already\nhint: name a new file, or give --overwrite")
    #expect(
      refusal(.gguf, "full", overwrite: true)
        == "DIR/full: this is a folder; a GGUF adapter is one file\n"
        + "hint: name a file, like DIR/full/adapter.gguf")
    #expect(
      refusal(.mlx, "file")
        == "DIR/file: cannot make the folder: a file or a link has its name\n"
        + "hint: choose another name")
    #expect(
      refusal(.mlx, "full")
        == "DIR/full: the folder is not empty: it holds precious\n"
        + "hint: name a new folder, or give --overwrite to replace what is in it")
    #expect(
      refusal(.mlx, "full", overwrite: true)
        == "DIR/full: the folder holds precious, which is no part of an adapter\n"
        + "hint: --overwrite replaces such a folder only: name another, or remove the file yourself"
    )
    // One form takes the place of another as a whole.
    #expect(refusal(.mlx, "adapter") == "nothing was thrown")
    #expect(refusal(.portable, "adapter", overwrite: true) == "nothing was thrown")
    let names = try FileManager.default.contentsOfDirectory(atPath: folder.file("adapter"))
    #expect(names.sorted() == ["adapter_config.json", "adapter_model.safetensors"])
    #expect(refusal(.gguf, "file", overwrite: true) == "nothing was thrown")
    #expect(folder.contents == ["adapter", "file", "full"])
  }
}
