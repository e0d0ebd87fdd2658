// The syntax tree of a template: expressions, assignment targets and statements.

/// An expression with its place.
final class TemplateExpression: Sendable {
  enum Kind: Sendable {
    case constant(Constant)
    case name(Int)
    case list([TemplateExpression])
    case tuple([TemplateExpression])
    case dictionary([(key: TemplateExpression, value: TemplateExpression)])
    case attribute(TemplateExpression, String)
    case item(TemplateExpression, TemplateExpression)
    case slice(TemplateExpression, Slice)
    case call(TemplateExpression, CallArguments)
    /// The value is nil in filter blocks, where it is the text of the block.
    case filter(TemplateExpression?, String, CallArguments)
    case test(TemplateExpression, String, CallArguments)
    case negative(TemplateExpression)
    case positive(TemplateExpression)
    case not(TemplateExpression)
    case and(TemplateExpression, TemplateExpression)
    case or(TemplateExpression, TemplateExpression)
    case arithmetic(TemplateOperator, TemplateExpression, TemplateExpression)
    case concatenation([TemplateExpression])
    case comparison(TemplateExpression, [(operation: Comparison, right: TemplateExpression)])
    case conditional(
      test: TemplateExpression, then: TemplateExpression, otherwise: TemplateExpression?)
  }

  enum Constant: Sendable {
    case none
    case bool(Bool)
    case integer(Int)
    case float(Double)
    case string(String)
  }

  struct Slice: Sendable {
    var start: TemplateExpression?
    var stop: TemplateExpression?
    var step: TemplateExpression?
  }

  struct CallArguments: Sendable {
    var positional: [TemplateExpression] = []
    var named: [(name: String, value: TemplateExpression)] = []
    var unpacked: TemplateExpression?
    var unpackedNamed: TemplateExpression?
  }

  enum Comparison: String, Sendable {
    case equal = "=="
    case notEqual = "!="
    case less = "<"
    case lessOrEqual = "<="
    case greater = ">"
    case greaterOrEqual = ">="
    case isIn = "in"
    case notIn = "not in"
  }

  let kind: Kind
  let position: TemplatePosition
  /// Levels of expressions below and including this one; bounds every walk of the tree.
  let depth: Int

  init(_ kind: Kind, at position: TemplatePosition, depth: Int) {
    self.kind = kind
    self.position = position
    self.depth = depth
  }
}

/// The operators that compute.
enum TemplateOperator: String, Sendable {
  case add = "+"
  case subtract = "-"
  case multiply = "*"
  case divide = "/"
  case floorDivide = "//"
  case modulo = "%"
  case power = "**"
}

/// What `set`, `for` and `with` assign to.
indirect enum TemplateTarget: Sendable {
  case name(Int)
  case attribute(namespace: Int, String)
  case tuple([TemplateTarget])
}

/// A statement of a template.
indirect enum TemplateStatement: Sendable {
  case text(String)
  case output(TemplateExpression)
  case conditional(
    [(test: TemplateExpression, body: [TemplateStatement])], otherwise: [TemplateStatement])
  case loop(TemplateLoopSyntax)
  case assignment(TemplateTarget, TemplateExpression)
  case capture(TemplateTarget, filter: TemplateExpression?, [TemplateStatement], TemplatePosition)
  case macro(name: Int, TemplateMacroSyntax)
  case callBlock(TemplateExpression, TemplateMacroSyntax)
  case filterBlock(TemplateExpression, [TemplateStatement])
  case with([(target: TemplateTarget, value: TemplateExpression)], [TemplateStatement])
  /// `{% generation %}`: marks what the assistant wrote; renders as its body.
  case generation([TemplateStatement])
  case breakLoop
  case continueLoop
}

/// A `for` loop.
struct TemplateLoopSyntax: Sendable {
  var target: TemplateTarget
  var iterable: TemplateExpression
  var test: TemplateExpression?
  var isRecursive: Bool
  var body: [TemplateStatement]
  var otherwise: [TemplateStatement]
  var position: TemplatePosition
}

/// A macro, or the body of a `call` block, which is a macro without a name.
struct TemplateMacroSyntax: Sendable {
  var name: String?
  var parameters: [(name: String, id: Int, defaultValue: TemplateExpression?)]
  var body: [TemplateStatement]
  var usesCaller = false
  var usesNamed = false
  var usesPositional = false
  var position: TemplatePosition
}

/// A parsed template: its statements and the names that its variables have by number.
struct TemplateProgram: Sendable {
  var statements: [TemplateStatement]
  var names: [String]
  /// The names that are read anywhere.
  var readNames: Set<String>
}
