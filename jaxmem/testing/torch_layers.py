"""A layer of torch as a case of the laws: values and vector-Jacobian products.

    case = of_torch(module, run, d_model=8)
    check_laws(case)

Torch is the layer's, not ours: it is imported where a layer of it is called.
"""

import importlib
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxmem.testing.cases import Case
from jaxmem.testing.trees import is_float

BFLOAT16 = jnp.dtype(jnp.bfloat16)


def of_torch(
  module: Any,
  run: Callable,
  *,
  d_model: int,
  empty: Callable[[int], Any] | None = None,
  name: str | None = None,
) -> Case:
  """Returns the case of a layer of torch.

  Its parameters and inputs have gradients; what it carries has, where autograd follows
  it from the state that is given to the state that is returned.

  Args:
    module: a `torch.nn.Module`; its parameters are those of the case.
    run: `(module, x, state, reset) -> (y, state)` on tensors: x [B, T, d_model], and
      reset [B, T] True on the first token of a document, which `run` tells the layer in
      the layer's own way, such as `position_ids` or `seq_idx`.
    d_model: features of x.
    empty: `batch_size -> state`, the empty memory as a tree of NumPy arrays [B, ...];
      None for a layer that carries nothing, whose state is ().
    name: in messages; None is the class of the module.
  """
  form = _differentiable(_Host(module, run))
  start = empty or (lambda batch_size: ())
  weights = {
    key: value.detach().numpy().copy() for key, value in module.named_parameters()
  }

  @jax.jit
  def call(params, inputs, state, reset=None):
    (x,) = inputs
    reset = jnp.zeros(x.shape[:2], bool) if reset is None else reset
    return form(params, x, state, reset)

  def example(key, batch_size, length):
    before, now = jax.random.normal(key, (2, batch_size, length, d_model))
    _, state = call(weights, (before,), start(batch_size))
    return weights, (now,), state

  return Case(
    name=name or type(module).__name__,
    forms={"call": call},
    example=example,
    stress=None,
    init_state=start,
    as_released={},
    reverse_only=("call",),
    carries=empty is not None,
  )


class _Host:
  """The layer on the host: trees of NumPy arrays in and out.

  Attributes:
    module: the layer.
    run: see `of_torch`.
  """

  def __init__(self, module: Any, run: Callable):
    self.torch = torch = importlib.import_module("torch")
    self.module = module
    base: Any = torch.nn.Module

    class Bound(base):
      """`run` as the forward of a module, whose parameters can be replaced."""

      def __init__(self):
        super().__init__()
        self.layer = module

      def forward(self, *args):
        return run(self.layer, *args)

    self.bound = Bound()

  def values(self, *args: Any) -> Any:
    """Returns y and state for parameters, x, state and reset."""
    with self.torch.no_grad():
      return jax.tree.map(self._array, self._call(jax.tree.map(self._tensor, args)))

  def shapes(self, *args: Any) -> Any:
    """Returns the shapes of y and state, found by a call on ones."""
    ones = jax.tree.map(lambda a: np.ones(a.shape, a.dtype), args[:3])
    unmarked = np.zeros(args[3].shape, bool)
    return jax.tree.map(
      lambda a: jax.ShapeDtypeStruct(a.shape, a.dtype), self.values(*ones, unmarked)
    )

  def gradients(self, args: Any, cotangents: Any) -> Any:
    """Returns the gradients of parameters, x and state; those of integers are 0."""
    tensors = jax.tree.map(self._tensor, args)
    leaves = [t for t in jax.tree.leaves(tensors[:3]) if t.is_floating_point()]
    for leaf in leaves:
      leaf.requires_grad_()
    results = jax.tree.leaves(self._call(tensors))
    pairs = [
      (r, self._tensor(d))
      for r, d in zip(results, jax.tree.leaves(cotangents), strict=True)
      if r.requires_grad  # a state without a graph is carried as a number
    ]
    found = self.torch.autograd.grad(
      [r for r, _ in pairs], leaves, [d for _, d in pairs], allow_unused=True
    )
    left = iter(found)

    def gradient(tensor):
      grad = next(left) if tensor.is_floating_point() else None
      # what the result does not depend on has gradient 0
      return self._array(self.torch.zeros_like(tensor) if grad is None else grad)

    return jax.tree.map(gradient, tensors[:3])

  def _call(self, tensors: Any) -> Any:
    params, x, state, reset = tensors
    # a module computes in one dtype: it is cast as `module.to(dtype)` would
    named = {f"layer.{key}": value.to(x.dtype) for key, value in params.items()}
    return self.torch.func.functional_call(self.bound, named, (x, state, reset))

  def _tensor(self, array: Any) -> Any:
    if array.dtype == BFLOAT16:  # NumPy's own types lack it
      return self._tensor(np.asarray(array, np.float32)).to(self.torch.bfloat16)
    return self.torch.from_numpy(np.array(array))  # a copy: layers write in place

  def _array(self, tensor: Any) -> np.ndarray:
    if tensor.dtype == self.torch.bfloat16:
      return tensor.detach().float().numpy().astype(BFLOAT16)
    return tensor.detach().numpy()


def _differentiable(host: _Host) -> Callable:
  """Returns `(params, x, state, reset) -> (y, state)` for JAX to trace."""

  @jax.custom_vjp
  def form(params, x, state, reset):
    args = (params, x, state, reset)
    shapes = host.shapes(*args)
    return jax.pure_callback(host.values, shapes, *args, vmap_method="sequential")

  def forward(*args):
    return form(*args), args

  def backward(args, cotangents):
    like = jax.tree.map(lambda a: jax.ShapeDtypeStruct(a.shape, a.dtype), args[:3])
    # integers have cotangents of a type without numbers, which no callback takes
    cotangents = jax.tree.map(_numbers, cotangents)
    found = jax.pure_callback(
      host.gradients, like, args, cotangents, vmap_method="sequential"
    )
    found = jax.tree.map(_of_its_type, found)
    return *found, np.zeros(args[3].shape, jax.dtypes.float0)

  form.defvjp(forward, backward)
  return form


def _numbers(cotangent):
  if cotangent.dtype == jax.dtypes.float0:
    return np.zeros(cotangent.shape, np.float32)
  return cotangent


def _of_its_type(gradient):
  return gradient if is_float(gradient) else np.zeros(gradient.shape, jax.dtypes.float0)
