// The extents of a tensor's axes, row-major: the last axis is contiguous.

/// The extents of a tensor's axes, outermost first.
public struct Shape: Sendable, Hashable, ExpressibleByArrayLiteral, CustomStringConvertible {
  /// The extents, outermost first.
  public let dimensions: [Int]

  /// A shape with the given extents, each at least 0.
  public init(_ dimensions: [Int]) {
    precondition(dimensions.allSatisfy { $0 >= 0 }, "Shape: negative extent in \(dimensions)")
    self.dimensions = dimensions
  }

  /// A shape written as a list of extents.
  public init(arrayLiteral elements: Int...) { self.init(elements) }

  /// The number of axes.
  public var rank: Int { dimensions.count }

  /// The number of elements: the product of the extents (1 for a scalar).
  public var count: Int { dimensions.reduce(1, *) }

  /// The extent of the last axis (1 for a scalar).
  public var lastDimension: Int { dimensions.last ?? 1 }

  /// The number of rows when all axes but the last are folded into one.
  public var rows: Int { dimensions.dropLast().reduce(1, *) }

  /// The extent of an axis; a negative one counts from the end.
  public subscript(axis: Int) -> Int { dimensions[axis < 0 ? axis + rank : axis] }

  /// The same leading axes with another last one.
  public func replacingLast(with extent: Int) -> Shape { Shape(dimensions.dropLast() + [extent]) }

  /// The extents in brackets, like `[2, 3]`.
  public var description: String {
    "[" + dimensions.map(String.init).joined(separator: ", ") + "]"
  }
}
