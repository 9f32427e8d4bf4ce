"""Tiny models of Gemma, Gemma 2 and Gemma 3.

Transformers computes soft caps of scores in its eager attention alone.
"""

from interop.tiny_models import llama

# torch gives no gradient to the row of the padding
_HEADS = {"num_key_value_heads": 1, "head_dim": 8, "pad_token_id": None}
SIZES = llama.SIZES | _HEADS
_CAPS = {"attn_logit_softcapping": 2.0, "final_logit_softcapping": 3.0}
_ROPES = {
  "sliding_attention": {"rope_type": "default", "rope_theta": 20.0},
  "full_attention": {"rope_type": "linear", "rope_theta": 300.0, "factor": 4.0},
}
_NARROW = {"hidden_size": 16, "intermediate_size": 24, "num_key_value_heads": 2}
# Name of the folder -> model type and settings.
MODELS = {
  "gemma": ("gemma", {}),
  "gemma2": (
    "gemma2",
    {
      **_NARROW,
      "num_hidden_layers": 5,
      "sliding_window": 8,
      "query_pre_attn_scalar": 12,
      "attn_implementation": "eager",
      **_CAPS,
    },
  ),
  "gemma3": (
    "gemma3_text",
    {
      **_NARROW,
      "num_hidden_layers": 7,
      "sliding_window": 6,
      "query_pre_attn_scalar": 10,
      "rope_parameters": _ROPES,
    },
  ),
}
