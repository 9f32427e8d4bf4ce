"""What a trained model does while it reads: gates, attention, states.

Nothing here computes a gate or a score again: gates are what the mixers sow, a map of
attention is the layer's own op asked for its weights, a state is the state.
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

# Half-lives are shown between these many tokens: never and at once are no numbers.
SHORTEST, LONGEST = 2.0**-4, 2.0**20


class Layer(NamedTuple):
  """A block of the model, counted from 1 at the text's side."""

  number: int
  entry: Entry
  group: int
  block: int

  def __str__(self) -> str:
    return f"{self.number} {self.mixer}"

  @property
  def mixer(self) -> str:
    """The name of its mixer; of a wrapper, that of the first it is around."""
    return next(walk((self.entry,))).name


def layers(config: LMConfig) -> list[Layer]:
  """All blocks of the groups, in the order in which they read."""
  size = len(config.pattern)
  return [
    Layer(1 + group * size + block, memory_of(item), group, block)
    for group in range(config.num_groups)
    for block, item in enumerate(config.pattern)
  ]


def plain(model: LM) -> LM:
  """The model computed so that it can be looked into; its numbers are the same.

  In float32; attention by our blocks, which answer for any values; and gradients pass
  through the segments kept by Transformer-XL, which its training cuts.
  """
  wanted = {"implementation": "xla", "through_memory": True}

  def look(item: Entry) -> Entry:
    known = {f.name for f in dataclasses.fields(mixers.get(item.name).Mixer)}
    return set_options(item, **{k: v for k, v in wanted.items() if k in known})

  c = model.config
  parts = {name: edit(getattr(c, name), look) for name in ("first", "pattern", "last")}
  return LM(dataclasses.replace(c, **parts, dtype="float32", remat=False))


class Seen(NamedTuple):
  """What the layers did, one entry a layer that has it; arrays are NumPy's.

  Attributes:
    gates: name -> layer -> [T, ...], as sown.
    maps: layer -> [A, R, R], the weights that the last R tokens give each other, of
      every head; the rest of a row went to older tokens or to a sink.
    inputs: layer -> [T, D], what the mixer was given.
  """

  gates: dict[str, dict[Layer, np.ndarray]]
  maps: dict[Layer, np.ndarray]
  inputs: dict[Layer, np.ndarray]


