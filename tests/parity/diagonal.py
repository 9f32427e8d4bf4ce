"""Diagonal recurrences against transformers, recurrentgemma, accelerated-scan."""

import importlib

import jax
import jax.numpy as jnp
import numpy as np

from jaxmem.bench.peers.diagonal import recurrentgemma
from jaxmem.ops import rglru
from jaxmem.ops.recurrence import linear_scan

from .harness import BORDERS, LENGTH, RESET, ROWS, Case, ours, shapes


def _hawk_ours(form):
  """Runs RG-LRU with Hawk's gates: lambda is minus the released parameter."""
  run = ours(rglru, form)

  def layer(params, inputs, state):
    decay, (wi, bi, wr, br), (x,) = params[0], params[1:], inputs
    cut = x.reshape(*x.shape[:2], *bi.shape)

    def gate(w, b):
      return jax.nn.sigmoid((jnp.einsum("bthi,hij->bthj", cut, w) + b).reshape(x.shape))

    r, i = gate(wr, br), gate(wi, bi)
    # the released code scales a document's first token by 1, not by sqrt(1 - a^2)
    a = jnp.exp(-8 * r * jax.nn.softplus(decay))
    x = jnp.where(RESET[..., None], x / jnp.sqrt(1 - a * a), x)
    return run((-decay,), (x, r, i), state)

  return layer


def _positions():
  position = np.arange(LENGTH)[None] + 50 * np.ones((ROWS, 1), int)
  for border in BORDERS:
    position[:, border:] = np.arange(LENGTH - border)
  return position


def _transformers_rglru():
  torch = importlib.import_module("torch")
  package = importlib.import_module("transformers.models.recurrent_gemma")
  config = package.RecurrentGemmaConfig(lru_width=8, num_attention_heads=2)
  module = package.modeling_recurrent_gemma.RecurrentGemmaRglru(config)

  def run(params, inputs, state):
    gates = [f"{gate}_gate_{kind}" for gate in ("input", "recurrent")
             for kind in ("weight", "bias")]  # fmt: skip
    named = dict(zip(("recurrent_param", *gates), params, strict=True))
    module.recurrent_states = state[0]
    y = torch.func.functional_call(
      module, named, (inputs[0], torch.tensor(_positions()))
    )
    return y, (module.recurrent_states,)

  return run


def _recurrentgemma():
  layers = recurrentgemma("jax.layers")
  module = layers.RGLRU(width=8, num_heads=2)

  def run(params, inputs, state):
    decay, wi, bi, wr, br = params
    gates = {"input_gate": {"w": wi, "b": bi}, "a_gate": {"w": wr, "b": br}}
    tree = {"params": {"a_param": decay, **gates}}
    y, h = module.apply(
      tree, jnp.asarray(inputs[0]), jnp.asarray(_positions()), state[0]
    )
    return y, (h,)

  return run


def _accelerated_scan():
  torch = importlib.import_module("torch")
  scan = importlib.import_module("accelerated_scan.ref").scan

  def run(params, inputs, state):
    a, b = inputs
    b = torch.cat([b[:, :1] + a[:, :1] * state[0][:, None], b[:, 1:]], dim=1)
    y = scan(a.mT.contiguous(), b.mT.contiguous()).mT
    return y, (y[:, -1],)

  return run


def _diagonal_ours(form):
  def run(params, inputs, state):
    y, last = linear_scan.SCANS[form](*inputs, *state)
    return y, (last,)

  return run


def _hawk_case(peer, module, theirs, framework="torch"):
  gate = ((2, 4, 4), (2, 4))
  forms = {form: _hawk_ours(form) for form in rglru.FORMS}
  of = shapes(((8,), *gate, *gate), inputs=((8,),), state=((8,),))
  return Case("rglru", peer, module, of, forms, theirs, framework=framework)


CASES = [
  _hawk_case(
    "transformers RecurrentGemmaRglru",
    "transformers.models.recurrent_gemma.modeling_recurrent_gemma",
    _transformers_rglru,
  ),
  _hawk_case(
    "recurrentgemma RGLRU", "recurrentgemma.jax.layers", _recurrentgemma, "jax"
  ),
  Case(
    "diagonal",
    "accelerated_scan.ref",
    "accelerated_scan.ref",
    shapes(inputs=((5,), (5,)), state=((5,),)),
    {form: _diagonal_ours(form) for form in linear_scan.SCANS},
    _accelerated_scan,
    lambda p, i, s: (p, (1 / (1 + np.exp(-i[0])), i[1]), s),
  ),
]
