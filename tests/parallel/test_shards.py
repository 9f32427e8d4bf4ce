"""Law 7, and training on eight simulated devices."""

import dataclasses
import logging

import jax
import numpy as np
import pytest

from jaxmem import data, mixers, ops
from jaxmem.models.lm import LM, LMConfig
from jaxmem.models.pattern import entry
from jaxmem.ops import rglru, short_conv
from jaxmem.ops.losses import chunked_cross_entropy
from jaxmem.parallel import apply, sequence_parallel
from jaxmem.parallel import mesh as meshes
from jaxmem.parallel.mesh import MeshError
from jaxmem.runtime.checkpoint import Checkpoints
from jaxmem.testing import LawError, check_shards, example_of
from jaxmem.training.config import MeshConfig
from jaxmem.training.step import Program, resolve
from support import runs

ONE = MeshConfig(data=1)
DEVICES = 8
SEQ = MeshConfig(data=1, seq=8)
MIXED = MeshConfig(data=2, fsdp=2, seq=2)
TENSOR = MeshConfig(data=2, fsdp=2, tensor=2)


@pytest.mark.parametrize(
  "name", ["gated_delta", "rglru", "complex_diagonal", "window", "short_conv"]
)
def test_shards_do_not_matter(name):
  check_shards(ops.get(name))


@pytest.mark.parametrize("rows, how", [(3, "waits for its turn"), (8, "swaps time")])
def test_shards_do_not_matter_to_a_nonlinear_memory(rows, how, caplog):
  sequence_parallel._log_once.cache_clear()
  with caplog.at_level(logging.INFO, "jaxmem"):
    check_shards(ops.get("lstm"), batch_size=rows)

  assert len(caplog.records) == 1 and how in caplog.text


def test_shards_do_not_matter_to_sinks_and_windows_of_many_shards():
  """Shards have 4 tokens, the window 11, and sinks lie further back than that."""
  window = mixers.get("window").Mixer
  check_shards(window(8, window_size=11, num_heads=2, num_kv_heads=1, num_sinks=3))


def _tokens(key, rows, length):
  return jax.random.randint(key, (rows, length), 0, 11)


@pytest.mark.full
def test_shards_do_not_matter_to_the_hybrid_model():
  model = dataclasses.replace(runs.MODEL, vocab_size=11, dtype="float32")
  check_shards(LM(model), inputs=_tokens)


@pytest.mark.full
@pytest.mark.parametrize("name", ops.names())
def test_op_obeys_law_7_in_full(name):
  check_shards(ops.get(name), (2, 4, 8))
  check_shards(ops.get(name), (2, 4, 8), batch_size=8, seed=1)


@pytest.mark.full
@pytest.mark.parametrize("name", mixers.names())
def test_mixer_obeys_law_7_in_full(name):
  check_shards(mixers.get(name).Mixer(d_model=8, **example_of(name)), (2, 4, 8))


@pytest.mark.full
@pytest.mark.parametrize("window_size", [1, 4, 9, 16, 40])
@pytest.mark.parametrize("num_sinks", [0, 5])
def test_window_of_any_size_obeys_law_7(window_size, num_sinks):
  mixer = mixers.get("window").Mixer(
    8, window_size=window_size, num_heads=2, num_sinks=num_sinks, block_size=8
  )
  check_shards(mixer, (2, 4, 8))


@pytest.mark.full
def test_hybrid_of_every_family_obeys_law_7():
  names = {mixers.get(name).Mixer.family: name for name in mixers.carrying()}
  pattern = tuple(entry(name, **example_of(name)) for name in names.values())
  model = LMConfig(11, 16, 32, pattern, num_groups=2, remat=True, tied=False)
  check_shards(LM(model), (2, 4, 8), inputs=_tokens)


def test_check_shards_names_law_shards_and_position(monkeypatch):
  monkeypatch.setattr(
    sequence_parallel, "_composed", lambda kind, call, state, count: state
  )

  with pytest.raises(LawError) as error:
    check_shards(short_conv, (2,))

  assert "law 7 (shards don't matter)" in str(error.value)
  assert "jaxmem.ops.short_conv on 2 shards" in str(error.value)
  assert "at row " in str(error.value)


def test_one_token_is_the_plain_form_and_odd_lengths_name_both_numbers(key):
  params, inputs, state = rglru.example(key, 2, 12)
  token = jax.tree.map(lambda a: a[:, :1], inputs)

  def run():
    return jax.jit(lambda *args: apply.apply(rglru, "auto", *args))

  plain = run()(params, token, state)
  with jax.set_mesh(meshes.make(SEQ)):
    decoded = run()(params, token, state)
    with pytest.raises(ValueError, match="12 tokens do not divide into 8 shards"):
      apply.apply(rglru, "auto", params, inputs, state)

  assert runs.digest(decoded) == runs.digest(plain)


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
  return runs.write_corpus(tmp_path_factory.mktemp("corpus"))


