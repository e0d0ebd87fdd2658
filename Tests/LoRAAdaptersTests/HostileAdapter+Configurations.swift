// Spoilt adapters: what may be wrong with the configuration.

import LoRAJSON
import LoRATensor

extension HostileAdapter {
  static let configurations: [HostileAdapter] = [
    HostileAdapter(
      testDescription: "a regular expression that never ends",
      spoil: { a in a.configuration["target_modules"] = "(([a-z_.0-9]+)+)+[A-Z]" },
      expected: """
        DIR/adapter_config.json: the regular expression "(([a-z_.0-9]+)+)+[A-Z]" does not come \
        to an end on model.embed_tokens: match limit exceeded
        hint: avoid repetitions within repetitions, like (a+)+
        """),
    HostileAdapter(
      testDescription: "a regular expression that is none",
      spoil: { a in a.configuration["target_modules"] = "(o_proj" },
      expected: """
        DIR/adapter_config.json: "(o_proj" is not a regular expression: missing closing \
        parenthesis, at offset 7
        hint: write it as Python's re.fullmatch takes it, like ".*\\.(q_proj|v_proj)"
        """),
    HostileAdapter(
      testDescription: "targets that match nothing",
      spoil: { a in a.configuration["target_modules"] = ["c_attn"] },
      expected: """
        DIR/adapter_config.json: the target "c_attn" matches no module of the model
        hint: the linear layers are: q_proj, k_proj, v_proj, o_proj, gate_proj, up_proj, \
        down_proj
        """),
    HostileAdapter(
      testDescription: "targets that are a number",
      spoil: { a in a.configuration["target_modules"] = 7 },
      expected: """
        DIR/adapter_config.json: target_modules is 7, expected a list of strings
        hint: list the last parts of paths, like ["q_proj", "v_proj"]
        """),
    HostileAdapter(
      testDescription: "targets with a number",
      spoil: { a in a.configuration["target_modules"] = ["o_proj", 7] },
      expected: """
        DIR/adapter_config.json: target_modules has the element 7, expected strings
        hint: list the last parts of paths, like ["q_proj", "v_proj"]
        """),
    HostileAdapter(
      testDescription: "no targets",
      spoil: { a in a.configuration["target_modules"] = [] },
      expected: """
        DIR/adapter_config.json: the list of target modules is empty
        hint: name the layers to adapt, like q_proj and v_proj, or take all-linear
        """),
    HostileAdapter(
      testDescription: "targets of a container",
      spoil: { a in a.configuration["target_modules"] = ["self_attn"] },
      expected: """
        DIR/adapter_config.json: the target "self_attn" selects model.layers.0.self_attn, \
        which is no linear layer or embedding that can be replaced
        hint: the linear layers are: q_proj, k_proj, v_proj, o_proj, gate_proj, up_proj, \
        down_proj
        """),
    HostileAdapter(
      testDescription: "an unknown key",
      spoil: { a in a.configuration["lora_alhpa"] = 3 },
      expected: """
        DIR/adapter_config.json: the key "lora_alhpa" is unknown
        hint: did you mean "lora_alpha"?
        """),
    HostileAdapter(
      testDescription: "a key of another method",
      spoil: { a in a.configuration["num_virtual_tokens"] = 3 },
      expected: """
        DIR/adapter_config.json: the key "num_virtual_tokens" is unknown
        hint: PEFT 0.21.2 has no such key: remove it if the adapter does not depend on it
        """),
    HostileAdapter(
      testDescription: "a variant that is not computed",
      spoil: { a in a.configuration["use_qalora"] = true },
      expected: """
        DIR/adapter_config.json: use_qalora is true: QALoRA is not supported by this version
        hint: train the adapter with use_qalora = false, or merge it into its model with \
        PEFT's merge_and_unload() and use that
        """),
    HostileAdapter(
      testDescription: "layers replicated",
      spoil: { a in a.configuration["layer_replication"] = [[0, 1]] },
      expected: """
        DIR/adapter_config.json: layer_replication is [[0, 1]]: replication of layers is not \
        supported by this version
        hint: train the adapter with layer_replication = null, or merge it into its model with \
        PEFT's merge_and_unload() and use that
        """),
    HostileAdapter(
      testDescription: "an activated adapter",
      spoil: { a in a.configuration["alora_invocation_tokens"] = [1] },
      expected: """
        DIR/adapter_config.json: alora_invocation_tokens is [1]: activated LoRA (aLoRA) is not \
        supported by this version
        hint: train the adapter with alora_invocation_tokens = null, or merge it into its \
        model with PEFT's merge_and_unload() and use that
        """),
    HostileAdapter(
      testDescription: "another method",
      spoil: { a in a.configuration["peft_type"] = "IA3" },
      expected: """
        DIR/adapter_config.json: peft_type is "IA3", expected "LORA"
        hint: other methods of PEFT are not supported; PEFT's convert_to_lora may convert it
        """),
    HostileAdapter(
      testDescription: "the method in lower case",
      spoil: { a in a.configuration["peft_type"] = "lora" },
      expected: """
        DIR/adapter_config.json: peft_type is "lora", expected "LORA"
        hint: other methods of PEFT are not supported; PEFT's convert_to_lora may convert it
        """),
    HostileAdapter(
      testDescription: "no method",
      spoil: { a in a.configuration["peft_type"] = nil },
      expected: """
        DIR/adapter_config.json: the key peft_type is missing
        hint: an adapter_config.json of a LoRA adapter has "peft_type": "LORA"
        """),
    HostileAdapter(
      testDescription: "another task",
      spoil: { a in a.configuration["task_type"] = "SEQ_CLS" },
      expected: """
        DIR/adapter_config.json: task_type is "SEQ_CLS", expected "CAUSAL_LM" or null
        hint: only adapters of language models are supported
        """),
    HostileAdapter(
      testDescription: "r is missing",
      spoil: { a in a.configuration["r"] = nil },
      expected: """
        DIR/adapter_config.json: the key r is missing
        hint: it is the number of rows of every lora_A
        """),
    HostileAdapter(
      testDescription: "r is zero",
      spoil: { a in a.configuration["r"] = 0 },
      expected: """
        DIR/adapter_config.json: r is 0, expected at least 1
        hint: it is the number of rows of every lora_A
        """),
    HostileAdapter(
      testDescription: "r is a fraction",
      spoil: { a in a.configuration["r"] = 2.5 },
      expected: """
        DIR/adapter_config.json: r is 2.5, expected a whole number
        hint: it is the number of rows of every lora_A
        """),
    HostileAdapter(
      testDescription: "r is a text",
      spoil: { a in a.configuration["r"] = "2" },
      expected: """
        DIR/adapter_config.json: r is "2", expected a whole number
        hint: it is the number of rows of every lora_A
        """),
    HostileAdapter(
      testDescription: "r is huge",
      spoil: { a in a.configuration["r"] = 1_000_000_000_000 },
      expected: """
        DIR/adapter_config.json: rank is 1000000000000, more than 65536
        hint: 8, 16 and 32 are common ranks
        """),
    HostileAdapter(
      testDescription: "alpha is missing",
      spoil: { a in a.configuration["lora_alpha"] = nil },
      expected: """
        DIR/adapter_config.json: the key lora_alpha is missing
        hint: PEFT's scale is lora_alpha / r
        """),
    HostileAdapter(
      testDescription: "alpha is a text",
      spoil: { a in a.configuration["lora_alpha"] = "16" },
      expected: """
        DIR/adapter_config.json: lora_alpha is "16", expected a number
        hint: PEFT's scale is lora_alpha / r
        """),
    HostileAdapter(
      testDescription: "alpha is beyond float32",
      spoil: { a in a.configuration["lora_alpha"] = 1e300 },
      expected: """
        DIR/adapter_config.json: lora_alpha is 1e+300, expected a number
        hint: PEFT's scale is lora_alpha / r
        """),
    HostileAdapter(
      testDescription: "dropout above 1",
      spoil: { a in a.configuration["lora_dropout"] = 1.5 },
      expected: """
        DIR/adapter_config.json: dropout is 1.5, which is not in [0, 1)
        hint: it is the share of inputs to drop: 0 for none, 0.05 for one in twenty
        """),
    HostileAdapter(
      testDescription: "a rank of a pattern is zero",
      spoil: { a in a.configuration["rank_pattern"] = ["o_proj": 0] },
      expected: """
        DIR/adapter_config.json: rank_pattern["o_proj"] is 0, expected at least 1
        hint: it is the number of rows of these layers' lora_A
        """),
    HostileAdapter(
      testDescription: "a rank pattern is a list",
      spoil: { a in a.configuration["rank_pattern"] = [3] },
      expected: """
        DIR/adapter_config.json: rank_pattern is [3], expected an object
        hint: its keys are patterns, like {"q_proj": 16}; {} is none
        """),
    HostileAdapter(
      testDescription: "a rank pattern that the tensors do not have",
      spoil: { a in a.configuration["rank_pattern"] = ["o_proj": 3] },
      expected: """
        DIR/adapter_model.safetensors: 4 faults: the tensor \
        base_model.model.model.layers.0.self_attn.o_proj.lora_A.weight has the shape [2, 16], \
        expected [3, 16]; the tensor \
        base_model.model.model.layers.0.self_attn.o_proj.lora_B.weight has the shape [16, 2], \
        expected [16, 3]; the tensor \
        base_model.model.model.layers.1.self_attn.o_proj.lora_A.weight has the shape [2, 16], \
        expected [3, 16]; and 1 more
        hint: r is 3, and the layer maps 16 to 16 features
        """),
    HostileAdapter(
      testDescription: "an alpha of a pattern is a text",
      spoil: { a in a.configuration["alpha_pattern"] = ["o_proj": "x"] },
      expected: """
        DIR/adapter_config.json: alpha_pattern["o_proj"] is "x", expected a number
        hint: PEFT's scale is alpha / r
        """),
    HostileAdapter(
      testDescription: "a pattern's key is no expression",
      spoil: { a in a.configuration["rank_pattern"] = ["[o": 2] },
      expected: """
        DIR/adapter_config.json: "[o" is not a regular expression: missing terminating ] for \
        character class, at offset 2
        hint: write it as Python's re.fullmatch takes it, like ".*\\.(q_proj|v_proj)"
        """),
    HostileAdapter(
      testDescription: "bias of an unknown kind",
      spoil: { a in a.configuration["bias"] = "some" },
      expected: """
        DIR/adapter_config.json: bias is "some", expected "none", "all" or "lora_only"
        hint: "none" is PEFT's default
        """),
    HostileAdapter(
      testDescription: "use_dora is a number",
      spoil: { a in a.configuration["use_dora"] = 1 },
      expected: """
        DIR/adapter_config.json: use_dora is 1, expected true or false
        hint: false is PEFT's default
        """),
    HostileAdapter(
      testDescription: "DoRA and lora_bias",
      spoil: { a in
        a.configuration["use_dora"] = true; a.configuration["lora_bias"] = true
      },
      expected: """
        DIR/adapter_config.json: DoRA and a bias of B exclude each other
        hint: choose one of them
        """),
    HostileAdapter(
      testDescription: "layers without their targets",
      spoil: { a in a.configuration["layers_to_transform"] = [9] },
      expected: """
        DIR/adapter_config.json: none of the targeted layers is in a layer with the number 9
        hint: layers are numbered from 0; the last linear layer is model.layers.1.mlp.down_proj
        """),
    HostileAdapter(
      testDescription: "a layer below 0",
      spoil: { a in a.configuration["layers_to_transform"] = [-1] },
      expected: """
        DIR/adapter_config.json: layers_to_transform is [-1], expected whole numbers from 0
        hint: give the numbers of the layers, from 0, like [0, 1]
        """),
    HostileAdapter(
      testDescription: "a layers_pattern alone",
      spoil: { a in a.configuration["layers_pattern"] = "layers" },
      expected: """
        DIR/adapter_config.json: layers_pattern is "layers" without layers_to_transform
        hint: give the numbers of the layers, from 0, like [0, 1]
        """),
    HostileAdapter(
      testDescription: "layers for an expression",
      spoil: { a in
        a.configuration["layers_to_transform"] = [0]; a.configuration["target_modules"] = ".*o_proj"
      },
      expected: """
        DIR/adapter_config.json: a choice of layers by number goes with targets by name, not \
        with a pattern
        hint: put the numbers into the pattern, like .*layers\\.[0-3]\\..*q_proj
        """),
    HostileAdapter(
      testDescription: "everything is excluded",
      spoil: { a in a.configuration["exclude_modules"] = ["o_proj"] },
      expected: """
        DIR/adapter_config.json: every layer that the targets name is excluded or trained \
        whole: model.layers.0.self_attn.o_proj, model.layers.1.self_attn.o_proj
        hint: take the names out of exclude_modules or modules_to_save
        """),
    HostileAdapter(
      testDescription: "PiSSA by a random method, with a changed base",
      spoil: { a in a.configuration["init_lora_weights"] = "pissa_niter_4" },
      expected: """
        DIR/adapter_config.json: init_lora_weights is "pissa_niter_4": such an adapter is only the \
        difference to a changed base model, which is not in the file
        hint: save it with PEFT's save_pretrained(…, \
        path_initial_model_for_weight_conversion=…), which makes a plain adapter of it
        """),
    HostileAdapter(
      testDescription: "an unknown initialisation",
      spoil: { a in a.configuration["init_lora_weights"] = "zeros" },
      expected: """
        DIR/adapter_config.json: init_lora_weights is "zeros", expected true, false, \
        "gaussian", "orthogonal"
        hint: if the tensors in the file are all there is to the adapter, write true
        """),
    HostileAdapter(
      testDescription: "the configuration is cut off",
      file: "adapter_config.json", change: { bytes in Array(bytes.prefix(100)) },
      expected: """
        DIR/adapter_config.json: line 5, column 17: expected ':' after the key "auto_mapping", \
        found the end of the text
        hint: Check the text around this place: it is not JSON.
        """),
    HostileAdapter(
      testDescription: "the configuration is empty",
      file: "adapter_config.json", change: { bytes in [] },
      expected: """
        DIR/adapter_config.json: the file is empty
        hint: fetch or write it again
        """),
    HostileAdapter(
      testDescription: "the configuration is a list",
      file: "adapter_config.json", change: { bytes in Array("[]".utf8) },
      expected: """
        DIR/adapter_config.json: this is an array, not an object
        hint: an adapter_config.json of PEFT is one JSON object
        """),
    HostileAdapter(
      testDescription: "the configuration has a key twice",
      file: "adapter_config.json", change: { bytes in Array("{\"r\": 2, \"r\": 4}".utf8) },
      expected: """
        DIR/adapter_config.json: line 1, column 10: the key "r" appears twice in one object
        hint: Remove one: readers disagree about which counts.
        """),
    HostileAdapter(
      testDescription: "the configuration is not UTF-8",
      file: "adapter_config.json", change: { bytes in [0x7B, 0x22, 0xFF, 0x22, 0x3A, 0x31, 0x7D] },
      expected: """
        DIR/adapter_config.json: line 1, column 3: invalid UTF-8 in a string
        hint: Save the file as UTF-8.
        """),
  ]
}
