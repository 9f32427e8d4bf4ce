"""Parts of a batch, on one device or several, equal the whole batch on one.

This holds for the loss, the gradient, the memory and every random number.
"""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxmem.models.encoder import EncoderConfig
from jaxmem.models.encoder_decoder import EncoderDecoderConfig
from jaxmem.models.forecaster import ForecasterConfig
from jaxmem.models.lm import LMConfig
from jaxmem.models.pattern import entry
from jaxmem.models.vae import VAEConfig
from jaxmem.parallel import mesh as meshes
from jaxmem.parallel import rows
from jaxmem.parallel.mesh import MeshConfig
from jaxmem.tasks.classification.task import LabelsConfig
from jaxmem.tasks.masked_lm.task import MaskedConfig
from jaxmem.tasks.question_answering.task import SpansConfig
from jaxmem.tasks.retrieval.task import PassagesConfig
from jaxmem.training.adversarial import AdversaryConfig
from jaxmem.training.config import Config, DataConfig, OptimConfig
from jaxmem.training.step import Program

ROWS, LENGTH, IDS = 8, 8, 24
SMALL = dict(
  vocab_size=64, d_model=8, d_ff=8, num_groups=1, dropout=0.3, dtype="float32"
)
ENCODER = SMALL | {"pattern": (entry("gru"),)}
FGM = AdversaryConfig("fgm", radius=0.5)
KINDS = {
  "text": (LMConfig(**SMALL, pattern=(entry("gru"), entry("window", window_size=4))),),
  "masked": (EncoderConfig(**ENCODER), AdversaryConfig("freelb")),
  "labels": (EncoderConfig(**ENCODER, window=4), FGM),
  "spans": (EncoderConfig(**ENCODER, block="post"),),
  "embedding": (EncoderConfig(**ENCODER),),
  "embedding, fgm": (EncoderConfig(**ENCODER), FGM),
  "pairs": (
    EncoderDecoderConfig(
      **SMALL,
      encoder=(entry("gru"),),
      pattern=(entry("gru"), entry("cross_attention")),
      memory_size=LENGTH,
      smoothing=0.1,
    ),
  ),
  "compression": (VAEConfig(**ENCODER, d_latent=3, free_nats=0.1, word_dropout=0.3),),
  "series": (
    ForecasterConfig(
      horizon=3, patch=4, head="gaussian", d_model=8, dropout=0.3, num_groups=1
    ),
  ),
}
# What puts its head on the encoder; the other models have their loss themselves.
TASKS = {
  "masked": MaskedConfig(),
  "labels": LabelsConfig(classes=3, label_smoothing=0.1),
  "spans": SpansConfig(),
  "embedding": PassagesConfig(temperature=0.5),
}

# On 4 devices each has rows in 2 parts, and only some in 4.
PARTS = dict.fromkeys(KINDS, 2) | {"embedding": 4}


def batch_of(model, kind):
  """Draws every field that the model reads; rows have different weights."""
  draw = np.random.default_rng(0)
  batch = {}
  for name, a in jax.eval_shape(lambda: model.example(ROWS, LENGTH)).items():
    if a.dtype == jnp.float32:
      batch[name] = draw.uniform(0.1, 2.0, a.shape).astype(np.float32)
    elif a.dtype == bool:
      batch[name] = draw.random(a.shape) < (0.2 if name == "reset" else 1.0)
    else:
      most = {"label": 3, "first": LENGTH, "last": LENGTH, "types": 1}.get(name, IDS)
      batch[name] = draw.integers(0, most, a.shape).astype(np.int32)
  for name in batch.keys() & {"length", "other_length"}:
    batch[name] = draw.integers(1, LENGTH + 1, ROWS).astype(np.int32)
  if kind == "series":  # several rows of the stack for a row of the batch
    batch |= {n: batch[n].repeat(2, axis=2) for n in ("history", "future")}
  return batch


def program(kind, parts=1, devices=1):
  model, *adversary = KINDS[kind]
  config = Config(
    model=model,
    task=dataclasses.replace(
      TASKS.get(kind.split(",")[0], DataConfig()),
      segment_length=LENGTH,
      batch_size=ROWS,
    ),
    optim=OptimConfig(accumulate=parts),
    mesh=MeshConfig(data=devices),
  )
  if adversary:
    config = dataclasses.replace(config, adversary=adversary[0])
  return Program(config, meshes.make(config.mesh, jax.devices()[:devices]))


