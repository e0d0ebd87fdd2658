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
    .library(name: "LoRA", targets: ["LoRA"]),
    .executable(name: "lora", targets: ["LoRACommand"]),
  ],
  dependencies: [
    .package(url: "https://github.com/apple/swift-argument-parser", from: "1.5.0"),
    .package(url: "https://github.com/jpsim/Yams", from: "6.0.0"),
  ],
  targets: [
    .systemLibrary(name: "CDNNL", providers: [.apt(["libdnnl-dev"]), .brew(["onednn"])]),
    .systemLibrary(name: "CPCRE2", providers: [.apt(["libpcre2-dev"]), .brew(["pcre2"])]),
    .target(
      name: "CLoRAKernels", dependencies: ["CDNNL"],
      linkerSettings: [.linkedLibrary("gomp"), .linkedLibrary("dnnl"), .linkedLibrary("m")]),

    library("LoRATensor", ["CLoRAKernels"]),
    library("LoRANN", ["LoRATensor"]),
    library("LoRAJSON", []),
    library("LoRAFormats", ["LoRATensor", "LoRAJSON"]),
    library("LoRAText", ["LoRAJSON", "CPCRE2"]),
    library("LoRAModels", ["LoRATensor", "LoRANN", "LoRAFormats"]),
    library("LoRAAdapters", ["LoRATensor", "LoRANN", "LoRAFormats", "LoRAJSON"]),
    library("LoRAGeneration", ["LoRATensor", "LoRANN", "LoRAModels", "LoRAText"]),
    library(
      "LoRATraining",
      [
        "LoRATensor", "LoRANN", "LoRAFormats", "LoRAModels", "LoRAAdapters", "LoRAText", "LoRAJSON",
      ]),
    library(
      "LoRA",
      [
        "LoRATensor", "LoRANN", "LoRAFormats", "LoRAText", "LoRAJSON", "LoRAModels", "LoRAAdapters",
        "LoRATraining", "LoRAGeneration",
      ]),
    .executableTarget(
      name: "LoRACommand",
      dependencies: [
        "LoRA", "LoRATensor", "LoRANN", "LoRAFormats", "LoRAText", "LoRAModels", "LoRAAdapters",
        "LoRATraining", "LoRAGeneration", "LoRAJSON", "Yams",
        .product(name: "ArgumentParser", package: "swift-argument-parser"),
      ],
      swiftSettings: swiftSettings),

    .target(
      name: "LoRATestSupport", dependencies: ["LoRATensor", "LoRAFormats"],
      path: "Tests/LoRATestSupport", swiftSettings: swiftSettings),
    tests("LoRATensorTests", ["LoRATensor", "CLoRAKernels"]),
    tests("LoRANNTests", ["LoRATensor", "LoRANN"]),
    tests("LoRAFormatsTests", ["LoRATensor", "LoRAFormats", "LoRAJSON", "CLoRAKernels"]),
    tests("LoRAJSONTests", ["LoRAJSON"]),
    tests("LoRATextTests", ["LoRAText", "LoRAJSON"]),
    tests("LoRAModelsTests", ["LoRATensor", "LoRANN", "LoRAFormats", "LoRAModels"]),
    tests(
      "LoRAAdaptersTests", ["LoRATensor", "LoRANN", "LoRAFormats", "LoRAModels", "LoRAAdapters"]),
    tests(
      "LoRATrainingTests",
      [
        "LoRATensor", "LoRANN", "LoRAFormats", "LoRAText", "LoRAJSON", "LoRAModels", "LoRAAdapters",
        "LoRATraining",
      ]),
    tests("EndToEndTests", ["LoRA", "LoRACommand"]),
  ],
  swiftLanguageModes: [.v6]
)
