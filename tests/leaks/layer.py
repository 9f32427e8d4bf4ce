"""What a row of the table is made of: a layer, and how it is called."""

import dataclasses
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn

from jaxmem.layers.primitives import ShortConv
from jaxmem.testing import cases
from jaxmem.testing.cases import Case
from jaxmem.testing.torch_layers import of_torch

D_MODEL = 8
NOTHING = "nothing"


@dataclasses.dataclass(frozen=True)
class Layer:
  """A layer under test.

  Attributes:
    name: of the class or function, after its package.
    package: the distribution that it ships in.
    path: which of its implementations ran.
    told: how it is told where documents begin; `NOTHING` if it cannot be told.
    claims: whether it says that documents told in this way do not see each other.
    packed: the case that is told of documents. It may carry a state.
    carried: the case that carries a state, whose resets are all False; None where the
      layer returns no state.
    convolution: the case whose y is the output of the short convolution; None where
      there is none.
    state_dtypes: dtypes of the state after bfloat16 inputs; () where it has no state.
    note: what a reader has to know of the row.
  """

  name: str
  package: str
  path: str
  told: str
  claims: bool
  packed: Case
  carried: Case | None = None
  convolution: Case | None = None
  state_dtypes: tuple[str, ...] = ()
  note: str = ""


def of_call(
  name: str,
  params: dict,
  call: Callable,
  empty: Callable | None = None,
  d_model: int = D_MODEL,
) -> Case:
  """Returns the case of a layer in JAX that is no Linen module of the contract.

  Args:
    name: in messages.
    params: its arrays.
    call: `(params, x, state, reset) -> (y, state)`.
    empty: `batch_size -> state`, the layer's own empty memory; None carries nothing.
    d_model: features of x.
  """
  start = empty or (lambda batch_size: ())

  @jax.jit
  def form(params, inputs, state, reset=None):
    (x,) = inputs
    return call(
      params, x, state, jnp.zeros(x.shape[:2], bool) if reset is None else reset
    )

  def example(key, batch_size, length):
    before, now = jax.random.normal(key, (2, batch_size, length, d_model))
    _, state = form(params, (before,), start(batch_size))
    return params, (now,), state

  return Case(
    name=name,
    forms={"call": form},
    example=example,
    stress=None,
    init_state=start,
    as_released={},
    reverse_only=(),
    carries=empty is not None,
  )


def of_torch_calls(
  module, call: Callable, carry: Callable | None, convolution: Callable | None, **fields
) -> Layer:
  """Returns a torch layer from its calls, each of them on tensors.

  Every parameter is moved, so that no zero at the start hides a leak.

  Args:
    module: the `torch.nn.Module`.
    call: `(module, x, reset) -> y`, which tells the layer of reset in its own words.
    carry: `(module, x, state) -> (y, state)`, with state None for a fresh call and a
      tuple of tensors else; None where the layer has no state.
    convolution: `(module, x, reset) -> output [B, T, C]`, or None.
    fields: of the Layer.
  """
  import torch

  torch.set_num_threads(1)
  generator = torch.Generator().manual_seed(0)
  with torch.no_grad():
    for parameter in module.parameters():
      parameter.add_(0.2 * torch.randn(parameter.shape, generator=generator))
  module.eval()
  name = fields["name"]

  def case(run, empty=None):
    return of_torch(module, run, d_model=D_MODEL, empty=empty, name=name)

  def stateless(call):
    return lambda module, x, state, reset: (call(module, x, reset), state)

  def with_state(module, x, state, reset):
    return carry(module, x, state)

  def empty(batch_size):
    x = torch.zeros(batch_size, 1, D_MODEL)
    with torch.no_grad():
      _, state = carry(module, x, None)
    return tuple(np.zeros(s.shape, str(s.dtype).removeprefix("torch.")) for s in state)

  def dtypes():
    with torch.no_grad():
      x = torch.zeros(1, 3, D_MODEL, dtype=torch.bfloat16)
      _, state = carry(module.to(torch.bfloat16), x, None)
      module.to(torch.float32)
    return tuple(str(s.dtype).removeprefix("torch.") for s in state)

  weights = {key: value.clone() for key, value in module.state_dict().items()}
  state_dtypes = dtypes() if carry else ()
  module.load_state_dict(weights)  # bfloat16 has rounded them
  return Layer(
    packed=case(stateless(call)),
    carried=case(with_state, empty) if carry else None,
    convolution=case(stateless(convolution)) if convolution else None,
    state_dtypes=state_dtypes,
    **fields,
  )


def of_module(module, **fields) -> Layer:
  """Returns a layer of the contract: one case that is told, and carries.

  Args:
    module: see `jaxmem.testing.check_laws`.
    fields: of the Layer.
  """
  case = cases.of_module(module)
  name = list(case.forms)[-1]  # what users get; the reference is not theirs
  form = case.forms[name]

  @jax.jit
  def convolved(params, inputs, state, reset=None):
    seen = []

    def see(call, args, kwargs, context):
      result = call(*args, **kwargs)
      if isinstance(context.module, ShortConv) and context.method_name == "__call__":
        seen.append(result[0])
      return result

    with nn.intercept_methods(see):
      _, state = module.apply(params, *inputs, state, reset)
    if not seen:
      raise LookupError("no short convolution")
    return seen[0], state

  convolution = dataclasses.replace(case, forms={name: convolved})
  try:
    jax.eval_shape(convolved, *case.example(jax.random.key(0), 1, 2))
  except LookupError:
    convolution = None
  case = dataclasses.replace(case, forms={name: form})
  return Layer(packed=case, carried=case, convolution=convolution, **fields)
