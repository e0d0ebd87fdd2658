// The choices of the library that are flags of the command.

public import ArgumentParser
public import LoRAAdapters
public import LoRATensor
public import LoRAText
public import LoRATraining

extension Precision: ExpressibleByArgument {}
extension LearningRateSchedule: ExpressibleByArgument {}
extension Truncation: ExpressibleByArgument {}
extension BiasTraining: ExpressibleByArgument {}
extension AdapterTarget: ExpressibleByArgument {}
extension CombinationMethod: ExpressibleByArgument {}
extension MajoritySign: ExpressibleByArgument {}
extension TemplateDate: ExpressibleByArgument {}
