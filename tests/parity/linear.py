"""Linear attention and its gates against fla's naive forms."""

import importlib

import jax.numpy as jnp
import numpy as np

from jaxmem.ops import gated_linear

from .harness import Case, by_document, ours, shapes

H, K, V = 3, 8, 6
FORMS = {"recurrent": {}, "chunk": {}, "chunk of 16": {"chunk_size": 16}}


def _forms(make):
  """Returns `make(run)` of every form of the op."""

  def run(name, sizes):
    return ours(gated_linear, name.split()[0], **sizes)

  return {name: make(run(name, sizes)) for name, sizes in FORMS.items()}


def _naive(module, name):
  return getattr(importlib.import_module(f"fla.ops.{module}"), name)


def _gla():
  rule = _naive("gla.naive", "naive_recurrent_gla")

  def run(params, inputs, state):
    y, s = rule(*inputs, initial_state=state[0], output_final_state=True)
    return y, (s,)

  return by_document(run)


def _simple_gla():
  rule = _naive("simple_gla.naive", "naive_chunk_simple_gla")

  def run(params, inputs, state):
    y, s = rule(*inputs, initial_state=state[0], output_final_state=True, chunk_size=4)
    return y, (s,)

  return by_document(run)


def _rwkv6():
  rule = _naive("rwkv6.recurrent_naive", "naive_recurrent_rwkv6")

  def run(params, inputs, state):
    inputs = (a.transpose(1, 2) for a in inputs)
    y, s = rule(*inputs, *params, initial_state=state[0], output_final_state=True)
    return y.transpose(1, 2), (s,)

  return by_document(run)


def _scaled(run):
  """Scales q for our op, as fla does itself."""

  def scaled(params, inputs, state):
    q, *others = inputs
    return run(params, (q * q.shape[-1] ** -0.5, *others), state)

  return scaled


def _gated_case(peer, theirs, gate, params=()):
  of = shapes(params, ((H, K), (H, K), (H, V), gate), ((H, K, V),))

  def legal(params, inputs, state):
    *qkv, g = inputs
    return params, (*qkv, -g * g), state

  module = "fla.ops.gla.naive"
  return Case("gated_linear", peer, module, of, _forms(_scaled), theirs, legal)


def _linear_attention(normalize):
  def load():
    rule = _naive("linear_attn.naive", "naive_recurrent_linear_attn")

    def run(params, inputs, state):
      start = (state[0], state[1][:, None]) if normalize else state[0]
      y, s = rule(*inputs, 1.0, start, output_final_state=True, normalize=normalize)
      return y, (s[0], s[1][:, 0]) if normalize else (s,)

    return by_document(run)

  return load


def _ungated(run):
  def ungated(params, inputs, state):
    return run(params, (*inputs, jnp.zeros(inputs[2].shape[:3])), state)

  return ungated


def _normalized(run):
  """Computes the denominator as one more column of values."""

  def normalized(params, inputs, state):
    q, k, v = inputs
    v = jnp.concatenate([v, jnp.ones_like(v[..., :1])], -1)
    s = jnp.concatenate([state[0], state[1][..., None]], -1)
    y, (s,) = _ungated(run)(params, (q, k, v), (s,))
    return y[..., :-1] / y[..., -1:], (s[..., :-1], s[..., -1])

  return normalized


def _positive(params, inputs, state):
  q, k, v = inputs
  return params, (np.abs(q), np.abs(k), v), tuple(map(np.abs, state))


def _linear_case(normalize):
  name, wrap = "fla naive_recurrent_linear_attn", _ungated
  state, prepare = ((H, K, V),), lambda *trees: trees
  if normalize:
    name, wrap, prepare = f"{name}, normalized", _normalized, _positive
    state = (*state, (H, K))
  of = shapes(inputs=((H, K), (H, K), (H, V)), state=state)
  module, theirs = "fla.ops.linear_attn.naive", _linear_attention(normalize)
  return Case("gated_linear", name, module, of, _forms(wrap), theirs, prepare)


CASES = [
  _gated_case("fla naive_recurrent_gla", _gla, (H, K)),
  _gated_case("fla naive_chunk_simple_gla", _simple_gla, (H,)),
  _gated_case("fla naive_recurrent_rwkv6", _rwkv6, (H, K), ((H, K),)),
  _linear_case(normalize=False),
  _linear_case(normalize=True),
]
