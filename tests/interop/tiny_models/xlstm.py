"""Tiny models of xLSTM.

transformers rounds the sizes of its cache up to 64, so these small ones have none.
"""

SIZES = {
  "vocab_size": 37,
  "hidden_size": 24,
  "embedding_dim": 24,
  "num_hidden_layers": 2,
  "num_blocks": 2,
  "num_heads": 3,
  "qk_dim_factor": 0.5,
  "v_dim_factor": 1.5,
  "ffn_proj_factor": 1.6,
  "ffn_round_up_to_multiple_of": 16,
  "gate_soft_cap": 1.5,
  "output_logit_soft_cap": 4.0,
  "norm_eps": 1e-3,
  "chunk_size": 16,
  "autocast_kernel_dtype": "float32",
  "use_cache": False,
}
# Name of the folder -> model type and settings.
MODELS = {"xlstm": ("xlstm", {})}
