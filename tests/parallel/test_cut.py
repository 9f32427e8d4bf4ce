"""Attention over shards of time: its collectives, its balance of work, and law 7."""

import collections
import dataclasses
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import PartitionSpec

from jaxmem import mixers, ops
from jaxmem.ops.attention_core import cache
from jaxmem.ops.attention_core.masks import Causal
from jaxmem.ops.attention_core.tokens import Tokens, visited
from jaxmem.parallel import apply, ring
from jaxmem.parallel import mesh as meshes
from jaxmem.parallel.mesh import MeshConfig, MeshError
from jaxmem.testing import check_shards

DEVICES = 8

ATTENTION = {"capacity": 64, "block_size": 4, "num_kv_heads": 2}
WINDOW = {"window_size": 11, "block_size": 4, "num_kv_heads": 2}
LEARNED = {"bias": "buckets", "learned_sink": True, "logit_cap": 5.0}


def _mixer(name, **options):
  return mixers.get(name).Mixer(d_model=8, **options)


@pytest.mark.parametrize("layout, shards", [("ring", 4), ("ulysses", 2)])
def test_shards_do_not_matter_to_attention(layout, shards):
  with meshes.attention_layout(layout):
    check_shards(_mixer("attention", **ATTENTION, **LEARNED), (shards,))


@pytest.mark.full
@pytest.mark.parametrize("layout", ["ring", "ulysses"])
@pytest.mark.parametrize("options", [{}, LEARNED, {"bias": "alibi"}], ids=str)
def test_attention_obeys_law_7_in_every_layout(layout, options):
  heads = {"num_heads": 8, "num_kv_heads": 8, "head_dim": 2}
  with meshes.attention_layout(layout):
    check_shards(_mixer("attention", **ATTENTION | heads, **options), (2, 4, 8))


@pytest.mark.full
@pytest.mark.parametrize("options", [LEARNED, {"bias": "alibi"}], ids=str)
@pytest.mark.parametrize("num_sinks", [0, 3])
@pytest.mark.parametrize("window_size", [3, 11, 30])
def test_window_obeys_law_7_with_biases(window_size, num_sinks, options):
  sizes = {"window_size": window_size, "num_sinks": num_sinks}
  check_shards(_mixer("window", **WINDOW | sizes, **options), (2, 4, 8))


@pytest.mark.full
@pytest.mark.parametrize("through_memory", [False, True])
@pytest.mark.parametrize("lengths", [(3, 4), (12, 12)])
def test_segments_obey_law_7_by_halo_and_by_ring(lengths, through_memory):
  options = dict(zip(("segment_length", "memory_length"), lengths, strict=True))
  options |= {"through_memory": through_memory, "num_heads": 2, "block_size": 4}
  check_shards(_mixer("transformer_xl", **options), (2, 4, 8))


def _compiled(name, shards, layout, gradient=True, state=False, **options):
  """Returns the HLO of y, or of its gradients, for 64 tokens of an op's example."""
  op = ops.get(name)
  params, inputs, memory = op.example(jax.random.key(0), 2, 64)
  reset = jnp.zeros((2, 64), bool).at[0, 5].set(True)
  config = MeshConfig(data=1, seq=shards, attention=layout)
  mesh = meshes.make(config, jax.devices()[:shards])

  def run(params, inputs, memory, reset):
    sizes = {"block_size": 8}
    got = apply.apply(op, "parallel", params, inputs, memory, reset, sizes, **options)
    return got if state else got[0]

  def total(params, inputs, *memory_and_reset):
    return run(params, inputs, *memory_and_reset).sum()

  with meshes.use(mesh, config):
    inputs, reset = jax.device_put((inputs, reset), meshes.batch_sharding(mesh))
    f = jax.jit(jax.grad(total, (0, 1)) if gradient else run)
    return f.lower(params, inputs, memory, reset).compile().as_text()


def _collectives(hlo):
  """Counts collectives by (kind, shape), times the trips of the loops they are in."""
  bodies, name = {}, ""
  for line in hlo.splitlines():
    if line.endswith("{") and (head := re.match(r"(ENTRY )?%?([\w.\-]+) ", line)):
      name = "entry" if head[1] else head[2]
      bodies[name] = []
    bodies.setdefault(name, []).append(line)
  counts = collections.Counter()

  def walk(name, times):
    for line in bodies[name]:
      for kind in ("all-gather", "collective-permute", "all-to-all", "all-reduce"):
        if result := re.search(rf"= (.*) {kind}(-start)?\(", line):
          counts[kind, re.sub(r"\{.*?\}", "", result[1])] += times
      if " while(" in line:
        trips = re.search(r'known_trip_count":\{"n":"(\d+)"', line)
        body = re.search(r"body=%?([\w.\-]+)", line)[1]
        walk(body, times * int(trips[1]) if trips else times)

  walk("entry", 1)
  return counts


def test_ring_sends_keys_and_values_once_round_and_gathers_nothing():
  shards = 4
  # [T/C, B, H, C, K] of a shard: k and v, and their gradients going home
  part = "f32[2,2,2,8,4]"
  forward = _collectives(_compiled("attention", shards, "ring", gradient=False))
  gradient = _collectives(_compiled("attention", shards, "ring"))

  assert forward["collective-permute", part] == 2 * (shards - 1)
  # forward again, then k and v n - 1 times, and their gradients n times
  assert gradient["collective-permute", part] == 2 * (2 * (shards - 1) + shards)
  for collectives in forward, gradient:
    gathered = [shape for kind, shape in collectives if kind == "all-gather"]
    assert gathered == [f"s32[{shards},2]"]  # where the documents began: a number a row


