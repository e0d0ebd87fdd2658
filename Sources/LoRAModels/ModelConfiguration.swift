// The sizes of a decoder, whatever file they were read from.

/// The sizes and constants of a Llama-family decoder, with Hugging Face's names in the comments.
public struct ModelConfiguration: Sendable, Hashable {
  /// `vocab_size`.
  public var vocabularySize: Int
  /// `hidden_size`.
  public var hiddenSize: Int
  /// `intermediate_size`.
  public var intermediateSize: Int
  /// `num_hidden_layers`.
  public var layerCount: Int
  /// `num_attention_heads`.
  public var headCount: Int
  /// `num_key_value_heads`.
  public var keyValueHeadCount: Int
  /// `head_dim`.
  public var headDimension: Int
  /// `rms_norm_eps`.
  public var normEpsilon: Float
  /// `rope_theta`.
  public var ropeBase: Double
  /// `max_position_embeddings`.
  public var contextLength: Int
  /// `tie_word_embeddings`: the head is the embedding table.
  public var tiesEmbeddings: Bool
}
