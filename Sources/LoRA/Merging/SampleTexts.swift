// Texts to compare models on where a user gives none.

/// Short texts of several kinds; what they say does not matter.
package enum SampleTexts {
  package static let all = [
    "The old harbour was quiet in the morning. Two men repaired a net, and a dog slept on the pier "
      + "beside them, one ear turned towards the gulls.",
    "Question: Which planet is closest to the sun?\nAnswer: Mercury, about 58 million kilometres "
      + "away on average.",
    "func area(of width: Double, _ height: Double) -> Double {\n  return width * height\n}\n",
    "{\"item\": \"bicycle\", \"quantity\": 11, \"color\": \"purple\", \"city\": \"Lyon\", "
      + "\"urgent\": true}",
    "Invoice 2024-0317, 14 March: 3 × 12.50 € = 37.50 €, VAT 19% = 7.13 €, total 44.63 €.",
    "Grüße aus Köln! Il fait beau aujourd'hui. ¿Dónde está la estación? 東京は雨です。",
  ]
}
