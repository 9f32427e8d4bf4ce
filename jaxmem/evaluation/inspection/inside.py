"""What a trained model does while it reads: gates, attention, states.

Nothing here computes a gate or a score again: gates are those that the mixers sow, a
map of attention comes from the layer's own op, and a state is the one that is carried.
"""

import dataclasses
import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn

from jaxmem import mixers
from jaxmem.layers.attention_heads import Heads
from jaxmem.models.block import ResidualBlock
from jaxmem.models.lm import LM, LMConfig
from jaxmem.models.pattern import Entry, edit, memory_of, set_options, walk
from jaxmem.models.stack import parts_of
from jaxmem.parallel.mesh import unboxed

# Half-lives are clipped to these many tokens: "never" and "at once" are no numbers.
SHORTEST, LONGEST = 2.0**-4, 2.0**20


class Layer(NamedTuple):
  """A block of the model; numbers count from 1 at the embedding."""

  number: int
  entry: Entry
  group: int
  block: int

  def __str__(self) -> str:
    return f"{self.number} {self.mixer}"

  @property
  def mixer(self) -> str:
    """The name of its mixer; of a wrapper, that of the first mixer in it."""
    return next(walk((self.entry,))).name


def layers(config: LMConfig) -> list[Layer]:
  """Returns all blocks of the groups, in the order in which they are applied."""
  size = len(config.pattern)
  return [
    Layer(1 + group * size + block, memory_of(item), group, block)
    for group in range(config.num_groups)
    for block, item in enumerate(config.pattern)
  ]


def plain(model: LM) -> LM:
  """Returns the model in a form that can be inspected; its outputs are the same.

  It computes in float32, attention by the XLA form, which takes values of any size, and
  gradients pass through the segments kept by Transformer-XL, where training cuts them.
  """
  options = {"implementation": "xla", "through_memory": True}

  def look(item: Entry) -> Entry:
    fields = {f.name for f in dataclasses.fields(mixers.get(item.name).Mixer)}
    return set_options(item, **{k: v for k, v in options.items() if k in fields})

  c = model.config
  parts = {name: edit(getattr(c, name), look) for name in ("first", "pattern", "last")}
  return LM(dataclasses.replace(c, **parts, dtype="float32", remat=False))


class Seen(NamedTuple):
  """What the layers did, one entry a layer that has it; arrays are NumPy's.

  Attributes:
    gates: name -> layer -> [T, ...], as sown.
    maps: layer -> [A, R, R], the weights that the last R tokens give each other, of
      every head; the remainder of a row went to older tokens or to a sink.
    inputs: layer -> [T, D], the input of the mixer.
  """

  gates: dict[str, dict[Layer, np.ndarray]]
  maps: dict[Layer, np.ndarray]
  inputs: dict[Layer, np.ndarray]


def read(model: LM, params: Any, tokens: np.ndarray, recent: int = 128) -> Seen:
  """Returns the activity of the layers in one call on a document from its beginning.

  Cost: the call, a second call of every attention layer with values of R numbers, and
  the memory of every gate at every token.

  Args:
    model: a model as `plain` returns it.
    params: its parameters.
    tokens: the document's ids, [T], its EOS token first.
    recent: R, the last tokens whose attention is recorded; at most T.
  """
  watch = functools.partial(_watch, min(recent, len(tokens)))

  @jax.jit
  def run(params, tokens):
    with nn.intercept_methods(watch):
      _, sown = model.apply(
        {"params": params},
        tokens,
        model.init_state(1),
        mutable=["intermediates"],
        method="features",
      )
    return sown["intermediates"]

  sown = jax.device_get(run(params, jnp.asarray(tokens)[None]))
  gates, maps, inputs = {}, {}, {}
  for layer in layers(model.config):
    for name, value in _of_layer(sown, layer):
      if name == _MAP:
        # [1, T, A, R], queries older than the last R left out -> [A, R, R]
        maps[layer] = np.moveaxis(value[0, -value.shape[-1] :], 0, 1)
      elif name == _INPUT:
        inputs[layer] = value[0]  # [T, D]
      else:
        shape = len(tokens), *value.shape[2:]  # a gate that no token moves has T = 1
        value = np.broadcast_to(value[0], shape)
        gates.setdefault(name, {})[layer] = value
  return Seen(gates, maps, inputs)


_INPUT, _MAP = "mixer_input", "attention_map"


def _watch(recent: int, call, args, kwargs, context):
  """Sows the inputs of a mixer and its attention weights, and calls the method."""
  module, method = context.module, context.method_name
  mixer_method = "with_stream" if hasattr(module, "with_stream") else "__call__"
  # a wrapper's inner mixers are named otherwise: only the block's own is recorded
  if method == mixer_method and module.name == "mixer":
    if isinstance(module.parent, ResidualBlock):
      module.sow("intermediates", _INPUT, args[0])
  if method == "_attend" and isinstance(module, Heads):
    module.sow("intermediates", _MAP, attention_map(call, args, kwargs, recent))
  return call(*args, **kwargs)


def attention_map(attend, args: tuple, kwargs: dict, recent: int) -> jax.Array:
  """Returns [B, T, A, R], the weights of the last R tokens, by the layer's own op.

  Attention is linear in the values, y = P v. With the identity in the place of the
  values it returns P, whatever its mask, its scores and its sinks.

  Args:
    attend: `Heads._attend` of the layer.
    args: the op, its params, inputs, state and reset; values are inputs 2 and, by the
      projections of global tokens, 5. The state is empty before the call.
    kwargs: its options.
    recent: R, at most T.
  """
  op, params, inputs, state, reset = args
  length = inputs[0].shape[1]
  identity = jnp.eye(length, dtype=jnp.float32)[:, length - recent :]  # [T, R]

  def with_identity(i, a):
    if i % 3 != 2:  # inputs are q, k, v and again q, k, v
      return a
    return jnp.broadcast_to(identity[:, None], (*a.shape[:-1], recent))  # [B, T, A, R]

  inputs = tuple(with_identity(i, a) for i, a in enumerate(inputs))
  # the cached values are empty too, and have to have R numbers like the new ones
  state = state._replace(v=jnp.zeros((*state.v.shape[:-1], recent), identity.dtype))
  return attend(op, params, inputs, state, reset, **kwargs)[0]


