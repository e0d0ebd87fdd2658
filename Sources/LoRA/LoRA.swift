// `import LoRA` is the whole library: this file hands on what the targets below offer.

@_exported public import LoRAAdapters
@_exported public import LoRAFormats
@_exported public import LoRAGeneration
@_exported public import LoRAModels
@_exported public import LoRANN
@_exported public import LoRATensor
@_exported public import LoRAText
@_exported public import LoRATraining
