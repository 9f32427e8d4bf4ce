"""A memory and low-rank updates on a model that is trained and stays as it is.

    model, frozen, names = graft(config, params, entry("gated_delta"), rank=8)
    fresh = first(model, frozen, jax.random.key(0))
    losses, state = model.apply({"params": join(frozen, fresh)}, ..., method="losses")

What the model had is `frozen`, what it is given is `fresh`; at first it says what it
said before, since a memory's scale and half of every update are 0.

Source: Hu et al. 2021, arXiv:2106.09685 (LoRA), which qwix computes, x W + x A B; Wang
et al. 2024, arXiv:2408.15237 (a memory that begins with the attention's matrices).
"""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn
from flax import traverse_util
from jaxtyping import Array

from jaxmem.core.errors import UserError
from jaxmem.core.extras import require
from jaxmem.models.lm import LM, LMConfig
from jaxmem.models.pattern import Entry, built, edit, entry, options, set_options
from jaxmem.parallel import mesh as meshes

# The kernels of a Llama that are given an update, by the path of their module.
UPDATED = r".*/mixer/(base/)?(q|k|v|out)|.*/mlp/(gate|up|down)"
# What `graft` gives a model and `first` makes, by the paths of parameters.
GRAFTED = r"_lora_[ab]$|/mixer/(memory/|scale$)"
# What a memory of one head size shares with the attention beside it.
_SHARED = ("q", "k", "v", "out")


def graft(
  config: LMConfig, params: dict, memory: Entry | None, every: int = 1, rank: int = 8
) -> tuple[nn.Module, dict]:
  """The model with a memory beside the one it has, and what it knows in its new place.

  Args:
    config: of a model whose pattern is one entry, as `interop.smollm` makes it.
    params: its parameters.
    memory: is put beside that of every layer; None adds none. It has as many heads, and
      of the size, as the model's own where it says nothing else.
    every: of so many layers only the last is given the memory; divides the layers.
    rank: of the updates of the kernels of attention and MLP, r >= 1; 0 makes none.

  Returns:
    The model, and the parameters as far as it had them.

  Raises:
    UserError: see `check`.
  """
  check(config, memory, every, rank)
  (item,), count = config.pattern, config.num_groups
  if memory is None:
    every = 1
  block = params["stack"]["groups"]["block_0"]
  part = lambda i: jax.tree.map(lambda a: a[i::every], block)
  blocks = {f"block_{i}": part(i) for i in range(every)}
  pattern = [item] * every
  if memory is not None:
    last = blocks[f"block_{every - 1}"]
    last["mixer"] = {"base": last["mixer"]}
    pattern[-1] = entry("sum", item, sized(memory, item))
  config = dataclasses.replace(
    config, pattern=tuple(pattern), num_groups=count // every
  )
  frozen = {**params, "stack": {"groups": blocks}}
  return _updated(LM(config), rank), frozen


def check(config: LMConfig, memory: Entry | None, every: int, rank: int) -> None:
  """Raises UserError if `graft` cannot be done, before any device work.

  Args: those of `graft`.
  """
  if rank:
    require("qwix", extra="lora")
  if memory is None:
    return
  (item,), count = config.pattern, config.num_groups
  if every < 1 or count % every:
    raise UserError(
      f"a memory every {every} layers: it must be a divisor of the {count} layers"
    )
  built(sized(memory, item), config.d_model, config.dtype, written=memory)


def sized(memory: Entry, item: Entry) -> Entry:
  """The memory with heads as those of an entry of attention, where it can have them."""
  own = dict(item.options)
  heads = {"num_heads": own["num_heads"]}
  heads |= {"key_dim": own["head_dim"], "value_dim": own["head_dim"]}

  def one(memory):
    known = options(memory.name)
    shared = {key: value for key, value in heads.items() if key in known}
    return set_options(memory, **(shared | dict(memory.options)))

  return edit((memory,), one)[0]


def _updated(model: LM, rank: int) -> nn.Module:
  """The model with low-rank updates of kernels, not scaled: alpha is the rank."""
  if not rank:
    return model
  import qwix

  provider = qwix.LoraProvider(module_path=UPDATED, rank=rank, alpha=float(rank))
  return qwix.apply_lora_to_model(model, provider, methods=("__call__", "losses"))


def first(
  model: nn.Module, frozen: dict, key: Array, start: str = "attention"
) -> tuple[dict, dict]:
  """What is trained, before the first step, and its logical axis names.

  Args:
    model: see `graft`.
    frozen: what the model knows.
    key: of the random numbers.
    start: "attention": the memory's kernels q, k, v and out begin as those of the
      attention beside it where their sizes are the same; "random": as in a new model.
  """
  tokens = jnp.zeros((1, 2), jnp.int32)
  new = lambda tree: difference(tree, frozen)

  def draw(key):
    return model.init(key, tokens, model.init_state(1))["params"]

  names = new(meshes.param_names(jax.eval_shape(draw, key)))
  # compiled, so that the model that is not wanted is never drawn
  fresh = jax.jit(lambda key: new(meshes.unboxed(draw(key))))(key)
  if start == "attention":
    fresh = _copied(fresh, frozen)
  return fresh, names


def _copied(fresh: dict, frozen: dict) -> dict:
  """The memory's kernels begin as the attention's, each key head as often as read."""
  fresh, frozen = map(traverse_util.flatten_dict, (fresh, frozen))
  base = {
    path: jnp.repeat(a, _repeats(frozen, path), axis=2) if path[-2] in "kv" else a
    for path, a in frozen.items()
    if path[-4:-2] == ("mixer", "base") and path[-2] in _SHARED
  }
  for path, a in base.items():
    *outer, _, name, leaf = path
    own = (*outer, "memory", name, leaf)
    if own in fresh and fresh[own].shape == a.shape:
      fresh[own] = a
    fused = (*outer, "memory", "qkv", leaf)
    if name == "q" and fused in fresh:
      parts = [base[(*outer, "base", n, leaf)] for n in "qkv"]
      flat = [p.reshape(*p.shape[:2], -1) for p in parts]
      joined = jnp.concatenate(flat, axis=-1)
      if joined.shape == fresh[fused].shape:
        fresh[fused] = joined
  return traverse_util.unflatten_dict(fresh)


def _repeats(frozen: dict, path: tuple[str, ...]) -> int:
  """How many query heads read a key head."""
  return frozen[(*path[:-2], "q", path[-1])].shape[2] // frozen[path].shape[2]


def difference(tree: dict, known: dict) -> dict:
  """The part of a tree of parameters that `known` does not have."""
  flat = traverse_util.flatten_dict(tree)
  rest = flat.keys() - traverse_util.flatten_dict(known).keys()
  return traverse_util.unflatten_dict({k: a for k, a in flat.items() if k in rest})


def join(frozen: dict, fresh: dict) -> dict[str, Any]:
  """All parameters of the model."""
  both = [traverse_util.flatten_dict(tree) for tree in (frozen, fresh)]
  return traverse_util.unflatten_dict(both[0] | both[1])
