"""The naive ops of fla, in torch, between projections of a short layer of ours.

Its layers and kernels are Triton's: they need a GPU and are not run here.
"""

import importlib
from collections.abc import Callable

from .layer import D_MODEL, NOTHING, Layer, of_torch_calls

PACKAGE = "flash-linear-attention"
PATH = "naive op in torch; on a GPU users run the Triton kernels"
HEADS, KEY, VALUE = 2, 4, 3
HOUSEHOLDERS = 2

# What an op reads: name -> (shape behind [B, T], how the projection becomes it).
HEAD_SIZES = {
  "q": ((HEADS, KEY), "plain"),
  "k": ((HEADS, KEY), "unit"),
  "v": ((HEADS, VALUE), "plain"),
}
BETA = {"beta": ((HEADS,), "sigmoid")}
DECAY = {"g": ((HEADS,), "log_decay")}
DECAYS = {"g": ((HEADS, KEY), "log_decay")}


def _projected(parts: dict):
  """Returns a module that projects x to `parts`, and o back to x."""
  import torch

  features = {name: torch.Size(shape).numel() for name, (shape, _) in parts.items()}
  become = {
    "plain": lambda a: a,
    "unit": lambda a: torch.nn.functional.normalize(a, dim=-1),
    "sigmoid": torch.sigmoid,
    "log_decay": torch.nn.functional.logsigmoid,
  }

  class Projected(torch.nn.Module):
    """Projections around an op."""

    def __init__(self):
      super().__init__()
      self.into = torch.nn.Linear(D_MODEL, sum(features.values()))
      width = D_MODEL if "x" in parts else HEADS * VALUE
      self.out = torch.nn.Linear(width, D_MODEL)

    def forward(self, x, op, **options):
      pieces = self.into(x).split(list(features.values()), dim=-1)
      inputs = {
        name: become[kind](piece.unflatten(-1, shape))
        for piece, (name, (shape, kind)) in zip(pieces, parts.items(), strict=True)
      }
      o, state = op(**inputs, **options)
      return self.out(o.flatten(2).to(x.dtype)), state

  return Projected()


def _heads_first(op: Callable) -> Callable:
  """Makes an op of [B, H, T, K] one of [B, T, H, K]."""

  def run(initial_state=None, output_final_state=True, **inputs):
    o, state = op(
      **{name: a.transpose(1, 2) for name, a in inputs.items()},
      initial_state=initial_state,
      output_final_state=output_final_state,
    )
    return o.transpose(1, 2), state

  return run


def _named(op: Callable, **names: str) -> Callable:
  """Renames inputs to an op's own names."""

  def run(**inputs):
    return op(**{names.get(name, name): value for name, value in inputs.items()})

  return run


def _row(name: str, op: Callable, parts: dict, carries: bool = True) -> Layer:
  """Returns the row of an op that cannot be told of documents."""

  def call(module, x, reset):
    return module(x, op, **({"output_final_state": False} if carries else {}))[0]

  def carry(module, x, state):
    (before,) = state or (None,)
    y, after = module(x, op, initial_state=before, output_final_state=True)
    return y, (after,)

  return of_torch_calls(
    _projected(parts), call, carry if carries else None, None,
    name=f"fla {name}", package=PACKAGE, path=PATH, told=NOTHING, claims=False,
  )  # fmt: skip


def _gated_delta_product() -> Layer:
  """The one naive op that takes `cu_seqlens`, of a flattened batch."""
  import torch

  naive = importlib.import_module("fla.ops.gated_delta_product.naive")
  several = {
    "k": ((HOUSEHOLDERS, HEADS, KEY), "unit"),
    "v": ((HOUSEHOLDERS, HEADS, VALUE), "plain"),
    "beta": ((HOUSEHOLDERS, HEADS), "sigmoid"),
  }

  def op(q, k, v, g, beta, **options):
    # a token's key-value pairs lie one behind the other in time
    k, v, beta = (a.flatten(1, 2) for a in (k, v, beta))
    return naive.naive_recurrent_gated_delta_product(
      q, k, v, g, beta, KEY**-0.5, num_householder=HOUSEHOLDERS, **options
    )

  def call(module, x, reset):
    if not reset.any():
      return module(x, op)[0]
    begins = reset.clone()
    begins[:, 0] = True  # every row is a document of its own
    begins = begins.flatten().nonzero().flatten()
    offsets = torch.cat([begins, torch.tensor([reset.numel()])])
    return module(x.flatten(0, 1)[None], op, cu_seqlens=offsets)[0].view_as(x)

  def carry(module, x, state):
    (before,) = state or (None,)
    y, after = module(x, op, initial_state=before, output_final_state=True)
    return y, (after,)

  return of_torch_calls(
    _projected({**HEAD_SIZES, **several, **DECAY}), call, carry, None,
    name="fla naive_recurrent_gated_delta_product", package=PACKAGE, path=PATH,
    told="`cu_seqlens`", claims=True,
  )  # fmt: skip


def layers() -> list[Layer]:
  """Returns the rows of fla's naive ops."""
  import torch

  torch.manual_seed(0)

  def ops(name):
    return importlib.import_module(f"fla.ops.{name}.naive")

  delta, gated = ops("delta_rule"), ops("gated_delta_rule")
  dplr = ops("generalized_delta_rule.dplr")
  recurrent = (
    "naive_recurrent_gla",
    "naive_recurrent_simple_gla",
    "naive_recurrent_kda",
  )
  gla, simple, kda = (
    getattr(ops(name.removeprefix("naive_recurrent_")), name) for name in recurrent
  )

  def chunked(**inputs):
    return gated.naive_chunk_gated_delta_rule(**inputs, chunk_size=8)

  def retention(q, k, v):
    q, k, v = (a.transpose(1, 2) for a in (q, k, v))
    return ops("retention").naive_retention(q, k, v).transpose(1, 2), None

  low_rank = {
    "alpha": ((HEADS, KEY), "unit"),
    "beta": ((HEADS, KEY), "unit"),
    "gk": ((HEADS, KEY), "log_decay"),
  }
  channels = {"x": ((D_MODEL,), "plain"), "g": ((D_MODEL,), "log_decay")}
  recurrence = gated.naive_recurrent_gated_delta_rule
  hgrn = ops("hgrn").naive_recurrent_hgrn
  rule, general = delta.delta_rule_recurrence, dplr.dplr_recurrence
  linear = ops("linear_attn").naive_recurrent_linear_attn
  return [
    _row(recurrence.__name__, recurrence, {**HEAD_SIZES, **BETA, **DECAY}),
    _row("naive_chunk_gated_delta_rule", chunked, {**HEAD_SIZES, **BETA, **DECAY}),
    _gated_delta_product(),
    _row(rule.__name__, _heads_first(rule), {**HEAD_SIZES, **BETA}),
    _row(kda.__name__, kda, {**HEAD_SIZES, **BETA, **DECAYS}),
    _row(gla.__name__, _named(gla, g="gk"), {**HEAD_SIZES, **DECAYS}),
    _row(simple.__name__, simple, {**HEAD_SIZES, **DECAY}),
    _row(linear.__name__, linear, HEAD_SIZES),
    _row("dplr_recurrence (RWKV-7)", _heads_first(general), {**HEAD_SIZES, **low_rank}),
    _row(hgrn.__name__, hgrn, channels),
    _row("naive_retention", retention, HEAD_SIZES, carries=False),
  ]
