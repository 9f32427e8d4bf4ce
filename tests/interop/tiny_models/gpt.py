"""Tiny models of GPT-2, GPT-NeoX and SmolLM3."""

SIZES = {"vocab_size": 37}
_GPT2 = {"n_embd": 24, "n_layer": 3, "n_head": 4, "n_positions": 48}
_NEOX = {
  "hidden_size": 24,
  "intermediate_size": 40,
  "num_hidden_layers": 3,
  "num_attention_heads": 3,
  "max_position_embeddings": 64,
}
_SMOLLM3 = _NEOX | {
  "num_hidden_layers": 5,
  "hidden_size": 16,
  "intermediate_size": 24,
  "num_attention_heads": 4,
  "num_key_value_heads": 2,
  "pad_token_id": None,
  "rms_norm_eps": 1e-5,
}
# Name of the folder -> model type and settings.
MODELS = {
  "gpt2": ("gpt2", _GPT2 | {"n_inner": 40}),
  "gpt_neox": (
    "gpt_neox",
    _NEOX | {"rope_parameters": {"rope_theta": 50.0, "partial_rotary_factor": 0.5}},
  ),
  "pythia": (
    "gpt_neox",
    _NEOX
    | {"use_parallel_residual": False, "attention_bias": False}
    | {"hidden_size": 16, "num_attention_heads": 2},
  ),
  "smollm3": ("smollm3", _SMOLLM3),
}
