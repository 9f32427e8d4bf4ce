"""The peers' side: what a user would call instead, each only where it is installed.

A peer gets the arrays of a case in the layout it likes best, outside of the time that
is measured; it answers with the same y, in its layout.
"""

import dataclasses
import functools
import importlib
import importlib.util
import inspect
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

from jaxmem.bench.cases import Case


@dataclasses.dataclass(frozen=True)
class Peer:
  """Somebody else's function.

  Attributes:
    title: what the tables call it.
    distribution: the package whose version is reported.
    case: the case it takes part in.
    framework: "torch" or "jax".
    build: `case -> (f, arrays)`; `f(*arrays)` is y, and all arrays are differentiated.
  """

  title: str
  distribution: str
  case: str
  framework: str
  build: Callable[[Case], tuple[Callable, tuple]]

  @property
  def module(self) -> str:
    return self.distribution.replace("-", "_")

  def installed(self) -> bool:
    needs = {self.module, self.framework}
    return all(importlib.util.find_spec(name) is not None for name in needs)


def _heads_first(case: Case) -> tuple:
  """[B, T, H, K] -> [B, H, T, K], contiguous: the layout torch's attention wants."""
  _, inputs, _ = case.draw()
  return tuple(np.ascontiguousarray(a.swapaxes(1, 2)) for a in inputs)


def _torch_sdpa(case):
  import torch

  attend = torch.nn.functional.scaled_dot_product_attention
  return functools.partial(attend, is_causal=True), _heads_first(case)


def _torch_window(case):
  """Blocks of W queries on 2 W keys under a mask: torch's fastest way at long T."""
  import torch

  size = case.draw()[2].k.shape[1]
  query, key = torch.arange(size)[:, None], torch.arange(2 * size)
  near = (key > query) & (key <= query + size)

  def blocks(a):
    a = torch.nn.functional.pad(a, (0, 0, size, 0)).unflatten(2, (-1, size))
    return torch.cat([a[:, :, :-1], a[:, :, 1:]], dim=3)  # [B, H, T/W, 2 W, K]

  def attend(q, k, v):
    count = q.shape[2] // size
    seen = near.repeat(count, 1, 1)
    seen[0, :, :size] = False  # nothing stands before the first block
    flat = lambda a: a.flatten(0, 1)
    y = torch.nn.functional.scaled_dot_product_attention(
      *(flat(a) for a in (q.unflatten(2, (-1, size)), blocks(k), blocks(v))),
      attn_mask=seen,
    )
    return y.flatten(1, 2).unflatten(0, q.shape[:2])

  return attend, _heads_first(case)


def _transformers_gated_delta(case):
  package = "transformers.models.qwen3_next.modeling_qwen3_next"
  rule = importlib.import_module(package).torch_chunk_gated_delta_rule
  rule = inspect.unwrap(rule)  # what wraps it prefers kernels that need a GPU
  q, *rest = case.draw()[1]
  q = q * q.shape[-1] ** 0.5  # it scales q itself
  return lambda *inputs: rule(*inputs)[0], (q, *rest)


def _accelerated_scan(case):
  scan = importlib.import_module("accelerated_scan.ref").scan
  time_last = lambda a: np.ascontiguousarray(a.swapaxes(1, 2))
  return scan, tuple(map(time_last, case.draw()[1]))


def _torch_lstm(case):
  import torch

  (w, r, b), (x,), _ = case.draw()
  module = torch.nn.LSTM(w.shape[0], r.shape[0], batch_first=True)
  names = ("weight_ih_l0", "weight_hh_l0", "bias_ih_l0", "bias_hh_l0")

  def run(x, *weights):
    named = dict(zip(names, weights, strict=True))
    return torch.func.functional_call(module, named, (x,))[0]

  return run, (x, *map(np.ascontiguousarray, (w.T, r.T, b, np.zeros_like(b))))


def _flax_lstm(case):
  from flax import linen

  (w, r, b), (x,), _ = case.draw()
  hidden = r.shape[0]
  layer = linen.RNN(linen.OptimizedLSTMCell(hidden))
  variables = layer.init(jax.random.key(0), x)
  cell = dict(variables["params"]["cell"])
  for i, gate in enumerate("ifgo"):
    part = lambda a, i=i: a[..., i * hidden : (i + 1) * hidden]
    cell["i" + gate] = {"kernel": part(w)}
    cell["h" + gate] = {"kernel": part(r), "bias": part(b)}
  return lambda cell, x: layer.apply({"params": {"cell": cell}}, x), (cell, x)


def _jax_nn_attention(case):
  attend = functools.partial(jax.nn.dot_product_attention, is_causal=True)
  return attend, tuple(map(jnp.asarray, case.draw()[1]))


PEERS = {
  "torch_sdpa": Peer("torch SDPA", "torch", "attention", "torch", _torch_sdpa),
  "jax_nn_attention": Peer(
    "jax.nn.dot_product_attention", "jax", "attention", "jax", _jax_nn_attention
  ),
  "torch_window": Peer(
    "torch SDPA, blocks of 2 W", "torch", "window", "torch", _torch_window
  ),
  "transformers_gated_delta": Peer(
    "transformers torch_chunk_gated_delta_rule",
    "transformers",
    "gated_delta",
    "torch",
    _transformers_gated_delta,
  ),
  "accelerated_scan": Peer(
    "accelerated_scan.ref", "accelerated-scan", "diagonal", "torch", _accelerated_scan
  ),
  "torch_lstm": Peer("torch nn.LSTM", "torch", "lstm", "torch", _torch_lstm),
  "flax_lstm": Peer("flax OptimizedLSTMCell", "flax", "lstm", "jax", _flax_lstm),
}


def installed(case: str) -> list[str]:
  """The peers of a case that can run here."""
  return [name for name, p in PEERS.items() if p.case == case and p.installed()]