def read(model: LM, params: Any, tokens: np.ndarray, recent: int = 128) -> Seen:
  """One call on a document from its beginning, watched.

  Cost: the call, one more reading of every attention layer with values of R numbers,
  and every gate of every token in memory.

  Args:
    model: see `plain`.
    params: its parameters.
    tokens: the document's ids, [T], its EOS token first.
    recent: R, the last tokens whose attention is kept; at most T.
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
        maps[layer] = np.moveaxis(value[0, -value.shape[-1] :], 0, 1)
      elif name == _INPUT:
        inputs[layer] = value[0]
      else:
        shape = len(tokens), *value.shape[2:]
        value = np.broadcast_to(value[0], shape)
        gates.setdefault(name, {})[layer] = value
  return Seen(gates, maps, inputs)


_INPUT, _MAP = "mixer_input", "attention_map"


def _watch(recent: int, call, args, kwargs, context):
  """Sows what a mixer is given and how it attends, beside what it does."""
  module, method = context.module, context.method_name
  whole = "with_stream" if hasattr(module, "with_stream") else "__call__"
  if method == whole and module.name == "mixer":
    if isinstance(module.parent, ResidualBlock):
      module.sow("intermediates", _INPUT, args[0])
  if method == "_attend" and isinstance(module, Heads):
    module.sow("intermediates", _MAP, attention_map(call, args, kwargs, recent))
  return call(*args, **kwargs)


def attention_map(attend, args: tuple, kwargs: dict, recent: int) -> jax.Array:
  """[B, T, A, R], the weights of the last R tokens, by the layer's own op.

  Attention is linear in the values, y = P v. Asked with the values 1, one token each,
  it answers P: whatever its mask, its scores, its sinks.

  Args:
    attend: `Heads._attend` of the layer.
    args: the op, its params, inputs, state and reset; values are inputs 2 and, by the
      projections of global tokens, 5. Nothing is remembered before the call.
    kwargs: its options.
    recent: R, at most T.
  """
  op, params, inputs, state, reset = args
  length = inputs[0].shape[1]
  own = jnp.eye(length, dtype=jnp.float32)[:, length - recent :]

  def ask(i, a):
    return jnp.broadcast_to(own[:, None], (*a.shape[:-1], recent)) if i % 3 == 2 else a

  inputs = tuple(ask(i, a) for i, a in enumerate(inputs))
  state = state._replace(v=jnp.zeros((*state.v.shape[:-1], recent), own.dtype))
  return attend(op, params, inputs, state, reset, **kwargs)[0]


def _of_layer(sown: Any, layer: Layer) -> list[tuple[str, np.ndarray]]:
  """Name and value of what a mixer has sown."""
  block = sown["stack"]["groups"][f"block_{layer.block}"]
  leaves = jax.tree_util.tree_leaves_with_path(block)
  # the last key is the place in the tuple of what was sown under the name before it
  return [(path[-2].key, value[layer.group]) for path, value in leaves]


def half_lives(log_decay: np.ndarray) -> np.ndarray:
  """Tokens after which half is left at this rate, log 2 / -g, within what is shown."""
  with np.errstate(divide="ignore"):
    tokens = np.log(2) / np.abs(np.minimum(log_decay.astype(np.float64), 0))
  return np.clip(tokens, SHORTEST, LONGEST)


def by_token(values: np.ndarray) -> np.ndarray:
  """[T], the mean over channels and heads."""
  return values.reshape(len(values), -1).mean(1)


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
  """The recurrent memories after every piece of a document.

  Cost: the text once, in pieces, and the singular values of every matrix at every
  sample, on the host.

  Args:
    model: any language model.
    params: its parameters.
    tokens: the document's ids, [T], its EOS token first.
    samples: N, pieces at most.

  Returns:
    How many tokens had been read, [N], and the memory of every layer that has one.
  """
  found = {x: y for x in layers(model.config) if (y := _field(model, x))}
  apply = jax.jit(lambda *args: model.apply(*args, method="features")[1])
  state, piece = model.init_state(1), -(-len(tokens) // samples)
  ends, kept = [], {layer: [] for layer in found}
  for begin in range(0, len(tokens), piece):
    part = jnp.asarray(tokens[begin : begin + piece])[None]
    state = apply({"params": params}, part, state)
    ends.append(begin + part.shape[1])
    for layer, (leaf, start, _) in found.items():
      value = np.asarray(leaf(state)[0, layer.group], np.float64)
      kept[layer].append(value + _start(params, layer, start))
  memories = {}
  for layer, (_, _, is_matrix) in found.items():
    memories[layer] = memory(np.stack(kept[layer]), is_matrix)
  return np.array(ends), memories


def memory(values: np.ndarray, is_matrix: bool) -> Memory:
  """Norms and ranks of states [N, H, K, V], or norms of vectors [N, ...]."""
  if not is_matrix:
    flat = values.reshape(len(values), 1, -1)
    return Memory(np.linalg.norm(flat, axis=-1), None, 0)
  norm = np.linalg.norm(values, axis=(-2, -1))
  return Memory(norm, effective_rank(values), min(values.shape[-2:]))


def effective_rank(matrices: np.ndarray) -> np.ndarray:
  """exp(-sum p log p) of the singular values divided by their sum; 0 of a zero matrix.

  Between 1 and the rank; the rank where all singular values are the same. Source: Roy
  and Vetterli 2007, EUSIPCO, "The effective rank".
  """
  values = np.linalg.svd(matrices, compute_uv=False)
  total = values.sum(-1, keepdims=True)
  p = values / np.where(total > 0, total, 1)
  entropy = -(p * np.log(np.where(p > 0, p, 1))).sum(-1)
  return np.where(total[..., 0] > 0, np.exp(entropy), 0)


def _field(model: LM, layer: Layer) -> tuple | None:
  """How to find a layer's memory in a state: the leaf, its name, whether matrices.

  The memory is the first field of the op's state: not the inputs of a convolution, nor
  normalisers. Attention remembers tokens, which its map shows.
  """
  name = layer.mixer
  if mixers.get(name).Mixer.family == "attention":
    return None
  op = mixers.op(name)

  def own(state):
    is_own = lambda a: isinstance(a, op.State)
    nodes = jax.tree.leaves(parts_of(state).groups[layer.block], is_leaf=is_own)
    return next(filter(is_own, nodes))

  axes = own(model.state_axes())[0]
  return lambda state: own(state)[0], op.State._fields[0], axes[-2:] == ("key", "value")


def _start(params: Any, layer: Layer, field: str) -> np.ndarray | float:
  """What the memory begins from, where that is learned: a state is the difference."""
  mixer = unboxed(params)["stack"]["groups"][f"block_{layer.block}"]["mixer"]
  start = mixer.get(f"start_{field}")
  return 0.0 if start is None else np.asarray(start[layer.group], np.float64)
