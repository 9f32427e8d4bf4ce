"""Grafts: a memory and low-rank updates on a trained model whose weights are frozen.

    model, frozen, names = graft(config, params, entry("gated_delta"), rank=8)
    fresh = first(model, frozen, jax.random.key(0))
    losses, state = model.apply({"params": join(frozen, fresh)}, ..., method="losses")

`frozen` are the parameters that the model had, `fresh` are those that are trained. At
first the outputs are unchanged, since a memory's scale and half of every update are 0.

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

# The kernels of a Llama that get an update, by the path of their module.
UPDATED = r".*/mixer/(base/)?(q|k|v|out)|.*/mlp/(gate|up|down)"
# The parameters that `graft` adds to a model and `first` draws, by their paths.
GRAFTED = r"_lora_[ab]$|/mixer/(memory/|scale$)"
# The kernels that a memory with the same heads can copy from the attention beside it.
_SHARED = ("q", "k", "v", "out")


def graft(
  config: LMConfig, params: dict, memory: Entry | None, every: int = 1, rank: int = 8
) -> tuple[nn.Module, dict]:
  """Adds a memory beside the attention of a model, and moves its parameters.

  Args:
    config: the config of a model whose pattern is one entry, as `interop.smollm` makes
      it.
    params: its parameters.
    memory: the memory that is added; None adds none. The number and the size of its
      heads are those of the attention where the entry sets no others.
    every: only the last of so many layers gets the memory; divides the layers.
    rank: the rank of the updates of the kernels of attention and MLP; 0 makes none.

  Returns:
    The model, and the parameters that it had, at their new paths.

  Raises:
    UserError: see `check`.
  """
  check(config, memory, every, rank)
  (item,), count = config.pattern, config.num_groups
  if memory is None:
    every = 1
  # a group has `every` layers now: layer l becomes block l % every of group l // every
  layers = params["stack"]["groups"]["block_0"]  # arrays [count, ...]
  blocks = {
    f"block_{i}": jax.tree.map(lambda a, i=i: a[i::every], layers) for i in range(every)
  }
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
  """Raises UserError if `graft` is impossible, before any device work.

  Args:
    config: see `graft`.
    memory: see `graft`.
    every: see `graft`.
    rank: see `graft`.

  Raises:
    UserError: if a package is missing, `every` does not divide the layers, or the
      memory cannot be built.
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
  """Gives a memory the heads of an entry of attention, where it has such options.

  Args:
    memory: the memory; options that it sets are kept.
    item: the entry of attention.
  """
  attention = dict(item.options)
  heads = {
    "num_heads": attention["num_heads"],
    "key_dim": attention["head_dim"],
    "value_dim": attention["head_dim"],
  }

  def set_heads(memory):
    names = options(memory.name)
    shared = {key: value for key, value in heads.items() if key in names}
    return set_options(memory, **(shared | dict(memory.options)))

  return edit((memory,), set_heads)[0]


def _updated(model: LM, rank: int) -> nn.Module:
  """Adds low-rank updates of kernels to a model."""
  if not rank:
    return model
  import qwix

  # an update is scaled by alpha / rank: this is no scale
  provider = qwix.LoraProvider(module_path=UPDATED, rank=rank, alpha=float(rank))
  return qwix.apply_lora_to_model(model, provider, methods=("__call__", "losses"))


def first(
  model: nn.Module, frozen: dict, key: Array, start: str = "attention"
) -> tuple[dict, dict]:
  """Draws the parameters that are trained.

  Args:
    model: see `graft`.
    frozen: the parameters that the model had.
    key: the random key.
    start: "attention": the memory's kernels q, k, v and out begin as those of the
      attention beside it where their sizes are the same; "random": they are drawn.

  Returns:
    The parameters before the first step, and their logical axis names.
  """
  tokens = jnp.zeros((1, 2), jnp.int32)

  def draw(key):
    return model.init(key, tokens, model.init_state(1))["params"]

  names = difference(meshes.param_names(jax.eval_shape(draw, key)), frozen)
  # compiled, so that XLA removes the draw of the frozen parameters
  fresh = jax.jit(lambda key: difference(meshes.unboxed(draw(key)), frozen))(key)
  if start == "attention":
    fresh = _copied(fresh, frozen)
  return fresh, names


def _copied(fresh: dict, frozen: dict) -> dict:
  """Copies the attention's kernels to those of the memory that have their shapes."""
  fresh, frozen = map(traverse_util.flatten_dict, (fresh, frozen))
  # a memory has a key head for each query head: a shared one is repeated
  base = {
    path: jnp.repeat(a, _repeats(frozen, path), axis=2) if path[-2] in "kv" else a
    for path, a in frozen.items()
    if path[-4:-2] == ("mixer", "base") and path[-2] in _SHARED
  }
  for path, a in base.items():
    *outer, _, name, leaf = path
    target = (*outer, "memory", name, leaf)
    if target in fresh and fresh[target].shape == a.shape:
      fresh[target] = a
    fused = (*outer, "memory", "qkv", leaf)
    if name == "q" and fused in fresh:
      kernels = [base[(*outer, "base", n, leaf)] for n in "qkv"]  # [G, D, N, H]
      flat = [kernel.reshape(*kernel.shape[:2], -1) for kernel in kernels]
      joined = jnp.concatenate(flat, axis=-1)  # [G, D, 3 N H]
      if joined.shape == fresh[fused].shape:
        fresh[fused] = joined
  return traverse_util.unflatten_dict(fresh)


def _repeats(frozen: dict, path: tuple[str, ...]) -> int:
  """Returns how many query heads share a key head."""
  return frozen[(*path[:-2], "q", path[-1])].shape[2] // frozen[path].shape[2]


def difference(tree: dict, other: dict) -> dict:
  """Returns the part of a tree whose paths another tree does not have.

  Args:
    tree: parameters.
    other: parameters with some of its paths.
  """
  flat, paths = traverse_util.flatten_dict(tree), traverse_util.flatten_dict(other)
  return traverse_util.unflatten_dict({k: a for k, a in flat.items() if k not in paths})


def join(frozen: dict, fresh: dict) -> dict[str, Any]:
  """Returns all parameters of the model.

  Args:
    frozen: see `graft`.
    fresh: see `first`.
  """
  flat = traverse_util.flatten_dict(frozen) | traverse_util.flatten_dict(fresh)
  return traverse_util.unflatten_dict(flat)
