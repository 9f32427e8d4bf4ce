"""A tiny model of RWKV-6."""

from interop.tiny_models import rwkv7

CONTEXT = rwkv7.CONTEXT
SIZES = {
  "vocab_size": 37,
  "hidden_size": 24,
  "intermediate_size": 40,
  "num_hidden_layers": 2,
  "num_heads": 3,
  "expand_k": 1.0,
  "expand_v": 1.0,
  "proj_low_rank_dim": 4,
  "gate_low_rank_dim": 5,
  "norm_eps": 1e-2,  # large, so that the norms of heads do not magnify rounding
  "pad_token_id": None,
  "use_cache": False,
}
# Name of the folder -> model type and settings.
MODELS = {"rwkv6": ("rwkv6", {"norm_bias": True})}
