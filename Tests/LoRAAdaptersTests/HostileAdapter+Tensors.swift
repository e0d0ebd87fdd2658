// Spoilt adapters: what may be wrong with the tensors.

import LoRAJSON
import LoRATensor

private func name(_ layer: Int, _ factor: String) -> String { AdapterFolder.name(layer, factor) }

extension HostileAdapter {
  static let tensors: [HostileAdapter] = [
    HostileAdapter(
      testDescription: "tensor renamed",
      spoil: { a in
        a.rename(name(0, "A"), "base_model.model.model.layers.0.self_attn.o_prj.lora_A.weight")
      },
      expected: """
        DIR/adapter_model.safetensors: 2 faults: the tensor \
        base_model.model.model.layers.0.self_attn.o_prj.lora_A.weight is for a module that the \
        model does not have; the tensor \
        base_model.model.model.layers.0.self_attn.o_proj.lora_A.weight is missing
        hint: the nearest is model.layers.0.self_attn.o_proj; was the adapter made for another \
        model?
        """),
    HostileAdapter(
      testDescription: "tensor missing",
      spoil: { a in a.remove(name(1, "B")) },
      expected: """
        DIR/adapter_model.safetensors: the tensor \
        base_model.model.model.layers.1.self_attn.o_proj.lora_B.weight is missing
        hint: target_modules names the layer: the file is not complete, or was made for \
        another model
        """),
    HostileAdapter(
      testDescription: "layer missing",
      spoil: { a in
        a.remove(name(1, "A")); a.remove(name(1, "B"))
      },
      expected: """
        DIR/adapter_model.safetensors: the tensors \
        base_model.model.model.layers.1.self_attn.o_proj.lora_A.weight and \
        base_model.model.model.layers.1.self_attn.o_proj.lora_B.weight are missing
        hint: target_modules names the layer: the file is not complete, or was made for \
        another model
        """),
    HostileAdapter(
      testDescription: "every tensor missing",
      spoil: { a in a.tensors = [] },
      expected: """
        DIR/adapter_model.safetensors: 2 faults: the tensors \
        base_model.model.model.layers.0.self_attn.o_proj.lora_A.weight and \
        base_model.model.model.layers.0.self_attn.o_proj.lora_B.weight are missing; the \
        tensors base_model.model.model.layers.1.self_attn.o_proj.lora_A.weight and \
        base_model.model.model.layers.1.self_attn.o_proj.lora_B.weight are missing
        hint: target_modules names the layer: the file is not complete, or was made for \
        another model
        """),
    HostileAdapter(
      testDescription: "extra layer",
      spoil: { a in
        a.set(name(0, "A").replacing("o_proj", with: "q_proj"), .zeros([2, 16]));
        a.set(name(0, "B").replacing("o_proj", with: "q_proj"), .zeros([16, 2]))
      },
      expected: """
        DIR/adapter_model.safetensors: 2 faults: the tensor \
        base_model.model.model.layers.0.self_attn.q_proj.lora_A.weight is for a layer that \
        target_modules does not name; the tensor \
        base_model.model.model.layers.0.self_attn.q_proj.lora_B.weight is for a layer that \
        target_modules does not name
        hint: add the layer to target_modules, or save the adapter again
        """),
    HostileAdapter(
      testDescription: "layer beyond the model",
      spoil: { a in
        a.rename(name(1, "A"), name(7, "A")); a.rename(name(1, "B"), name(7, "B"))
      },
      expected: """
        DIR/adapter_model.safetensors: 3 faults: the tensor \
        base_model.model.model.layers.7.self_attn.o_proj.lora_A.weight is for a module that \
        the model does not have; the tensor \
        base_model.model.model.layers.7.self_attn.o_proj.lora_B.weight is for a module that \
        the model does not have; the tensors \
        base_model.model.model.layers.1.self_attn.o_proj.lora_A.weight and \
        base_model.model.model.layers.1.self_attn.o_proj.lora_B.weight are missing
        hint: the nearest is model.layers.0.self_attn.o_proj; was the adapter made for another \
        model?
        """),
    HostileAdapter(
      testDescription: "A transposed",
      spoil: { a in a.set(name(0, "A"), .zeros([16, 2])) },
      expected: """
        DIR/adapter_model.safetensors: the tensor \
        base_model.model.model.layers.0.self_attn.o_proj.lora_A.weight has the shape [16, 2], \
        expected [2, 16]
        hint: the tensor is transposed: PEFT's A is (r, in) and its B (out, r)
        """),
    HostileAdapter(
      testDescription: "B transposed",
      spoil: { a in a.set(name(0, "B"), .zeros([2, 16])) },
      expected: """
        DIR/adapter_model.safetensors: the tensor \
        base_model.model.model.layers.0.self_attn.o_proj.lora_B.weight has the shape [2, 16], \
        expected [16, 2]
        hint: the tensor is transposed: PEFT's A is (r, in) and its B (out, r)
        """),
    HostileAdapter(
      testDescription: "A and B exchanged",
      spoil: { a in
        a.set(name(0, "A"), .zeros([16, 2])); a.set(name(0, "B"), .zeros([2, 16]))
      },
      expected: """
        DIR/adapter_model.safetensors: 2 faults: the tensor \
        base_model.model.model.layers.0.self_attn.o_proj.lora_A.weight has the shape [16, 2], \
        expected [2, 16]; the tensor \
        base_model.model.model.layers.0.self_attn.o_proj.lora_B.weight has the shape [2, 16], \
        expected [16, 2]
        hint: the tensor is transposed: PEFT's A is (r, in) and its B (out, r)
        """),
    HostileAdapter(
      testDescription: "rank of the tensors",
      spoil: { a in
        for l in 0..<2 {
          a.set(name(l, "A"), .zeros([3, 16])); a.set(name(l, "B"), .zeros([16, 3]))
        }
      },
      expected: """
        DIR/adapter_model.safetensors: 4 faults: the tensor \
        base_model.model.model.layers.0.self_attn.o_proj.lora_A.weight has the shape [3, 16], \
        expected [2, 16]; the tensor \
        base_model.model.model.layers.0.self_attn.o_proj.lora_B.weight has the shape [16, 3], \
        expected [16, 2]; the tensor \
        base_model.model.model.layers.1.self_attn.o_proj.lora_A.weight has the shape [3, 16], \
        expected [2, 16]; and 1 more
        hint: r is 2, and the layer maps 16 to 16 features
        """),
    HostileAdapter(
      testDescription: "rank of one factor",
      spoil: { a in a.set(name(0, "B"), .zeros([16, 3])) },
      expected: """
        DIR/adapter_model.safetensors: the tensor \
        base_model.model.model.layers.0.self_attn.o_proj.lora_B.weight has the shape [16, 3], \
        expected [16, 2]
        hint: r is 2, and the layer maps 16 to 16 features
        """),
    HostileAdapter(
      testDescription: "rank of the configuration",
      spoil: { a in a.configuration["r"] = 4 },
      expected: """
        DIR/adapter_model.safetensors: 4 faults: the tensor \
        base_model.model.model.layers.0.self_attn.o_proj.lora_A.weight has the shape [2, 16], \
        expected [4, 16]; the tensor \
        base_model.model.model.layers.0.self_attn.o_proj.lora_B.weight has the shape [16, 2], \
        expected [16, 4]; the tensor \
        base_model.model.model.layers.1.self_attn.o_proj.lora_A.weight has the shape [2, 16], \
        expected [4, 16]; and 1 more
        hint: r is 4, and the layer maps 16 to 16 features
        """),
    HostileAdapter(
      testDescription: "wider base",
      spoil: { a in
        for l in 0..<2 {
          a.set(name(l, "A"), .zeros([2, 32])); a.set(name(l, "B"), .zeros([32, 2]))
        }
      },
      expected: """
        DIR/adapter_model.safetensors: 4 faults: the tensor \
        base_model.model.model.layers.0.self_attn.o_proj.lora_A.weight has the shape [2, 32], \
        expected [2, 16]; the tensor \
        base_model.model.model.layers.0.self_attn.o_proj.lora_B.weight has the shape [32, 2], \
        expected [16, 2]; the tensor \
        base_model.model.model.layers.1.self_attn.o_proj.lora_A.weight has the shape [2, 32], \
        expected [2, 16]; and 1 more
        hint: r is 2, and the layer maps 16 to 16 features
        """),
    HostileAdapter(
      testDescription: "A of three axes",
      spoil: { a in a.set(name(0, "A"), .zeros([2, 4, 4])) },
      expected: """
        DIR/adapter_model.safetensors: the tensor \
        base_model.model.model.layers.0.self_attn.o_proj.lora_A.weight has the shape [2, 4, \
        4], expected [2, 16]
        hint: r is 2, and the layer maps 16 to 16 features
        """),
    HostileAdapter(
      testDescription: "A of one axis",
      spoil: { a in a.set(name(0, "A"), .zeros([32])) },
      expected: """
        DIR/adapter_model.safetensors: the tensor \
        base_model.model.model.layers.0.self_attn.o_proj.lora_A.weight has the shape [32], \
        expected [2, 16]
        hint: r is 2, and the layer maps 16 to 16 features
        """),
    HostileAdapter(
      testDescription: "A without elements",
      spoil: { a in a.set(name(0, "A"), .zeros([0, 16])) },
      expected: """
        DIR/adapter_model.safetensors: the tensor \
        base_model.model.model.layers.0.self_attn.o_proj.lora_A.weight has the shape [0, 16], \
        expected [2, 16]
        hint: r is 2, and the layer maps 16 to 16 features
        """),
    HostileAdapter(
      testDescription: "NaN in A",
      spoil: { a in
        a.set(name(1, "A"), Tensor([Float](repeating: 1, count: 31) + [.nan], shape: [2, 16]))
      },
      expected: """
        DIR/adapter_model.safetensors: the tensor \
        base_model.model.model.layers.1.self_attn.o_proj.lora_A.weight has the value nan at 31
        hint: the adapter is broken, its training probably diverged: use another checkpoint
        """),
    HostileAdapter(
      testDescription: "infinity in B",
      spoil: { a in a.set(name(0, "B"), .full([16, 2], -.infinity)) },
      expected: """
        DIR/adapter_model.safetensors: the tensor \
        base_model.model.model.layers.0.self_attn.o_proj.lora_B.weight has the value -inf at 0
        hint: the adapter is broken, its training probably diverged: use another checkpoint
        """),
    HostileAdapter(
      testDescription: "the prefix is missing",
      spoil: { a in a.rename(name(0, "A"), String(name(0, "A").dropFirst(17))) },
      expected: """
        DIR/adapter_model.safetensors: 2 faults: the tensor \
        model.layers.0.self_attn.o_proj.lora_A.weight does not begin with "base_model.model."; \
        the tensor base_model.model.model.layers.0.self_attn.o_proj.lora_A.weight is missing
        hint: save the adapter with PEFT as LoRA, its configuration beside it
        """),
    HostileAdapter(
      testDescription: "one model too few",
      spoil: { a in
        a.rename(name(0, "A"), "base_model.model.layers.0.self_attn.o_proj.lora_A.weight")
      },
      expected: """
        DIR/adapter_model.safetensors: 2 faults: the tensor \
        base_model.model.layers.0.self_attn.o_proj.lora_A.weight is for a module that the \
        model does not have; the tensor \
        base_model.model.model.layers.0.self_attn.o_proj.lora_A.weight is missing
        hint: the nearest is model.layers.0.self_attn.o_proj; was the adapter made for another \
        model?
        """),
    HostileAdapter(
      testDescription: "path traversal in a tensor's name",
      spoil: { a in a.rename(name(0, "A"), "base_model.model.../../../../etc/passwd.lora_A.weight")
      },
      expected: """
        DIR/adapter_model.safetensors: 2 faults: the tensor \
        base_model.model.../../../../etc/passwd.lora_A.weight is for a module that the model \
        does not have; the tensor \
        base_model.model.model.layers.0.self_attn.o_proj.lora_A.weight is missing
        hint: was the adapter made for another model?
        """),
    HostileAdapter(
      testDescription: "an adapter's name in the tensors",
      spoil: { a in a.rename(name(0, "A"), name(0, "A").replacing(".weight", with: ".mine.weight"))
      },
      expected: """
        DIR/adapter_model.safetensors: 2 faults: the tensor \
        base_model.model.model.layers.0.self_attn.o_proj.lora_A.mine.weight has an adapter's \
        name other than "default" in it; the tensor \
        base_model.model.model.layers.0.self_attn.o_proj.lora_A.weight is missing
        hint: save the adapter with PEFT as LoRA, its configuration beside it
        """),
    HostileAdapter(
      testDescription: "a factor twice",
      spoil: { a in
        a.set(name(0, "A").replacing(".weight", with: ".default.weight"), .zeros([2, 16]))
      },
      expected: """
        DIR/adapter_model.safetensors: the tensor \
        base_model.model.model.layers.0.self_attn.o_proj.lora_A.weight and \
        base_model.model.model.layers.0.self_attn.o_proj.lora_A.default.weight are the same part
        hint: remove one of them
        """),
    HostileAdapter(
      testDescription: "a base weight",
      spoil: { a in a.set("base_model.model.model.norm.weight", .zeros([16])) },
      expected: """
        DIR/adapter_model.safetensors: the tensor base_model.model.model.norm.weight is no \
        factor of a low-rank pair (….lora_A.weight or ….lora_B.weight), and no parameter that \
        modules_to_save or bias names
        hint: save the adapter with PEFT as LoRA, its configuration beside it
        """),
    HostileAdapter(
      testDescription: "a copy of a base weight",
      spoil: { a in
        a.set(
          "base_model.model.model.layers.0.self_attn.o_proj.base_layer.weight", .zeros([16, 16]))
      },
      expected: """
        DIR/adapter_model.safetensors: the tensor \
        base_model.model.model.layers.0.self_attn.o_proj.base_layer.weight is a copy of a base \
        parameter, which the configuration does not train
        hint: save the adapter with PEFT as LoRA, its configuration beside it
        """),
    HostileAdapter(
      testDescription: "DoRA's lengths without DoRA",
      spoil: { a in
        a.set(
          "base_model.model.model.layers.0.self_attn.o_proj.lora_magnitude_vector", .zeros([16]))
      },
      expected: """
        DIR/adapter_model.safetensors: the tensor \
        base_model.model.model.layers.0.self_attn.o_proj.lora_magnitude_vector belongs to \
        DoRA, but use_dora is false
        hint: set use_dora to true
        """),
    HostileAdapter(
      testDescription: "DoRA without its lengths",
      spoil: { a in a.configuration["use_dora"] = true },
      expected: """
        DIR/adapter_model.safetensors: 2 faults: the tensor \
        base_model.model.model.layers.0.self_attn.o_proj.lora_magnitude_vector is missing; the \
        tensor base_model.model.model.layers.1.self_attn.o_proj.lora_magnitude_vector is missing
        hint: target_modules names the layer: the file is not complete, or was made for \
        another model
        """),
    HostileAdapter(
      testDescription: "a bias of B without lora_bias",
      spoil: { a in
        a.set("base_model.model.model.layers.0.self_attn.o_proj.lora_B.bias", .zeros([16]))
      },
      expected: """
        DIR/adapter_model.safetensors: the tensor \
        base_model.model.model.layers.0.self_attn.o_proj.lora_B.bias is a bias of B, but \
        lora_bias is false
        hint: set lora_bias to true
        """),
    HostileAdapter(
      testDescription: "lora_bias without its biases",
      spoil: { a in a.configuration["lora_bias"] = true },
      expected: """
        DIR/adapter_model.safetensors: 2 faults: the tensor \
        base_model.model.model.layers.0.self_attn.o_proj.lora_B.bias is missing; the tensor \
        base_model.model.model.layers.1.self_attn.o_proj.lora_B.bias is missing
        hint: target_modules names the layer: the file is not complete, or was made for \
        another model
        """),
    HostileAdapter(
      testDescription: "an embedding's factor for a linear layer",
      spoil: { a in
        a.rename(name(0, "A"), "base_model.model.model.layers.0.self_attn.o_proj.lora_embedding_A")
      },
      expected: """
        DIR/adapter_model.safetensors: 2 faults: the tensor \
        base_model.model.model.layers.0.self_attn.o_proj.lora_embedding_A is no factor of this \
        kind of layer; the tensor \
        base_model.model.model.layers.0.self_attn.o_proj.lora_A.weight is missing
        hint: an embedding has lora_embedding_A and lora_embedding_B, a linear layer lora_A \
        and lora_B
        """),
    HostileAdapter(
      testDescription: "trained tokens nobody names",
      spoil: { a in
        a.set(
          "base_model.model.model.embed_tokens.token_adapter.trainable_tokens_delta",
          .zeros([1, 16]))
      },
      expected: """
        DIR/adapter_model.safetensors: the tensor \
        base_model.model.model.embed_tokens.token_adapter.trainable_tokens_delta holds trained \
        tokens, but trainable_token_indices names none there
        hint: save the adapter with PEFT as LoRA, its configuration beside it
        """),
    HostileAdapter(
      testDescription: "trained tokens are missing",
      spoil: { a in a.configuration["trainable_token_indices"] = [1, 2] },
      expected: """
        DIR/adapter_model.safetensors: the tensor \
        base_model.model.model.embed_tokens.token_adapter.trainable_tokens_delta is missing
        hint: trainable_token_indices names tokens: the file is not complete, or was made for \
        another model
        """),
    HostileAdapter(
      testDescription: "trained tokens of another number",
      spoil: { a in
        a.configuration["trainable_token_indices"] = [1, 2];
        a.set(
          "base_model.model.model.embed_tokens.token_adapter.trainable_tokens_delta",
          .zeros([3, 16]))
      },
      expected: """
        DIR/adapter_model.safetensors: the tensor \
        base_model.model.model.embed_tokens.token_adapter.trainable_tokens_delta has the shape \
        [3, 16], expected [2, 16]
        hint: the configuration names 2 tokens, each has 16 numbers
        """),
    HostileAdapter(
      testDescription: "trained tokens beyond the vocabulary",
      spoil: { a in a.configuration["trainable_token_indices"] = [1, 40] },
      expected: """
        DIR/adapter_config.json: trainable_token_indices has the token 40, but \
        model.embed_tokens has 40 rows
        hint: tokens are numbered from 0
        """),
    HostileAdapter(
      testDescription: "a module to save is missing",
      spoil: { a in a.configuration["modules_to_save"] = ["lm_head"] },
      expected: """
        DIR/adapter_model.safetensors: the tensor base_model.model.lm_head.weight is missing
        hint: the configuration says that it is trained: the file is not complete, or was made \
        for another model
        """),
    HostileAdapter(
      testDescription: "a module to save of another size",
      spoil: { a in
        a.configuration["modules_to_save"] = ["lm_head"];
        a.set("base_model.model.lm_head.weight", .zeros([41, 16]))
      },
      expected: """
        DIR/adapter_model.safetensors: the tensor base_model.model.lm_head.weight has the \
        shape [41, 16], expected [40, 16]
        hint: the adapter was made for a model of another size
        """),
    HostileAdapter(
      testDescription: "the tensors are cut off",
      file: "adapter_model.safetensors", change: { bytes in Array(bytes.dropLast(8)) },
      expected: """
        DIR/adapter_model.safetensors: the file is cut off: tensor \
        base_model.model.model.layers.1.self_attn.o_proj.lora_B.weight ends at byte 512 of the \
        data, of which there are 504
        hint: the file is damaged or not complete: fetch or write it again
        """),
    HostileAdapter(
      testDescription: "the tensors are longer",
      file: "adapter_model.safetensors", change: { bytes in bytes + [0] },
      expected: """
        DIR/adapter_model.safetensors: the tensors end at byte 512 of the data, of which there \
        are 513
        hint: the file is damaged or not complete: fetch or write it again
        """),
    HostileAdapter(
      testDescription: "the tensors are empty",
      file: "adapter_model.safetensors", change: { bytes in [] },
      expected: """
        DIR/adapter_model.safetensors: the file is empty
        hint: fetch or write it again
        """),
    HostileAdapter(
      testDescription: "the tensors are a pickle",
      file: "adapter_model.safetensors",
      change: { bytes in Array("PK\u{3}\u{4}archive/data.pkl".utf8) },
      expected: """
        DIR/adapter_model.safetensors: the header is said to have 7521981563643579216 bytes, \
        but 12 follow (and 100000000 are allowed)
        hint: this is not a safetensors file, or the download is not complete
        """),
    HostileAdapter(
      testDescription: "the header is longer than the file",
      file: "adapter_model.safetensors",
      change: { bytes in [255, 255, 255, 255, 0, 0, 0, 0] + bytes.dropFirst(8) },
      expected: """
        DIR/adapter_model.safetensors: the header is said to have 4294967295 bytes, but 1032 \
        follow (and 100000000 are allowed)
        hint: this is not a safetensors file, or the download is not complete
        """),
  ]
}
