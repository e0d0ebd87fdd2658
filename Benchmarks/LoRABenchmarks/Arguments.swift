// Choices of the library as arguments.

public import ArgumentParser
public import LoRAModels
public import LoRATensor

extension Precision: ExpressibleByArgument {}
extension BaseWeights: ExpressibleByArgument {}
extension Recomputation: ExpressibleByArgument {}
