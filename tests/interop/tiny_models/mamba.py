"""Tiny models of Mamba and Falcon-Mamba."""

SIZES = {
  "vocab_size": 37,
  "hidden_size": 24,
  "num_hidden_layers": 3,
  "state_size": 5,
  "conv_kernel": 3,
  "layer_norm_epsilon": 1e-5,
}
# Name of the folder -> model type and settings.
MODELS = {
  "mamba": ("mamba", {"time_step_rank": 3, "tie_word_embeddings": True}),
  "falcon_mamba": (
    "falcon_mamba",
    {
      "mixer_rms_eps": 1e-2,
      "num_hidden_layers": 2,
      "expand": 3,
      "use_bias": True,
      "use_conv_bias": False,
      "tie_word_embeddings": False,
    },
  ),
}