def start(program):
  """Returns parameters and a memory that is not empty, without compiling."""
  draw = np.random.default_rng(1)

  def one(a):
    if a.dtype != jnp.float32:
      return np.zeros(a.shape, a.dtype)
    return draw.uniform(-0.7, 0.7, a.shape).astype(a.dtype)

  return jax.tree.map(one, (program.shapes.params, program.shapes.memory))


@functools.cache
def compiled(kind, parts, devices):
  """Returns the gradient, compiled for a placed batch, and its arguments."""
  run = program(kind, parts, devices)
  batch, (params, memory) = batch_of(run.model, kind), start(run)
  names = meshes.shardings(run.mesh, run.model.state_axes(), memory)
  memory = jax.device_put(memory, names)
  moving = run.trainable.part(params)
  args = moving, params, memory, run.put(batch), jax.random.key(5)
  with meshes.use(run.mesh, run.config.mesh):
    return jax.jit(run._gradients).lower(*args).compile(), args


@pytest.mark.parametrize("kind, parts", PARTS.items())
def test_parts_over_devices_are_the_whole_batch(kind, parts):
  """It holds with dropout, an adversary or a latent, on 4 devices."""
  results = []
  for number, devices in ((1, 1), (parts, 4)):
    call, args = compiled(kind, number, devices)
    results.append(jax.device_get(call(*args)))

  (grads, nats, memory), (grads2, nats2, memory2) = results
  assert np.isfinite(nats) and nats != 0
  np.testing.assert_allclose(nats, nats2, rtol=1e-5)
  for a, b in zip(jax.tree.leaves(grads), jax.tree.leaves(grads2), strict=True):
    np.testing.assert_allclose(a, b, rtol=1e-3, atol=2e-5 * max(1, np.abs(a).max()))
  for a, b in zip(jax.tree.leaves(memory), jax.tree.leaves(memory2), strict=True):
    np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)


def test_a_part_has_rows_of_every_device():
  """So the work of a device does not grow: the loop over 2 parts, of which XLA counts
  one pass, is half of what one device of 4 does for the whole batch."""
  flops = {}
  for parts in (1, 2):
    call, _ = compiled("spans", parts, 4)
    flops[parts] = call.cost_analysis()["flops"]
  assert flops[2] < 0.75 * flops[1], flops


def test_sown_losses_are_weighed_alike_in_parts():
  """The mean is over all rows, for all weights of the rows of a part."""
  run = program("spans")
  batch = batch_of(run.model, "spans") | {"number": np.arange(ROWS)}
  batch["share"] = np.full(ROWS, batch["weights"].sum() / ROWS, np.float32)

  def apply(variables, batch, *_, **__):  # sows the rows' numbers
    return (jnp.zeros(len(batch["number"])), ()), {
      "losses": batch["number"].astype(jnp.float32)
    }

  object.__setattr__(run.model, "apply", apply)

  def part(index):
    return {name: jnp.asarray(a[index]) for name, a in batch.items()}

  def loss(index):
    return float(run._loss({}, (), part(index), None)[0])

  everything = np.arange(ROWS)
  halves = loss(everything[::2]) + loss(everything[1::2])
  assert loss(everything) == pytest.approx(halves, rel=1e-6) and halves > 0


def test_numbers_of_a_row_do_not_depend_on_the_others():
  sample, key = jax.random.normal, jax.random.key(3)
  all_rows = rows.draw(sample, key, (6, 4))
  with rows.numbered(jnp.array([4, 1])):
    two_rows = rows.draw(sample, key, (2, 4))
    windows = rows.draw(sample, key, (4, 4))  # two of each row
    with pytest.raises(ValueError, match="3 rows are drawn for a batch of 2"):
      rows.draw(sample, key, (3, 4))
  np.testing.assert_array_equal(two_rows, all_rows[np.array([4, 1])])
  assert len(np.unique(np.asarray(all_rows))) == 24
  assert len(np.unique(np.asarray(windows))) == 16
  assert rows.draw(sample, key, (0, 4)).shape == (0, 4)  # a batch without rows
