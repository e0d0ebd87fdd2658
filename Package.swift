// swift-tools-version: 6.1
import PackageDescription

let swiftSettings: [SwiftSetting] = [
  .enableUpcomingFeature("ExistentialAny"),
  .enableUpcomingFeature("InternalImportsByDefault"),
  .enableUpcomingFeature("MemberImportVisibility"),
]

/// A library target with the settings that all of them share. An arrow never points up:
/// see Docs/ARCHITECTURE.md for the picture.
func library(_ name: String, _ dependencies: [Target.Dependency]) -> Target {
  .target(name: name, dependencies: dependencies, swiftSettings: swiftSettings)
}

func tests(_ name: String, _ dependencies: [Target.Dependency]) -> Target {
  .testTarget(
    name: name, dependencies: dependencies + ["LoRATestSupport"], swiftSettings: swiftSettings)
}

let package = Package(
  name: "swift-lora",
  products: [
    .library(name: "LoRATensor", targets: ["LoRATensor"]),
    .library(name: "LoRANN", targets: ["LoRANN"]),
    .library(name: "LoRAFormats", targets: ["LoRAFormats"]),
    .library(name: "LoRAText", targets: ["LoRAText"]),
    .library(name: "LoRAModels", targets: ["LoRAModels"]),
    .library(name: "LoRAAdapters", targets: ["LoRAAdapters"]),
    .library(name: "LoRA", targets: ["LoRA"]),
    .executable(name: "lora", targets: ["LoRACommand"]),
  ],
  dependencies: [
    .package(url: "https://github.com/apple/swift-argument-parser", from: "1.8.0"),
    .package(url: "https://github.com/jpsim/Yams", from: "6.0.0"),
  ],
  targets: [
    .systemLibrary(name: "CDNNL", providers: [.apt(["libdnnl-dev"]), .brew(["onednn"])]),
    .systemLibrary(name: "CPCRE2", providers: [.apt(["libpcre2-dev"]), .brew(["pcre2"])]),
    .systemLibrary(name: "CLAPACK", providers: [.apt(["liblapack-dev"]), .brew(["lapack"])]),
    .target(
      name: "CLoRAKernels", dependencies: ["CDNNL"],
      linkerSettings: [.linkedLibrary("gomp"), .linkedLibrary("dnnl"), .linkedLibrary("m")]),

    library("LoRATensor", ["CLoRAKernels", "CLAPACK"]),
    library("LoRANN", ["LoRATensor", "CLoRAKernels"]),
    library("LoRAJSON", []),
    library("LoRAFormats", ["LoRATensor", "LoRAJSON"]),
    library("LoRAText", ["LoRAJSON", "CPCRE2"]),

    library("LoRAModels", ["LoRATensor", "LoRANN", "LoRAFormats", "LoRAJSON"]),
    library("LoRAAdapters", ["LoRATensor", "LoRANN", "LoRAFormats", "LoRAJSON", "CPCRE2"]),
    library(
      "LoRATraining",
      [
        "LoRATensor", "LoRANN", "LoRAFormats", "LoRAJSON", "LoRAText", "LoRAModels",
        "LoRAAdapters",
      ]),
    library("LoRAGeneration", ["LoRATensor", "LoRANN", "LoRAModels", "LoRAAdapters"]),
    library(
      "LoRA",
      [
        "LoRATensor", "LoRANN", "LoRAFormats", "LoRAJSON", "LoRAText", "LoRAModels",
        "LoRAAdapters", "LoRATraining", "LoRAGeneration",
      ]),
    .executableTarget(
      name: "LoRACommand",
      dependencies: [
        "LoRA", "LoRATensor", "LoRANN", "LoRAJSON", "LoRAFormats", "LoRAText", "LoRAModels",
        "LoRAAdapters", "LoRATraining", "LoRAGeneration",
        .product(name: "ArgumentParser", package: "swift-argument-parser"),
        .product(name: "Yams", package: "Yams"),
      ], swiftSettings: swiftSettings),

    .executableTarget(
      name: "lora-bench",
      dependencies: [
        "CLoRAKernels", "LoRATensor", "LoRANN", "LoRAFormats", "LoRAModels", "LoRAAdapters",
        "LoRATraining", "LoRAGeneration",
        .product(name: "ArgumentParser", package: "swift-argument-parser"),
      ], path: "Benchmarks/LoRABenchmarks", swiftSettings: swiftSettings),

    .executableTarget(
      name: "lora-conformance",
      dependencies: [
        "LoRA", "LoRATensor", "LoRANN", "LoRAJSON", "LoRAFormats", "LoRAModels", "LoRAAdapters",
        "LoRATraining",
      ], path: "Scripts/conformance/runner", swiftSettings: swiftSettings),

    .target(
      name: "LoRATestSupport", dependencies: ["LoRATensor", "LoRAFormats"],
      path: "Tests/LoRATestSupport", swiftSettings: swiftSettings),
    tests("LoRATensorTests", ["LoRATensor", "LoRAJSON", "CLoRAKernels"]),
    tests("LoRANNTests", ["LoRATensor", "LoRANN"]),
    tests("LoRAFormatsTests", ["LoRATensor", "LoRAFormats", "LoRAJSON", "CLoRAKernels"]),
    tests("LoRAJSONTests", ["LoRAJSON"]),
    tests("LoRATextTests", ["LoRAText", "LoRAJSON"]),
    tests(
      "LoRAModelsTests", ["LoRATensor", "LoRANN", "LoRAFormats", "LoRAModels", "LoRAJSON"]),
    tests(
      "LoRAAdaptersTests",
      ["LoRATensor", "LoRANN", "LoRAFormats", "LoRAModels", "LoRAAdapters", "LoRAJSON"]),
    tests(
      "LoRATrainingTests",
      [
        "LoRATensor", "LoRANN", "LoRAFormats", "LoRAJSON", "LoRAText", "LoRAModels",
        "LoRAAdapters", "LoRATraining",
      ]),
    tests(
      "LoRAGenerationTests",
      [
        "LoRATensor", "LoRANN", "LoRAFormats", "LoRAModels", "LoRAAdapters", "LoRAGeneration",
        "LoRAJSON",
      ]),
    tests(
      "LoRATests",
      [
        "LoRA", "LoRATensor", "LoRANN", "LoRAFormats", "LoRAModels", "LoRAAdapters", "LoRAJSON",
        "LoRATraining", "LoRAGeneration",
      ]),
    tests(
      "EndToEndTests",
      ["LoRAFormats", "LoRATensor", "LoRAJSON", .product(name: "Yams", package: "Yams")]),
  ],
  swiftLanguageModes: [.v6]
)
