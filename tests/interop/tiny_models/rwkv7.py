"""A tiny model of RWKV-7."""


def CONTEXT():  # noqa: N802
  """In which it is made and run: fla's kernels need an accelerator."""
  from interop.fla_on_cpu import torch_code

  return torch_code()


SIZES = {
  "vocab_size": 37,
  "hidden_size": 24,
  "intermediate_size": 40,
  "num_hidden_layers": 3,
  "head_dim": 8,
  "decay_low_rank_dim": 4,
  "a_low_rank_dim": 5,
  "gate_low_rank_dim": 6,
  "v_low_rank_dim": 7,
  "norm_eps": 1e-2,  # large, so that the norms of heads do not magnify rounding
  "pad_token_id": None,
  "use_cache": False,
}
# Name of the folder -> model type and settings.
MODELS = {"rwkv7": ("rwkv7", {})}
