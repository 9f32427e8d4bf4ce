"""LRU, S5, S4D and Mamba layers against memax, memorax, a convolution, transformers."""

import importlib
import importlib.util
import sys
import types
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp

from jaxmem import mixers

from .harness import RESET, ROWS, Case, by_document, shapes

D, N = 6, 4  # features, complex numbers
E, R = 12, 2  # Mamba's channels, and the rank of its step
GLU = {"gate": (D, D), "value": (D, D)}


def forms(name, params_of, **options):
  """Returns our mixer in every form, with the parameters of the peer."""
  op = mixers.op(name)

  def ours(form):
    mixer = mixers.get(name).Mixer(d_model=D, form=form, **options)

    def run(params, inputs, state):
      tree = {"params": params_of(params)}
      start = op.State(*state) if state else mixer.init_state(ROWS)
      y, new = mixer.apply(tree, *inputs, start, RESET)
      return y, tuple(jax.tree.leaves(new))

    return run

  return {form: ours(form) for form in op.FORMS}


def memorax(name):
  """Imports a file of memorax alone: the whole package has more dependencies."""
  if "memorax" not in sys.modules:
    spec = importlib.util.find_spec("memorax")
    if spec is None:
      raise ImportError("memorax")
    root = Path(spec.submodule_search_locations[0])
    for package in ("", "utils", "networks", "networks.sequence_models"):
      bare = types.ModuleType(f"memorax.{package}".strip("."))
      bare.__path__ = [str(root.joinpath(*package.split(".")))]
      sys.modules[bare.__name__] = bare
    aliases = types.ModuleType("memorax.utils.typing")
    aliases.Array = aliases.Carry = Any
    sys.modules[aliases.__name__] = aliases
  return importlib.import_module(f"memorax.networks.sequence_models.{name}")


def _complex(a):
  return jax.lax.complex(a[:, 0], a[:, 1])


def _pair(a):
  return jnp.stack([a.real, a.imag], axis=1)


def _glu(y, params, value=True):
  """Computes the gated linear map that both papers put behind the state space."""
  y = jax.nn.gelu(y)
  mixed = y @ params["value"] if value else y
  return mixed * jax.nn.sigmoid(y @ params["gate"])


def _kernels(params):
  return {name: {"kernel": params[name]} for name in GLU if name in params}


# LRU


def _lru_params(p):
  """Transposes B from [N, D] and C from [D, N], as memax has them."""
  return {
    "nu": p["nu_log"],
    "theta": p["theta_log"],
    "gain": p["gamma_log"],
    "write": jnp.stack([p["B_re"].T, p["B_im"].T]),
    "read": jnp.stack([p["C_re"].T, -p["C_im"].T]),
    "skip": p["D"],
    **_kernels(p),
  }


def _memax_lru():
  lru = importlib.import_module("memax.linen.semigroups.lru").LRU
  algebra = lru.default_algebra(recurrent_size=D)
  peer = lru(algebra, lru.default_scan(), hidden_size=D, recurrent_size=D)

  def run(params, inputs, state):
    system = {k: v for k, v in params.items() if k not in GLU}

    def row(x, reset, h):
      carry = ((jnp.ones_like(h), h), jnp.zeros((), bool))
      ((_, h), _), y = peer.apply({"params": system}, carry, (x, reset))
      return y, h[-1]

    y, h = jax.vmap(row)(inputs[0], RESET, _complex(state[0]))
    return _glu(y, params), (_pair(h),)

  return run


def _lru_legal(params, inputs, state):
  small = {k: v / 2 for k, v in params.items()}
  return {**small, "nu_log": small["nu_log"] - 2}, inputs, state


# S5 and S4D


def _s5_params(p):
  return {
    "rate": p["rate"],
    "frequency": p["lambda_imag"],
    "step": p["log_step"],
    "write": jnp.moveaxis(p["b"], (0, 1, 2), (2, 1, 0)),
    # memorax keeps both numbers of a pair, and so has no factor of 2
    "read": jnp.stack([p["c"][..., 0].T, -p["c"][..., 1].T]) / 2,
    "skip": p["d"],
    **_kernels(p),
  }


def _memorax_s5(rule):
  def load():
    cell = memorax("s5").S5Cell(features=D, state_size=N, discretization=rule)
    peer = memorax("memoroid").Memoroid(cell)

    def run(params, inputs, state):
      system = {k: v for k, v in params.items() if k not in (*GLU, "rate")}
      system |= {"lambda_real": -jnp.exp(params["rate"])}
      system |= {"log_step": params["log_step"][:, None]}
      h = _complex(state[0])[:, None]
      tree = {"params": {"cell": system}}
      (_, h), y = peer.apply(tree, inputs[0], RESET, (jnp.ones_like(h), h))
      return _glu(y, params, value=False), (_pair(h[:, 0]),)

    return run

  return load


def _s5_legal(params, inputs, state):
  small = {k: v / 2 for k, v in params.items()}
  return {**small, "log_step": small["log_step"] - 2}, inputs, state


