// The project's measuring stick: `make bench` runs every case in a process of its own.

import ArgumentParser

@main
struct Benchmarks: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "lora-bench", abstract: "Measures speed against this machine's own limits.",
    subcommands: [
      MicroBenchmark.self, StepBenchmark.self, LayerBenchmark.self, DecodeBenchmark.self,
      KernelCalls.self,
    ])
}
