"""Tiny models of flash-linear-attention."""


def CONTEXT():  # noqa: N802
  """In which they are made and run: fla's kernels need an accelerator."""
  from interop.fla_on_cpu import torch_code

  return torch_code()


SIZES = {
  "vocab_size": 37,
  "hidden_size": 24,
  "intermediate_size": 40,
  "num_hidden_layers": 2,
  "norm_eps": 1e-2,  # large, so that the norms of heads do not magnify rounding
  "pad_token_id": None,
  "use_cache": False,
}
_DELTA = {"conv_size": 3, "allow_neg_eigval": True}
# Name of the folder -> model type and settings.
MODELS = {
  "gated_deltanet": (
    "gated_deltanet",
    {"num_heads": 2, "num_v_heads": 6, "head_dim": 8, "expand_v": 0.625, **_DELTA},
  ),
  "kda": ("kda", {"num_heads": 2, "num_v_heads": 4, "head_dim": 8, **_DELTA}),
  "delta_net": (
    "delta_net",
    {"num_heads": 3, "expand_k": 1.0, "expand_v": 1.5, **_DELTA},
  ),
  "gla": ("gla", {"num_heads": 3, "expand_k": 0.5, "tie_word_embeddings": True}),
  "retnet": ("retnet", {"num_heads": 3, "expand_k": 1.0, "expand_v": 1.5}),
  "hgrn2": ("hgrn2", {"expand_ratio": 8, "use_lower_bound": False}),
}
