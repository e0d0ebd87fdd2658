// What the settings of other tools are called here: a hint where one of their names is given.

/// The names of transformers, TRL, PEFT, Axolotl, LLaMA-Factory, unsloth and OpenAI.
enum ForeignNames {
  private static let table: [(names: [String], hint: String)] = [
    (["lora_r", "lora_rank", "r"], "this is rank"),
    (["lora_alpha"], "this is alpha"),
    (["lora_dropout"], "this is dropout"),
    (["lora_target", "lora_target_modules", "target"], "this is target_modules"),
    (["lora_modules_to_save", "additional_target"], "this is modules_to_save"),
    (["init_lora_weights", "peft_init_lora_weights"], "this is init"),
    (["num_epochs", "num_train_epochs", "n_epochs"], "this is epochs"),
    (["lr", "learning_rate_multiplier"], "this is learning_rate, the peak rate itself"),
    (["lr_scheduler", "lr_scheduler_type"], "this is lr_schedule"),
    (
      [
        "per_device_train_batch_size", "micro_batch_size", "train_batch_size",
        "gradient_accumulation_steps",
      ],
      "batch_size is the rows of an optimizer step, per_device_train_batch_size times "
        + "gradient_accumulation_steps; how it is cut to fit the memory changes nothing"
    ),
    (
      ["gradient_checkpointing", "use_gradient_checkpointing"],
      "this is memory_budget: as much is computed twice as it takes"
    ),
    (
      [
        "base_model", "model_name", "model_name_or_path", "base_model_name_or_path",
        "pretrained_model_name_or_path",
      ], "this is model"
    ),
    (
      ["datasets", "dataset", "dataset_path", "data_path", "train_file", "training_file"],
      "this is data"
    ),
    (["validation_file", "eval_dataset", "eval_file", "val_data"], "this is eval_data"),
    (["val_set_size", "val_size", "validation_split"], "this is eval_split, a share like 0.05"),
    (["output_dir"], "this is output"),
    (
      ["cutoff_len", "max_seq_length", "max_seq_len", "sequence_len", "model_max_length"],
      "this is max_length"
    ),
    (["logging_steps"], "this is log_steps"),
    (["save_strategy", "saves_per_epoch"], "this is save_steps"),
    (["eval_strategy", "evaluation_strategy", "evals_per_epoch"], "this is eval_steps"),
    (
      [
        "load_in_4bit", "load_in_8bit", "quantization_bit", "quantization",
        "bnb_4bit_compute_dtype",
      ],
      "the base is used as its file has it: name a GGUF file of that type as model"
    ),
    (["optim", "optimizer"], "AdamW is the only optimizer: leave it out"),
    (
      ["bf16", "fp16", "tf32", "torch_dtype", "dtype"],
      "this is precision: auto, float32 or bfloat16"
    ),
    (
      ["packing", "sample_packing", "group_by_length", "pad_to_sequence_len"],
      "rows are always packed, without padding, which changes no result: leave it out"
    ),
    (
      ["train_on_inputs", "train_on_prompt", "assistant_only_loss", "completion_only_loss"],
      "loss is on the answers; rows of the form {\"text\": …} carry it everywhere"
    ),
    (["lora_plus_ratio", "loraplus_ratio"], "this is loraplus_lr_ratio"),
    (["resume_from_checkpoint"], "this is the flag --resume of lora train"),
    (["lora_model_dir", "adapter_name_or_path"], "this is init_adapter"),
    (
      ["report_to", "wandb_project", "logging_dir"],
      "metrics.jsonl, tensorboard/ and report.html are always written: leave it out"
    ),
    (
      ["device", "device_map", "num_gpus"],
      "everything runs on the processor; threads says on how many"
    ),
    (
      ["peft_type", "adapter", "finetuning_type"],
      "an adapter of LoRA is what is trained: leave it out"
    ),
  ]

  private static let hints = Dictionary(
    table.flatMap { entry in entry.names.map { ($0, entry.hint) } },
    uniquingKeysWith: { first, _ in first })

  /// What to write instead of a key or a flag, however it is spelt.
  static func hint(for name: String) -> String? {
    hints[name.lowercased().replacing("-", with: "_")]
  }
}
