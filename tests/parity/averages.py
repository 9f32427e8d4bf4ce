"""minGRU, minLSTM and HGRN layers against memorax, the paper's equations, and fla."""

import importlib

import jax.numpy as jnp
import numpy as np

from .harness import RESET, Case, by_document, shapes
from .state_space import D, forms, memorax

SQUARE, VECTOR = (D, D), (D,)


def _memorax_mingru():
  peer = memorax("memoroid").Memoroid(memorax("min_gru").MinGRUCell(features=D))

  def run(params, inputs, state):
    tree = {"params": {"cell": {k: {"kernel": v} for k, v in params.items()}}}
    carry = (jnp.log(state[0])[:, None], jnp.zeros_like(state[0])[:, None])
    (log_h, _), y = peer.apply(tree, inputs[0], RESET, carry)
    return y, (jnp.exp(log_h[:, 0]),)

  return run


def _mingru_params(p):
  zero = jnp.zeros(VECTOR)
  return {
    "gate": {"kernel": p["z"], "bias": zero},
    "candidate": {"kernel": p["h"], "bias": zero},
  }


def _positive_state(params, inputs, state):
  """Makes states positive, since minGRU in log space has no others."""
  return params, inputs, tuple(np.exp(s) for s in state)


def _minlstm_loop():
  """Computes the equations of the paper's section 3.2 token by token."""
  torch = importlib.import_module("torch")

  def run(params, inputs, state):
    (x,), (h,) = inputs, state

    def linear(name):
      return x @ params[name] + params[f"{name}_bias"]

    f, i = torch.sigmoid(linear("forget")), torch.sigmoid(linear("write"))
    k = linear("candidate")
    g = torch.where(k >= 0, k + 0.5, torch.sigmoid(k))
    outputs = []
    for t in range(x.shape[1]):
      total = f[:, t] + i[:, t]
      h = f[:, t] / total * h + i[:, t] / total * g[:, t]
      outputs.append(h)
    return torch.stack(outputs, dim=1), (h,)

  return by_document(run)


def _biased(names):
  return lambda p: {
    **{name: {"kernel": p[name]} for name in names},
    **{f"{name}_bias": p[f"{name}_bias"] for name in names},
  }


def _fla_hgrn():
  """Runs fla's recurrence between gates, norm and products in torch."""
  torch = importlib.import_module("torch")
  recurrence = importlib.import_module("fla.ops.hgrn.naive").naive_recurrent_hgrn
  silu = torch.nn.functional.silu

  def run(params, inputs, state):
    (x,) = inputs
    bound = torch.sigmoid(params["bound"])
    gate = torch.sigmoid(x @ params["forget"] + params["forget_bias"])
    f = bound + (1 - bound) * gate
    value = (1 - f) * silu(x @ params["candidate"])
    h, last = recurrence(value, f.log(), state[0], output_final_state=True)
    y = torch.nn.functional.rms_norm(h, VECTOR, params["norm"], eps=1e-6)
    return (y * silu(x @ params["gate"])) @ params["out"], (last,)

  return by_document(run)


def _hgrn_params(p):
  return {
    "forget": {"kernel": p["forget"], "bias": p["forget_bias"]},
    "bound": p["bound"],
    "norm": {"scale": p["norm"]},
    **{name: {"kernel": p[name]} for name in ("candidate", "gate", "out")},
  }


MINLSTM = ("forget", "write", "candidate")
HGRN = {name: SQUARE for name in ("forget", "candidate", "gate", "out")}
HGRN |= {name: VECTOR for name in ("forget_bias", "bound", "norm")}
SEQUENCE, STATE = (VECTOR,), (VECTOR,)

CASES = [
  Case(
    "mingru",
    "memorax MinGRUCell",
    "jax",
    shapes({"z": SQUARE, "h": SQUARE}, SEQUENCE, STATE),
    forms("mingru", _mingru_params),
    _memorax_mingru,
    _positive_state,
    "jax",
  ),
  Case(
    "minlstm",
    "the paper's loop, torch",
    "torch",
    shapes(
      {n: SQUARE for n in MINLSTM} | {f"{n}_bias": VECTOR for n in MINLSTM},
      SEQUENCE,
      STATE,
    ),
    forms("minlstm", _biased(MINLSTM)),
    _minlstm_loop,
  ),
  Case(
    "hgrn",
    "fla naive_recurrent_hgrn",
    "fla.ops.hgrn.naive",
    shapes(HGRN, SEQUENCE, STATE),
    forms("hgrn", _hgrn_params),
    _fla_hgrn,
  ),
]
