// A run as one page of HTML that needs nothing else: figures, charts, sample answers, settings.

package import LoRAJSON

/// What a report tells of a run.
package struct RunReport {
  /// A question with the answers of the model alone and with the adapter.
  package struct Sample {
    package let question: String
    package let expected: String
    package let before: String
    package let after: String

    package init(question: String, expected: String, before: String, after: String) {
      self.question = question
      self.expected = expected
      self.before = before
      self.after = after
    }
  }

  private let title: String
  private let ending: String
  private let facts: [(name: String, value: String)]
  private let metrics: [JSONObject]
  private let samples: [Sample]
  private let warnings: [String]
  private let settings: String

  /// - Parameters:
  ///   - ending: how the run ended, in a sentence.
  ///   - metrics: the lines of metrics.jsonl.
  package init(
    title: String, ending: String, facts: [(name: String, value: String)], metrics: [JSONObject],
    samples: [Sample], warnings: [String] = [], settings: String
  ) {
    self.title = title
    self.ending = ending
    self.facts = facts
    self.metrics = metrics
    self.samples = samples
    self.warnings = warnings
    self.settings = settings
  }

  /// The page.
  package var html: String {
    let charts = [
      LineChart(
        title: "loss", series: [series("training", "loss"), series("evaluation", "eval_loss")]),
      LineChart(
        title: "answers, share of rows",
        series: [
          series("exact match", "eval_exact_match"), series("valid JSON", "eval_json_valid"),
          series("pattern", "eval_regex_match"),
        ], range: 0...1),
      LineChart(title: "learning rate", series: [series("learning rate", "learning_rate")]),
      LineChart(title: "gradient norm", series: [series("gradient norm", "grad_norm")]),
      LineChart(
        title: "tokens per second", series: [series("tokens per second", "tokens_per_second")]),
    ].map(\.svg)
    let rows = facts.map {
      "<tr><th>\($0.name.escapedForHTML)</th><td>\($0.value.escapedForHTML)</td></tr>"
    }
    return """
      <!doctype html>
      <html lang="en"><head><meta charset="utf-8">
      <meta name="viewport" content="width=device-width, initial-scale=1">
      <title>\(title.escapedForHTML)</title><style>\(Self.style)</style></head><body><main>
      <h1>\(title.escapedForHTML)</h1>
      <p>\(ending.escapedForHTML)</p>
      <table>\(rows.joined())</table>
      \(warningsHTML)
      <section class="charts">\(charts.joined())</section>
      \(samplesHTML)
      <h2>Settings</h2><pre>\(settings.escapedForHTML)</pre>
      </main></body></html>

      """
  }

  private func series(_ name: String, _ key: String) -> ChartSeries {
    ChartSeries(
      name: name,
      points: metrics.compactMap { line in
        guard let step = line["step"]?.numberValue, let value = line[key]?.numberValue else {
          return nil
        }
        return (step, value)
      })
  }

  private var warningsHTML: String {
    guard !warnings.isEmpty else { return "" }
    let items = warnings.map { "<li>\($0.escapedForHTML)</li>" }.joined()
    return "<h2>Warnings before the first step</h2><ul>\(items)</ul>"
  }

  private var samplesHTML: String {
    guard !samples.isEmpty else { return "" }
    let items = samples.map { sample in
      func row(_ name: String, _ text: String) -> String {
        "<tr><th>\(name)</th><td class=\"text\">\(text.escapedForHTML)</td></tr>"
      }
      return "<table class=\"sample\">" + row("asked", sample.question)
        + row("expected", sample.expected) + row("before", sample.before)
        + row("after", sample.after) + "</table>"
    }
    return "<h2>Answers before and after</h2>" + items.joined()
  }

  private static let style = """
    :root{color-scheme:light dark;--ink:#1d2330;--soft:#667085;--line:#d8dde6;--back:#fff;\
    --a:#1f6feb;--b:#c2410c;--c:#15803d}
    @media(prefers-color-scheme:dark){:root{--ink:#e6e9ef;--soft:#98a2b3;--line:#384152;\
    --back:#12161d;--a:#6cb0ff;--b:#ff9d5c;--c:#5fd38d}}
    body{margin:0;background:var(--back);color:var(--ink);font:16px/1.5 system-ui,sans-serif}
    main{max-width:72rem;margin:0 auto;padding:1.5rem 1rem 4rem}
    h1{font-size:1.6rem;margin:0 0 1rem;overflow-wrap:anywhere}h2{font-size:1.2rem;margin:2rem 0 .5rem}
    table{border-collapse:collapse;width:100%}
    th{text-align:left;font-weight:500;color:var(--soft);padding:.2rem 1rem .2rem 0;\
    vertical-align:top;white-space:nowrap;width:1%}
    td{padding:.2rem 0;overflow-wrap:anywhere}td.text{white-space:pre-wrap}
    table.sample{border-top:1px solid var(--line);margin-bottom:1rem}
    .charts{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(100%,26rem),1fr));\
    gap:1.5rem;margin-top:1.5rem}
    figure{margin:0}figcaption{color:var(--soft);margin-bottom:.25rem}svg{width:100%;height:auto}
    .grid{stroke:var(--line);stroke-width:1}.tick{fill:var(--soft);font-size:12px}
    .line{fill:none;stroke-width:2;stroke-linejoin:round}
    .line.l0{stroke:var(--a)}.line.l1{stroke:var(--b)}.line.l2{stroke:var(--c)}
    .dot.l0{fill:var(--a)}.dot.l1{fill:var(--b)}.dot.l2{fill:var(--c)}\
    .legend{margin-left:.75rem;white-space:nowrap}.l0.legend{color:var(--a)}.l1.legend{color:var(--b)}\
    .l2.legend{color:var(--c)}
    @media(max-width:30rem){.tick{font-size:15px}}
    pre{overflow-x:auto;background:color-mix(in srgb,var(--line) 30%,transparent);padding:1rem;\
    border-radius:.4rem;font-size:.85rem}
    """
}