def _program(corpus, mesh, pattern=runs.PATTERN[1:3]):
  """Has two memories, since compiling all takes minutes; the full run has all."""
  model = dataclasses.replace(runs.MODEL, pattern=pattern)
  config = resolve(runs.config(corpus, model=model, mesh=mesh))
  count = mesh.data * mesh.fsdp * mesh.tensor * mesh.seq
  return Program(config, meshes.make(mesh, jax.devices()[:count]))


def _trained(program, steps=3):
  """Returns the state after several steps, and the losses."""
  config = program.config
  prepared = data.prepare(config.task.source)
  tokenizer = data.tokenizers.get(config.task.tokenizer)
  stream = data.TokenStream.from_corpus(prepared, tokenizer, "train")
  lanes = data.Lanes(stream, config.task.batch_size, config.task.segment_length, 0)
  state, losses = program.init(), []
  for step in range(steps):
    state, metrics = program.step(state, program.put(lanes[step]))
    losses.append(float(metrics["loss"]))
  return state, losses


@pytest.fixture(scope="module")
def single(corpus):
  return _trained(_program(corpus, ONE))


@pytest.mark.parametrize("mesh", [SEQ, MIXED, TENSOR], ids=str)
def test_eight_devices_train_like_one(corpus, single, mesh, tmp_path):
  program = _program(corpus, mesh)
  state, losses = _trained(program)

  np.testing.assert_allclose(losses, single[1], rtol=1e-4)
  _has_the_sharding_of_the_mesh(state, program)
  if mesh is MIXED:
    _restores_anywhere(corpus, state, tmp_path)


@pytest.mark.full
@pytest.mark.parametrize("mesh", [SEQ, MIXED], ids=str)
def test_eight_devices_train_the_hybrid_model_like_one(corpus, mesh):
  program = _program(corpus, mesh, runs.PATTERN)
  state, losses = _trained(program)
  _, want = _trained(_program(corpus, ONE, runs.PATTERN))

  np.testing.assert_allclose(losses, want, rtol=1e-4)
  _has_the_sharding_of_the_mesh(state, program)


def _has_the_sharding_of_the_mesh(state, program):
  """Checks that every parameter, moment and memory is sharded by the mesh's rules."""
  for (path, got), want in zip(
    jax.tree_util.tree_leaves_with_path(state),
    jax.tree.leaves(program.shardings),
    strict=True,
  ):
    assert got.sharding.is_equivalent_to(want, got.ndim), path


def _restores_anywhere(corpus, state, workdir):
  """Checks that a checkpoint of one mesh is restored bit by bit on another."""
  with Checkpoints(workdir, keep=1) as checkpoints:
    checkpoints.save(3, state, {"step": 3, "fingerprint": ""}, {})
    checkpoints.wait()
    for mesh in (ONE, SEQ):
      program = _program(corpus, mesh)
      restored = checkpoints.restore(program.target()).state
      assert runs.digest(restored) == runs.digest(state)
      _has_the_sharding_of_the_mesh(restored, program)


def test_shardings_cut_what_the_mesh_says(corpus):
  """A rule that replicates everything would pass the other tests, and fails here."""
  program = _program(corpus, MIXED)
  state = program.init()

  kernel = state.params["stack"]["groups"]["block_0"]["mixer"]["out"]["kernel"]
  assert {s.data.shape for s in kernel.addressable_shards} == {
    (*kernel.shape[:-1], kernel.shape[-1] // 2)
  }
  assert {s.data.shape[0] for s in state.memory[0].delta.s.addressable_shards} == {2}
  tokens = program.put(
    {
      key: np.zeros((8, 16), np.int32)
      for key in ("tokens", "targets", "reset", "weights")
    }
  )["tokens"]
  assert {s.data.shape for s in tokens.addressable_shards} == {(2, 8)}


def test_time_that_does_not_divide_names_both_numbers(corpus):
  config = resolve(runs.config(corpus, mesh=SEQ))
  odd = dataclasses.replace(config.task, segment_length=12)
  with pytest.raises(MeshError, match="'time' of size 12 .* into 8 parts"):
    Program(dataclasses.replace(config, task=odd), meshes.make(SEQ))


def test_loss_of_a_shard_stays_on_its_device(key):
  """No device receives or computes the features of other shards for the loss."""
  x = jax.random.normal(key, (4, 64, 8))
  targets = _tokens(key, 4, 64)
  table = jax.random.normal(key, (11, 8))

  def nats(x, targets):
    return chunked_cross_entropy(x, table, targets, chunk_size=5)

  mesh = meshes.make(MeshConfig(data=2, seq=4))
  with jax.set_mesh(mesh):
    sharding = meshes.batch_sharding(mesh)
    run = jax.jit(lambda *args: apply.by_token(nats, *args))
    run = run.lower(*jax.device_put((x, targets), sharding)).compile()
    got = run(*jax.device_put((x, targets), sharding))

  np.testing.assert_allclose(got, nats(x, targets), rtol=1e-5)
  assert "all-gather" not in run.as_text()
