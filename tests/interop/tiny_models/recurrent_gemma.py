"""Tiny models of RecurrentGemma; five layers leave a remainder of its pattern of three.

No token is one of padding, whose embedding has no gradient in transformers.
"""

SIZES = {
  "vocab_size": 37,
  "hidden_size": 24,
  "intermediate_size": 60,
  "num_hidden_layers": 5,
  "num_attention_heads": 3,
  "num_key_value_heads": 1,
  "attention_window_size": 8,
  "pad_token_id": None,
}
# Name of the folder -> model type and settings.
MODELS = {
  "recurrent_gemma": (
    "recurrent_gemma",
    {"lru_width": 18, "conv1d_width": 3, "logits_soft_cap": 5.0},
  ),
}