def _s4d_convolution():
  """Computes S4D as a convolution with a kernel as long as the document."""
  torch = importlib.import_module("torch")
  functional = torch.nn.functional

  def run(params, inputs, _):
    (x,) = inputs
    length = x.shape[1]
    rate = torch.complex(-params["rate"].exp(), params["frequency"])  # [D, n]
    dt = params["step"].exp()
    b = torch.complex(*params["write"]) * (torch.exp(rate * dt) - 1) / rate
    c = torch.complex(params["read"][0], -params["read"][1])
    power = torch.exp(rate * dt * torch.arange(length)[:, None, None])  # [T, D, n]
    kernel = 2 * (c * b * power).sum(-1).real
    padded = functional.pad(x.mT, (length - 1, 0))
    y = functional.conv1d(padded, kernel.T.flip(1)[:, None], groups=D).mT
    h = torch.einsum("tdn,btd->bdn", power.flip(0) * b, x.to(b.dtype)).flatten(1)
    y = functional.gelu(y + params["skip"] * x, approximate="tanh")
    y = y @ params["value"] * torch.sigmoid(y @ params["gate"])
    return y, (torch.stack([h.real, h.imag], dim=1),)

  return by_document(run)


def _s4d_legal(params, inputs, state):
  small = {k: v / 2 for k, v in params.items()}
  return {**small, "step": small["step"] - 2}, inputs, state


# Mamba


def _mamba_params(p):
  """Transposes weights from torch, where the last tap is that of the present."""
  return {
    "in": {"kernel": p["in_proj.weight"].T.reshape(D, 2, E)},
    "conv": {"taps": p["conv1d.weight"][:, 0].T[::-1], "bias": p["conv1d.bias"]},
    "read": {"kernel": p["x_proj.weight"].T},
    "step_kernel": p["dt_proj.weight"].T,
    "step": p["dt_proj.bias"],
    "rate": p["A_log"].T,
    "skip": p["D"],
    "out": {"kernel": p["out_proj.weight"].T},
  }


def _transformers_mamba():
  torch = importlib.import_module("torch")
  package = importlib.import_module("transformers.models.mamba.modeling_mamba")
  cache = importlib.import_module("transformers.cache_utils").DynamicCache
  config = package.MambaConfig(
    hidden_size=D, state_size=N, expand=E // D, time_step_rank=R, num_hidden_layers=1
  )
  peer = package.MambaMixer(config, 0).eval()

  def run(params, inputs, _):
    past = cache(config=config)
    options = {"cache_params": past}
    y = torch.func.functional_call(peer, params, inputs, options)
    layer = past.layers[0]
    conv, ssm = layer.conv_states[0], layer.recurrent_states[0]
    return y, (conv.mT[:, 1:], ssm.mT)  # ours keeps the 3 inputs that are read again

  return by_document(run)


def _mamba_legal(params, inputs, state):
  return {k: v / 2 for k, v in params.items()}, inputs, state


LRU = {
  "nu_log": (D,),  # memax's annotations require as many states as features
  "theta_log": (D,),
  "gamma_log": (D,),
  "B_re": (D, D),
  "B_im": (D, D),
  "C_re": (D, D),
  "C_im": (D, D),
  "D": (D,),
  **GLU,
}
S5 = {
  "rate": (N,),
  "lambda_imag": (N,),
  "log_step": (N,),
  "b": (N, D, 2),
  "c": (D, N, 2),
  "d": (D,),
  "gate": (D, D),
}
S4D = {
  "rate": (D, N),
  "frequency": (D, N),
  "step": (D, 1),
  "write": (2, D, N),
  "read": (2, D, N),
  "skip": (D,),
  **GLU,
}
MAMBA = {
  "in_proj.weight": (2 * E, D),
  "conv1d.weight": (E, 1, 4),
  "conv1d.bias": (E,),
  "x_proj.weight": (R + 2 * N, E),
  "dt_proj.weight": (E, R),
  "dt_proj.bias": (E,),
  "A_log": (E, N),
  "D": (E,),
  "out_proj.weight": (D, E),
}
SEQUENCE, STATE = ((D,),), ((2, N),)


def _s5_case(rule):
  return Case(
    "s5",
    f"memorax S5Cell, {rule}",
    "jax",
    shapes(S5, SEQUENCE, STATE),
    forms("s5", _s5_params, state_size=2 * N, discretisation=rule),
    _memorax_s5(rule),
    _s5_legal,
    "jax",
  )


CASES = [
  Case(
    "lru",
    "memax LRU",
    "memax.linen.semigroups.lru",
    shapes(LRU, SEQUENCE, ((2, D),)),
    forms("lru", _lru_params),
    _memax_lru,
    _lru_legal,
    "jax",
  ),
  _s5_case("zoh"),
  _s5_case("bilinear"),
  Case(
    "s5",
    "S4D as a convolution, torch",
    "torch",
    shapes(S4D, SEQUENCE),
    forms("s5", lambda p: {**p, **_kernels(p)}, state_size=2 * N, mimo=False),
    _s4d_convolution,
    _s4d_legal,
  ),
  Case(
    "mamba",
    "transformers MambaMixer",
    "transformers.models.mamba.modeling_mamba",
    shapes(MAMBA, SEQUENCE),
    forms("mamba", _mamba_params, expand=E // D, state_size=N, step_rank=R),
    _transformers_mamba,
    _mamba_legal,
  ),
]
