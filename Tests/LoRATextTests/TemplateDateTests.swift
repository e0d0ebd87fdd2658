// The day of `strftime_now`.

import LoRAJSON
import LoRAText
import Testing

struct TemplateDateTests {
  @Test func aDayIsADay() {
    #expect(TemplateDate("2024-02-29")?.description == "2024-02-29")
    for text in ["2023-02-29", "2026-13-01", "2026-00-10", "2026-1-1", "26-01-01", "", "today"] {
      #expect(TemplateDate(text) == nil, "\(text)")
    }
    #expect(TemplateDate.today != nil)
  }

  @Test func aTemplateWritesTheDayThatItIsGiven() throws {
    var template = try ChatTemplate("{{ strftime_now('%d %b %Y, %H:%M:%S') }}")
    #expect(template.asksForDate)
    template.date = TemplateDate("2024-07-26")
    let text = try template.render(
      messages: [], addGenerationPrompt: false, bosToken: nil, eosToken: nil)
    #expect(text == "26 Jul 2024, 00:00:00")
    #expect(try !ChatTemplate("{{ messages | length }}").asksForDate)
  }
}
