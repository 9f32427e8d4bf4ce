"""Delta rules against transformers and fla's naive forms."""

import importlib
import inspect

import numpy as np

from jaxmem.ops import gated_delta

from .harness import Case, by_document, ours, shapes


def _delta_peer(module, name):
  def load():
    # what transformers wraps calls fla's GPU kernel where fla is installed
    rule = inspect.unwrap(getattr(importlib.import_module(module), name))

    def run(params, inputs, state):
      names = ("q", "k", "v") if module.startswith("fla") else ("query", "key", "value")
      named = dict(zip((*names, "g", "beta"), inputs, strict=True))
      y, s = rule(**named, initial_state=state[0], output_final_state=True)
      return y, (s,)

    return by_document(run)

  return load


def _delta_legal(params, inputs, state):
  q, k, v, g, beta = inputs
  k = k / np.linalg.norm(k, axis=-1, keepdims=True)
  sigmoid = lambda a: np.float32(1) / (1 + np.exp(-a))
  return params, (q, k, v, np.log(sigmoid(g)), 2 * sigmoid(beta)), state


def _deltaours(form, **options):
  run = ours(gated_delta, form, **options)

  def scaled(params, inputs, state):  # the peers scale q themselves
    q, *rest = inputs
    return run(params, (q * q.shape[-1] ** -0.5, *rest), state)

  return scaled


def _delta_cases():
  three = ((3, 8), (3, 8), (3, 6), (3,), (3,))
  of = shapes(inputs=three, state=((3, 8, 6),))
  forms = {
    "recurrent": _deltaours("recurrent"),
    "chunk": _deltaours("chunk"),
    "chunk of 16": _deltaours("chunk", chunk_size=16),
  }
  package = "transformers.models.qwen3_next.modeling_qwen3_next"
  naive = "fla.ops.gated_delta_rule.naive"
  peers = [
    (package, "torch_chunk_gated_delta_rule"),
    (package, "torch_recurrent_gated_delta_rule"),
    (naive, "naive_chunk_gated_delta_rule"),
    (naive, "naive_recurrent_gated_delta_rule"),
  ]
  return [
    Case(
      "gated_delta",
      f"{module.split('.')[0]} {name}",
      module,
      of,
      forms,
      _delta_peer(module, name),
      _delta_legal,
    )
    for module, name in peers
  ]


CASES = _delta_cases()