def _of_layer(sown: Any, layer: Layer) -> list[tuple[str, np.ndarray]]:
  """Returns the names and values that a mixer has sown."""
  block = sown["stack"]["groups"][f"block_{layer.block}"]
  leaves = jax.tree_util.tree_leaves_with_path(block)
  # a path ends in the name and then the index of the tuple that `sow` appends to
  return [(path[-2].key, value[layer.group]) for path, value in leaves]


def half_lives(log_decay: np.ndarray) -> np.ndarray:
  """Returns the tokens after which half is left at this rate, log 2 / -g, clipped."""
  with np.errstate(divide="ignore"):
    # a gate that rounding leaves above 0 counts as no decay
    tokens = np.log(2) / np.abs(np.minimum(log_decay.astype(np.float64), 0))
  return np.clip(tokens, SHORTEST, LONGEST)


def by_token(values: np.ndarray) -> np.ndarray:
  """Returns [T], the mean over channels and heads."""
  return values.reshape(len(values), -1).mean(1)  # [T, ...] -> [T]


class Memory(NamedTuple):
  """What a layer remembers while it reads.

  Attributes:
    norm: [N, H], the Frobenius norm a head, or that of the vector with H = 1.
    rank: [N, H], the effective rank a head; None where the memory is a vector.
    most: the rank a head can have; 0 for a vector.
  """

  norm: np.ndarray
  rank: np.ndarray | None
  most: int


def states(
  model: LM, params: Any, tokens: np.ndarray, samples: int = 64
) -> tuple[np.ndarray, dict[Layer, Memory]]:
  """Returns the recurrent memories after each segment of a document.

  Cost: the text once, in segments, and the singular values of every matrix at every
  sample, on the host.

  Args:
    model: any language model.
    params: its parameters.
    tokens: the document's ids, [T], its EOS token first.
    samples: N, segments at most.

  Returns:
    How many tokens had been read, [N], and the memory of each layer that has one.
  """
  fields = {x: y for x in layers(model.config) if (y := _field(model, x))}

  @jax.jit
  def apply(params, tokens, state):
    return model.apply({"params": params}, tokens, state, method="features")[1]

  state, segment = model.init_state(1), -(-len(tokens) // samples)
  ends, values = [], {layer: [] for layer in fields}
  for begin in range(0, len(tokens), segment):
    part = jnp.asarray(tokens[begin : begin + segment])[None]
    state = apply(params, part, state)
    ends.append(begin + part.shape[1])
    for layer, (leaf, start, _) in fields.items():
      value = np.asarray(leaf(state)[0, layer.group], np.float64)
      values[layer].append(value + _start(params, layer, start))
  memories = {}
  for layer, (_, _, is_matrix) in fields.items():
    memories[layer] = memory(np.stack(values[layer]), is_matrix)
  return np.array(ends), memories


def memory(values: np.ndarray, is_matrix: bool) -> Memory:
  """Returns norms and ranks of states [N, H, K, V], or norms of vectors [N, ...]."""
  if not is_matrix:
    flat = values.reshape(len(values), 1, -1)  # [N, 1, all]
    return Memory(np.linalg.norm(flat, axis=-1), None, 0)
  norm = np.linalg.norm(values, axis=(-2, -1))  # [N, H]
  return Memory(norm, effective_rank(values), min(values.shape[-2:]))


def effective_rank(matrices: np.ndarray) -> np.ndarray:
  """Returns exp(-sum p log p) of p, the singular values over their sum; else 0.

  It lies between 1 and the rank, and is the rank where all singular values are equal. A
  zero matrix has 0.

  Source: Roy and Vetterli 2007, EUSIPCO, "The effective rank".
  """
  values = np.linalg.svd(matrices, compute_uv=False)  # [..., min(K, V)]
  total = values.sum(-1, keepdims=True)
  p = values / np.where(total > 0, total, 1)
  entropy = -(p * np.log(np.where(p > 0, p, 1))).sum(-1)
  return np.where(total[..., 0] > 0, np.exp(entropy), 0)


def _field(model: LM, layer: Layer) -> tuple | None:
  """Returns a layer's memory in a state: its getter, its name, whether matrices.

  The memory is the first field of the op's state, not the inputs of a convolution or
  the normalisers. Attention has none: it stores tokens, which its map shows.
  """
  name = layer.mixer
  if mixers.get(name).Mixer.family == "attention":
    return None
  op = mixers.op(name)

  def is_op_state(node):
    return isinstance(node, op.State)

  def memory_in(state):
    nodes = jax.tree.leaves(parts_of(state).groups[layer.block], is_leaf=is_op_state)
    return next(filter(is_op_state, nodes))[0]

  axes = memory_in(model.state_axes())
  return memory_in, op.State._fields[0], axes[-2:] == ("key", "value")


def _start(params: Any, layer: Layer, field: str) -> np.ndarray | float:
  """Returns the learned initial memory, which a state is a difference to, else 0."""
  mixer = unboxed(params)["stack"]["groups"][f"block_{layer.block}"]["mixer"]
  start = mixer.get(f"start_{field}")
  return 0.0 if start is None else np.asarray(start[layer.group], np.float64)
