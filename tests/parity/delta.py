"""Delta rules against transformers and fla's naive forms."""

import importlib
import inspect

import jax.numpy as jnp
import numpy as np

from jaxmem.ops import dplr, gated_delta, gated_delta_product

from .harness import Case, by_document, ours, shapes

HEADS, KEY, VALUE, WRITES = 3, 8, 6, 2
FLA = ("q", "k", "v", "g", "beta")
TRANSFORMERS = ("query", "key", "value", "g", "beta")


def _rule(module, name):
  # what transformers wraps calls fla's GPU kernel where fla is installed
  return inspect.unwrap(getattr(importlib.import_module(module), name))


def _named(module, name, names, **options):
  """Calls a peer with its inputs by name."""

  def load():
    rule = _rule(module, name)

    def run(params, inputs, state):
      named = dict(zip(names, inputs, strict=True)) | options
      y, s = rule(**named, initial_state=state[0], output_final_state=True)
      return y, (s,)

    return by_document(run)

  return load


def _heads_first(module, name):
  """Calls a peer with inputs [B, H, T, ...] by position."""

  def load():
    rule = _rule(module, name)

    def run(params, inputs, state):
      inputs = (a.transpose(1, 2) for a in inputs)
      y, s = rule(*inputs, initial_state=state[0])
      return y.transpose(1, 2), (s,)

    return by_document(run)

  return load


def _product():
  rule = _rule("fla.ops.gated_delta_product.naive", _PRODUCT)

  def run(params, inputs, state):
    q, k, v, g, beta = inputs
    k, v, beta = (a.flatten(1, 2) for a in (k, v, beta))
    y, s = rule(q, k, v, g, beta, KEY**-0.5, initial_state=state[0].clone(),
                output_final_state=True, num_householder=WRITES)  # fmt: skip
    return y, (s,)

  return by_document(run)


_PRODUCT = "naive_recurrent_gated_delta_product"


def _unit(a):
  return a / np.linalg.norm(a, axis=-1, keepdims=True)


def _sigmoid(a):
  return np.float32(1) / (1 + np.exp(-a))


def _legal(params, inputs, state):
  q, k, v, g, beta = inputs
  return params, (q, _unit(k), v, np.log(_sigmoid(g)), 2 * _sigmoid(beta)), state


def _legal_without_gate(params, inputs, state):
  q, k, v, beta = inputs
  return params, (q, _unit(k), v, 2 * _sigmoid(beta)), state


def _legal_dplr(params, inputs, state):
  q, k, v, a, b, g = inputs
  a = _unit(a)
  return params, (q, k, v, a, -a * _sigmoid(b), np.log(_sigmoid(g))), state


def _forms(op, convert=lambda q, *others: (q, *others)):
  """Runs our op on the inputs of peers, which scale q themselves."""

  def scaled(form, **options):
    run = ours(op, form, **options)

    def f(params, inputs, state):
      q, *others = convert(*inputs)
      return run(params, (q * KEY**-0.5, *others), state)

    return f

  chunk = {"chunk": scaled("chunk"), "chunk of 16": scaled("chunk", chunk_size=16)}
  return {"recurrent": scaled("recurrent")} | chunk


def _of(*inputs):
  return shapes(inputs=inputs, state=((HEADS, KEY, VALUE),))


WIDE, NARROW = (HEADS, KEY), (HEADS,)
QKV = (WIDE, WIDE, (HEADS, VALUE))
QWEN = "transformers.models.qwen3_next.modeling_qwen3_next"
KIMI = "transformers.models.kimi_linear.modeling_kimi_linear"


def _gated_case(op, module, name, gate):
  peer = f"{module.split('.')[0]} {name}"
  names = FLA if module.startswith("fla") else TRANSFORMERS
  theirs = _named(module, name, names)
  shape, forms = _of(*QKV, gate, NARROW), _forms(gated_delta)
  return Case(op, peer, module, shape, forms, theirs, _legal)


CASES = [
  _gated_case("gated_delta", QWEN, "torch_chunk_gated_delta_rule", NARROW),
  _gated_case("gated_delta", QWEN, "torch_recurrent_gated_delta_rule", NARROW),
  _gated_case(
    "gated_delta",
    "fla.ops.gated_delta_rule.naive",
    "naive_chunk_gated_delta_rule",
    NARROW,
  ),
  _gated_case(
    "gated_delta",
    "fla.ops.gated_delta_rule.naive",
    "naive_recurrent_gated_delta_rule",
    NARROW,
  ),
  _gated_case("gated_delta", "fla.ops.kda.naive", "naive_recurrent_kda", WIDE),
  _gated_case("gated_delta", KIMI, "chunk_kimi_delta_attention", WIDE),
  Case(
    "gated_delta",
    "fla delta_rule_recurrence, g = 0",
    "fla.ops.delta_rule.naive",
    _of(*QKV, NARROW),
    _forms(gated_delta, lambda q, k, v, b: (q, k, v, jnp.zeros_like(b), b)),
    _heads_first("fla.ops.delta_rule.naive", "delta_rule_recurrence"),
    _legal_without_gate,
  ),
  Case(
    "gated_delta_product",
    f"fla {_PRODUCT}",
    "fla.ops.gated_delta_product.naive",
    _of(WIDE, (WRITES, *WIDE), (WRITES, HEADS, VALUE), NARROW, (WRITES, HEADS)),
    _forms(gated_delta_product),
    _product,
    _legal,
  ),
  Case(
    "dplr",
    "fla dplr_recurrence",
    "fla.ops.generalized_delta_rule.dplr.naive",
    _of(*QKV, WIDE, WIDE, WIDE),
    _forms(dplr),
    _heads_first("fla.ops.generalized_delta_rule.dplr.naive", "dplr_recurrence"),
    _legal_dplr,
  ),
]
