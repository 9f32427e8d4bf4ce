"""What was promised about speed and memory."""

from jaxmem import ops
from jaxmem.bench.case import FORWARD, OURS, Target
from jaxmem.bench.cases import SIZES


def targets() -> list[Target]:
  """What was promised, as fractions of a peer's."""
  promised = [
    Target("causal attention", "attention", ("attention", "torch_sdpa"), 0.87, 0.70),
    Target(
      "causal attention, memory",
      "attention",
      ("attention", "jax_nn_attention"),
      0.1,
      0.03,
      "temp_bytes",
    ),
    Target("window 512", "window", ("window", "torch_window"), 0.62, 0.4),
    Target(
      "diagonal recurrence", "diagonal", ("diagonal", "accelerated_scan"), 0.45, 0.30
    ),
    Target(
      "diagonal recurrence", "diagonal", ("diagonal", "recurrentgemma_scan"), 0.75, 0.5
    ),
    Target("RG-LRU with its gates", "rglru", ("rglru", "recurrentgemma"), 0.75, 0.5),
    Target(
      "LRU",
      "complex_diagonal",
      ("complex_diagonal", "recurrentgemma_complex"),
      0.75,
      0.5,
    ),
    Target(
      "Mamba, memory beside inputs and outputs",
      "mamba",
      ("mamba", OURS),
      4.0,
      2.0,
      "temp_bytes",
      "io_bytes",
    ),
    Target("LSTM", "lstm", ("lstm", "torch_lstm"), 1.35, 1.0),
    Target("LSTM", "lstm", ("lstm", "flax_lstm"), 0.62, 0.5),
    Target("GRU", "gru", ("gru", "torch_gru"), 0.70, 0.5),
    Target("sLSTM", "slstm", ("slstm", "xlstm_slstm"), 0.15, 0.07),
    Target(
      "gated delta rule",
      "gated_delta",
      ("gated_delta", "transformers_gated_delta"),
      0.40,
      0.25,
    ),
    Target("KDA", "kda", ("gated_delta", OURS), 2.0, 1.3),
    Target("RWKV-7", "dplr", ("dplr", "fla_dplr"), 0.20, 0.10),
    Target(
      "Mamba-2", "gated_linear", ("gated_linear", "transformers_mamba2"), 0.36, 0.20
    ),
    Target("retention", "retention", ("retention", "fla_simple_gla"), 0.45, 0.30),
    Target("mLSTM", "mlstm", ("mlstm", "mlstm_kernels"), 0.50, 0.30),
    Target(
      "a step of an 11 M hybrid",
      "decode",
      ("decode", "torch_decode"),
      0.9,
      0.5,
      direction=FORWARD,
    ),
    Target(
      "Mamba-2 that writes",
      "decode_mamba2",
      ("decode_mamba2", "transformers_generate"),
      0.3,
      0.3,
      direction=FORWARD,
    ),
  ]
  growth = [
    Target(
      f"{name}: ns per token, 64k / 8k",
      f"{name}_long",
      (f"{name}_short", OURS),
      1.25,
      1.1,
      "ns_per_token",
    )
    for name in sorted({*ops.names(), *SIZES})
  ]
  return promised + growth
