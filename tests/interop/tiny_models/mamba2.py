"""Tiny models of Mamba-2."""

SIZES = {
  "vocab_size": 37,
  "hidden_size": 24,
  "num_hidden_layers": 3,
  "num_heads": 6,
  "head_dim": 8,
  "state_size": 5,
  "n_groups": 3,
  "conv_kernel": 3,
  "chunk_size": 16,
  "layer_norm_epsilon": 1e-5,
}
# Name of the folder -> model type and settings.
MODELS = {
  "mamba2": ("mamba2", {"tie_word_embeddings": False}),
  "mamba2_bounded": (
    "mamba2",
    {
      "time_step_limit": [0.5, 0.9],
      "use_bias": True,
      "use_conv_bias": False,
      "tie_word_embeddings": True,
    },
  ),
}
