"""Forgetting attention against fla, Transformer-XL against a loop in torch."""

import importlib

import numpy as np

from jaxmem.ops import forgetting_attention, transformer_xl

from .harness import LENGTH, RESET, ROWS, Case, by_document, shapes

HEADS, KEY_HEADS, DIM, SEGMENT, MEMORY = 4, 2, 8, 5, 3
QKV = ((HEADS, DIM), (KEY_HEADS, DIM), (KEY_HEADS, DIM))


def _ours(op, form, sizes, **options):
  """Runs our op from the empty memory and returns only y."""

  def run(params, inputs, state):
    empty = op.init_state(ROWS, *sizes)
    y, _ = op.FORMS[form](params, inputs, empty, RESET, **options)
    return y, ()

  return run


def _forms(op, sizes, **options):
  return {
    "recurrent": _ours(op, "recurrent", sizes, **options),
    "parallel": _ours(op, "parallel", sizes, **options),
    "parallel, blocks of 8": _ours(op, "parallel", sizes, block_size=8, **options),
  }


def _fla_forgetting():
  naive = importlib.import_module("fla.ops.forgetting_attn.naive")
  return by_document(lambda p, inputs, s: (naive.naive_forgetting_attn(*inputs), ()))


def _gates(params, inputs, state):
  """Makes g the log of a forget gate, and shuts a few of them nearly."""
  *qkv, g = inputs
  return params, (*qkv, -np.logaddexp(0, 4 * g - 4).astype(np.float32)), state


def _segments():
  """Computes section 3.3 query by query; the memory is detached, as in the paper."""
  torch = importlib.import_module("torch")

  def run(params, inputs, state):
    (u, w, r), (q, k, v) = params, inputs
    outputs = []
    for p in range(q.shape[1]):
      begin = p // SEGMENT * SEGMENT
      first = max(begin - MEMORY, 0)

      def spread(a, f=first, b=begin, p=p):
        return torch.cat(
          [a[:, f:b].detach(), a[:, b : p + 1]], dim=1
        ).repeat_interleave(HEADS // KEY_HEADS, dim=2)

      keys, values = spread(k), spread(v)
      content = torch.einsum("bad,bsad->bas", q[:, p] + u, keys)
      distances = torch.arange(p - first, -1, -1)
      distance_scores = torch.einsum("bad,sad->bas", q[:, p] + w, r[distances])
      weights = torch.softmax((content + distance_scores) * DIM**-0.5, dim=-1)
      outputs.append(torch.einsum("bas,bsad->bad", weights, values))
    return torch.stack(outputs, dim=1), ()

  return by_document(run)


CASES = [
  Case(
    "forgetting_attention",
    "fla naive_forgetting_attn",
    "fla.ops.forgetting_attn.naive",
    shapes(inputs=(*QKV, (HEADS,))),
    _forms(forgetting_attention, (LENGTH, HEADS, KEY_HEADS, DIM, DIM)),
    _fla_forgetting,
    _gates,
  ),
  Case(
    "transformer_xl",
    "the paper's loop (torch)",
    "torch",
    shapes(
      params=((HEADS, DIM), (HEADS, DIM), (SEGMENT + MEMORY, HEADS, DIM)), inputs=QKV
    ),
    _forms(
      transformer_xl, (SEGMENT, MEMORY, KEY_HEADS, DIM, DIM), segment_length=SEGMENT
    ),
    _segments,
  ),
]
