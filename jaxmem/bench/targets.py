"""The targets: what was promised about speed and memory."""

from jaxmem.bench.case import FORWARD, OURS, Target
from jaxmem.bench.cases import growing

# Each line: row, our case, the other side (a contestant, or CASE:CONTESTANT), must,
# stretch. TIMES are seconds of forward and backward.
TIMES = (
  ("causal attention", "attention", "torch_sdpa", 0.87, 0.65),
  ("causal attention, 16k", "attention_16k", "torch_sdpa_16k", 0.97, 0.80),
  ("window 512", "window", "torch_window", 0.62, 0.4),
  ("Longformer layer", "longformer_layer", "torch_dense", 0.2, 0.1),
  ("Longformer layer", "longformer_layer", "transformers_longformer", 0.5, 0.3),
  ("diagonal recurrence", "diagonal", "accelerated_scan", 0.45, 0.30),
  ("diagonal recurrence", "diagonal", "recurrentgemma_scan", 0.75, 0.5),
  ("RG-LRU with its gates", "rglru", "recurrentgemma", 0.75, 0.5),
  ("LRU", "complex_diagonal", "recurrentgemma_complex", 0.75, 0.5),
  ("LSTM", "lstm", "torch_lstm", 1.35, 1.0),
  ("LSTM", "lstm", "flax_lstm", 0.62, 0.5),
  ("GRU", "gru", "torch_gru", 0.70, 0.5),
  ("sLSTM", "slstm", "xlstm_slstm", 0.15, 0.07),
  ("gated delta rule", "gated_delta", "transformers_gated_delta", 0.40, 0.25),
  ("KDA", "kda", f"gated_delta:{OURS}", 2.0, 1.3),
  ("RWKV-7", "dplr", "fla_dplr", 0.20, 0.10),
  ("Mamba-2", "gated_linear", "transformers_mamba2", 0.36, 0.20),
  ("retention", "retention", "fla_simple_gla", 0.45, 0.30),
  ("mLSTM", "mlstm", "mlstm_kernels", 0.50, 0.30),
)
MODELS = (
  ("a step of an 11 M hybrid", "decode", "torch_decode", 0.9, 0.5),
  ("Mamba-2 that writes", "decode_mamba2", "transformers_generate", 0.3, 0.3),
  ("a step on a cache of 64k", "decode_cache", "torch_copy", 2.0, 1.5),
)
BYTES = (
  ("causal attention, memory", "attention", "jax_nn_attention", 0.1, 0.03),
  (
    "causal attention: memory, 16k / 4k",
    "attention_16k",
    f"attention:{OURS}",
    4.4,
    4.0,
  ),
)
PER_TOKEN = (
  ("block-sparse: ns per block, a tenth / all", "blocks_tenth", "blocks_all", 1.3, 1.1),
  ("window 512: ns per token, 128k / 8k", "window_128k", "window_short", 1.2, 1.1),
)


def targets() -> list[Target]:
  """Returns what was promised, as fractions of a peer's measure."""
  # no op's time a token may grow with the length
  growth = [
    (f"{name}: ns per token, 64k / 8k", f"{name}_long", f"{name}_short", 1.25, 1.1)
    for name in growing()
  ]
  per_token = [
    Target(row, ours, (other, OURS), must, stretch, "ns_per_token")
    for row, ours, other, must, stretch in (*PER_TOKEN, *growth)
  ]
  return [
    *(_target(*line) for line in TIMES),
    *(_target(*line, measure="temp_bytes") for line in BYTES),
    Target(
      "Mamba, memory beside inputs and outputs",
      "mamba",
      ("mamba", OURS),
      4.0,
      2.0,
      "temp_bytes",
      "io_bytes",
    ),
    *(_target(*line, direction=FORWARD) for line in MODELS),
    *per_token,
  ]


def _target(
  row: str, ours: str, other: str, must: float, stretch: float, **fields: str
) -> Target:
  """Returns a line of the tables above as a target; `fields` are more fields of it."""
  case, _, who = other.rpartition(":")
  return Target(row, ours, (case or ours, who), must, stretch, **fields)
