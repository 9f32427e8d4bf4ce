"""Tiny models of Llama and its relatives."""

SIZES = {
  "vocab_size": 37,
  "hidden_size": 24,
  "intermediate_size": 40,
  "num_hidden_layers": 3,
  "num_attention_heads": 4,
  "num_key_value_heads": 2,
  "max_position_embeddings": 64,
  "rms_norm_eps": 1e-5,
}
_LLAMA3 = {
  "rope_type": "llama3",
  "rope_theta": 500.0,
  "factor": 4.0,
  "low_freq_factor": 1.0,
  "high_freq_factor": 4.0,
  "original_max_position_embeddings": 16,
}
_YARN = {
  "rope_type": "yarn",
  "rope_theta": 500.0,
  "factor": 4.0,
  "original_max_position_embeddings": 16,
}
# Name of the folder -> model type and settings.
MODELS = {
  "llama": ("llama", {"head_dim": 8, "tie_word_embeddings": False}),
  "llama3": (
    "llama",
    {"attention_bias": True, "rope_parameters": _LLAMA3, "tie_word_embeddings": True},
  ),
  "mistral": ("mistral", {"sliding_window": 8, "head_dim": 8}),
  "qwen2": (
    "qwen2",
    {"use_sliding_window": True, "sliding_window": 8, "max_window_layers": 1},
  ),
  "qwen3": ("qwen3", {"head_dim": 8, "rope_parameters": _YARN}),
}
