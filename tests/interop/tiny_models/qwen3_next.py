"""Tiny models of Qwen3-Next and Qwen3.5; the last layer is no whole group of three."""

SIZES = {
  "vocab_size": 37,
  "hidden_size": 24,
  "intermediate_size": 28,
  "num_hidden_layers": 4,
  "full_attention_interval": 3,
  "num_attention_heads": 4,
  "num_key_value_heads": 2,
  "head_dim": 16,
  "linear_num_key_heads": 2,
  "linear_num_value_heads": 6,
  "linear_key_head_dim": 8,
  "linear_value_head_dim": 5,
  "linear_conv_kernel_dim": 3,
  "max_position_embeddings": 64,
  # The norms of heads magnify small outputs, and the rounding of both sides with them:
  # a large epsilon keeps it far below the tolerance.
  "rms_norm_eps": 1e-2,
}
# Name of the folder -> model type and settings.
MODELS = {
  "qwen3_next": ("qwen3_next", {"num_experts": 0, "attention_bias": True}),
  "qwen3_5": ("qwen3_5_text", {"tie_word_embeddings": True}),
}