def test_ring_sends_before_it_computes():
  """A hop sends what the hop before received, so that no send waits for y."""
  op = ops.get("attention")
  params, inputs, state = op.example(jax.random.key(0), 2, 64)
  config = MeshConfig(data=1, seq=4, attention="ring")

  def total(inputs):
    y, _ = apply.apply(op, "parallel", params, inputs, state, None, {"block_size": 8})
    return y.sum()

  with meshes.use(meshes.make(config, jax.devices()[:4]), config):
    jaxpr = jax.make_jaxpr(jax.grad(total))(inputs)
  hops = [body for body in _scans(jaxpr.jaxpr) if _sent(body)]

  assert len(hops) == 2  # forward and back
  for body in hops:
    assert all(sent in body.invars for sent in _sent(body))


def _scans(jaxpr):
  """Yields the bodies of all scans in a jaxpr."""
  for eqn in jaxpr.eqns:
    for inner in jax.tree.leaves(tuple(eqn.params.values()), is_leaf=_is_jaxpr):
      if _is_jaxpr(inner):
        inner = getattr(inner, "jaxpr", inner)
        if eqn.primitive.name == "scan":
          yield inner
        yield from _scans(inner)


def _is_jaxpr(a):
  return hasattr(a, "eqns") or hasattr(a, "jaxpr")


def _sent(jaxpr):
  sent = [eqn.invars for eqn in jaxpr.eqns if eqn.primitive.name == "ppermute"]
  return [var for invars in sent for var in invars]


def test_heads_are_swapped_for_time_by_one_exchange_each_way():
  collectives = _collectives(_compiled("attention", 2, "ulysses", gradient=False))
  exchanged = sum(n for (kind, _), n in collectives.items() if kind == "all-to-all")

  assert exchanged == 4  # q, k and v; y
  assert not any(kind == "collective-permute" for kind, _ in collectives)
  gathered = [shape for kind, shape in collectives if kind == "all-gather"]
  assert not any("f32" in shape for shape in gathered)


def test_window_takes_one_halo_from_its_neighbour():
  """It receives W keys and values of the last shard, and their document starts."""
  collectives = _collectives(_compiled("window", 4, "auto", gradient=False))
  permuted = {shape: n for (kind, shape), n in collectives.items() if "permute" in kind}

  assert permuted == {"f32[2,5,2,4]": 2, "s32[2,5]": 1}
  assert not any("f32" in shape for kind, shape in collectives if kind == "all-gather")


def test_memory_after_the_call_is_exchanged_only_where_it_is_used():
  def exchanged(collectives):
    return [shape for kind, shape in collectives if kind == "all-reduce"]

  unused = _compiled("attention", 4, "ring", gradient=False)
  used = _compiled("attention", 4, "ring", gradient=False, state=True)

  assert not exchanged(_collectives(unused))
  assert exchanged(_collectives(used))


def _work(shards, length, size, dealt):
  """Counts the blocks that each shard computes under a causal mask."""
  mesh = meshes.make(MeshConfig(data=1, seq=shards), jax.devices()[:shards])
  spec = PartitionSpec(None, "seq")
  tokens = cache.call(jnp.zeros(1, jnp.int32), length, None)
  deal = jax.shard_map(
    lambda tokens: ring.zigzag(tokens, "seq"), mesh=mesh, in_specs=spec, out_specs=spec
  )
  tokens = jax.device_get(deal(tokens) if dealt else tokens)

  def cut(a):
    return map(jnp.asarray, np.split(a, shards, axis=1))

  parts = [Tokens(*part) for part in zip(*map(cut, tokens[:2]), strict=True)]

  def count(q, k):
    return int(visited(Causal(), q, k, size).sum())

  return [sum(count(q, k) for k in parts) for q in parts]


@pytest.mark.parametrize("shards", [3, 8])
def test_every_shard_has_the_same_work(shards):
  length = 16 * shards
  in_order = _work(shards, length, 2, dealt=False)
  dealt = _work(shards, length, 2, dealt=True)

  assert max(in_order) > 1.5 * (sum(in_order) / shards)
  assert max(dealt) <= 1.01 * min(dealt)
  assert sum(dealt) == sum(in_order)


def test_chunks_come_back_in_order():
  mesh = meshes.make(MeshConfig(data=1, seq=8))
  spec = PartitionSpec(None, "seq")
  there_and_back = jax.shard_map(
    lambda a: ring.unzigzag(ring.zigzag(a, "seq"), "seq"),
    mesh=mesh,
    in_specs=spec,
    out_specs=spec,
  )
  x = jnp.arange(32)[None]

  np.testing.assert_array_equal(there_and_back(x), x)


def test_layouts_that_do_not_exist_or_do_not_fit_are_refused():
  with pytest.raises(MeshError, match="'zigzag'.*auto, ring, ulysses.*recurrence"):
    meshes.make(MeshConfig(attention="zigzag"))
  with pytest.raises(ValueError, match="2 key heads do not divide into 4 shards"):
    _compiled("attention", 4, "ulysses")
  with pytest.raises(ValueError, match="read more of every token"):
    _compiled("forgetting_attention", 2, "ulysses")


def test_mesh_config_carries_the_layout():
  config = MeshConfig(data=1, seq=2, attention="ring")
  mesh = meshes.make(config, jax.devices()[:2])
  layouts = []
  f = jax.jit(lambda x: layouts.append(meshes.attention_layout.value) or x)
  for layout in ("ring", "ulysses", "ring"):
    with meshes.use(mesh, dataclasses.replace(config, attention=layout)):
      f(1.0)

  assert layouts == ["ring", "ulysses"]  # compiled once for each
