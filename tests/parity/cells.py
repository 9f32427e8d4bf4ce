"""Nonlinear cells against torch."""

import importlib

from jaxmem.ops import lstm

from .harness import Case, by_document, ours, shapes


def _torch_lstm():
  torch = importlib.import_module("torch")
  module = torch.nn.LSTM(5, 6, batch_first=True)

  def run(params, inputs, state):
    w, r, b = params
    named = {"weight_ih_l0": w.T, "weight_hh_l0": r.T, "bias_ih_l0": b}
    named["bias_hh_l0"] = torch.zeros_like(b)
    c, h = (s[None] for s in state)
    y, (h, c) = torch.func.functional_call(module, named, (inputs[0], (h, c)))
    return y, (c[0], h[0])

  return by_document(run)


WEIGHTS = ((5, 24), (6, 24), (24,))
CASES = [
  Case(
    "lstm",
    "torch nn.LSTM",
    "torch",
    shapes(WEIGHTS, ((5,),), ((6,), (6,))),
    {form: ours(lstm, form) for form in lstm.FORMS}
    | {"chunk of 8": ours(lstm, "chunk", chunk_size=8)},
    _torch_lstm,
  )
]
