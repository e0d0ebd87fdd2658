// The report: numbers where they belong, nothing from outside, texts that cannot become markup.

import LoRAJSON
import LoRATraining
import Testing

struct ReportTests {
  private func report(_ metrics: [JSONObject], samples: [RunReport.Sample] = []) -> String {
    RunReport(
      title: "a <b>", ending: "finished", facts: [("rows", "1 & 2")], metrics: metrics,
      samples: samples,
      settings: "model: \"</pre><script>\""
    ).html
  }

  @Test func chartsHaveAPointPerStep() throws {
    let metrics = (1...7).map { step -> JSONObject in
      var line: JSONObject = [
        "step": .integer(step), "loss": .number(2 / Double(step)), "grad_norm": .number(1),
        "learning_rate": .number(1e-3), "tokens_per_second": .integer(500 + step),
      ]
      if step % 3 == 0 { line["eval_loss"] = .number(1) }
      return line
    }
    let html = report(metrics)
    let points = html.matches(of: /points="([^"]*)"/).map { $0.1.split(separator: " ").count }
    #expect(points == [7, 2, 7, 7, 7])
    #expect(html.contains("step 2: 1</title>"))
    for value in html.matches(of: /points="([^"]*)"/).flatMap({ $0.1.split(separator: /[ ,]/) }) {
      let number = try #require(Double(value))
      #expect(number >= 0 && number <= 440)
    }
  }

  @Test func nothingComesFromOutsideAndTextsStayTexts() {
    let sample = RunReport.Sample(
      question: "<img src=x>", expected: "\"a\"", before: "it's", after: "<script>alert(1)</script>"
    )
    let html = report([], samples: [sample])
    #expect(!html.contains("<script") && !html.contains("<img") && !html.contains("http"))
    #expect(html.contains("<title>a &lt;b&gt;</title>") && html.contains("1 &amp; 2"))
    #expect(html.contains("&lt;script&gt;alert(1)") && html.contains("it&#39;s"))
    #expect(!html.contains("<figure>") && html.contains("<p>finished</p>"))
  }

  /// Shares are drawn from 0 to 1, and each line has its name where the title does not say it.
  @Test func sharesHaveAnAxisOfTheirOwn() {
    let html = report([
      ["step": .integer(1), "eval_exact_match": .integer(0)],
      ["step": .integer(2), "eval_exact_match": .integer(0)],
    ])
    #expect(html.contains(">exact match</span>") && html.contains(">0.5</text>"))
    #expect(html.contains(">1</text>") && !html.contains(/\de-\d/))
  }

  @Test func oddValuesMakeNoBrokenChart() {
    #expect(LineChart(title: "t", series: []).svg == "")
    let nan = ChartSeries(name: "n", points: [(1, .nan), (2, .infinity)])
    #expect(LineChart(title: "t", series: [nan]).svg == "")
    for points in [[(1.0, 5.0)], [(1, 0), (2, 0)], [(1, -3), (9, 1e-9)], [(1, 1e12), (2, 1)]] {
      let svg = LineChart(title: "t", series: [ChartSeries(name: "n", points: points)]).svg
      #expect(svg.contains("<polyline") && !svg.contains("nan") && !svg.contains("inf"))
    }
  }
}
