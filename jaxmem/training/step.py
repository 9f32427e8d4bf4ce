"""What a config means on a mesh: the model, the optimizer, and the compiled step."""

import dataclasses
import functools
import math
from typing import Any

import jax
import jax.numpy as jnp
import optax
from flax import linen as nn

from jaxmem import data, tasks
from jaxmem.core.errors import ConfigError
from jaxmem.core.finite import all_finite
from jaxmem.models import pattern, state_init
from jaxmem.models.stack import blocks_of
from jaxmem.parallel import mesh as meshes
from jaxmem.parallel import rows
from jaxmem.training import accumulate, adversarial, optimizer
from jaxmem.training import config as configs
from jaxmem.training.config import Config
from jaxmem.training.schedule import schedule
from jaxmem.training.state import TrainState, check_carried, check_mesh
from jaxmem.training.trainable import Trainable
from jaxmem.training.validation import none_yet


def resolve(config: Config) -> Config:
  """The config with everything that was left to the machine filled in, and checked.

  Raises:
    ConfigError: if it cannot be run.
  """
  config = configs.typed(config)
  configs.check(config)
  model = tasks.fit(config.model, config.task)
  low = "float32" if jax.default_backend() == "cpu" else "bfloat16"
  dtype = low if model.dtype == "auto" else model.dtype
  warmup = config.optim.warmup(config.steps)
  optim = dataclasses.replace(config.optim, warmup_steps=warmup)
  model = dataclasses.replace(model, dtype=dtype)
  return dataclasses.replace(config, model=model, optim=optim)


class Program:
  """A config on a mesh: `init` makes the state, `step` moves it by one batch.

  Attributes:
    config: resolved.
    mesh: the devices.
    model: see `models.TrainableModel`.
    trainable: which parameters move.
    optimizer: of these; None where the program does not train.
    shapes: of the state.
    shardings: of the state.
  """

  def __init__(
    self,
    config: Config,
    mesh: jax.sharding.Mesh,
    model: nn.Module | None = None,
    trains: bool = True,
  ):
    """Traces the model, and so finds what does not fit, before any device work.

    Args:
      config: resolved.
      mesh: the devices.
      model: in the place of the task's, such as one with low-rank updates.
      trains: False makes no optimizer, for a state that is only read.

    Raises:
      ConfigError: if the model, the optimizer or its schedule cannot be built.
      MeshError: if an array does not divide.
    """
    if model is None:
      model = tasks.make_model(config.model, config.task)
    self.config, self.mesh, self.model = config, mesh, model
    check_mesh(config, self.model, mesh)
    example = jax.eval_shape(self._example)
    for array in example.values():  # the rows divide, or say so
      meshes.shardings(mesh, meshes.batch_names(array.ndim), array)
    try:
      memory = jax.eval_shape(lambda: self.model.init_state(config.task.batch_size))
      with meshes.use(mesh, config.mesh):
        key = jax.random.key(0)
        boxed = jax.eval_shape(self._parameters, key, example, memory)
    except (ValueError, TypeError, ArithmeticError, IndexError) as error:
      message = (str(error).strip().splitlines() or [type(error).__name__])[0]
      shown = pattern.show(config.model.pattern)
      raise ConfigError(
        f"model.pattern {shown!r} cannot be built: {message}"
      ) from error
    check_carried(config, self.model, memory)
    names = meshes.param_names(boxed)
    self.trainable = Trainable(config.optim.trainable, names)
    self.optimizer = None
    if trains:
      moving = self.trainable.part
      self._rate = schedule(config.optim, config.steps)
      self.optimizer = optimizer.make(config.optim, config.steps, moving(names))
      optimizer.check(config.optim, self.optimizer, moving(meshes.unboxed(boxed)))
    self.shapes = jax.eval_shape(self._init, jax.random.key(0))
    params = meshes.shardings(mesh, names, self.shapes.params)
    pairs = jax.tree.map(lambda a, s: (a.shape, s), self.shapes.params, params)
    one = meshes.replicated(mesh)
    self.shardings = TrainState(
      step=one,
      params=params,
      opt_state=optimizer.placed(self.shapes.opt_state, pairs, one),
      memory=meshes.shardings(mesh, self.model.state_axes(), self.shapes.memory),
      rng=one,
      ema=self._first_average(params),
      best=jax.tree.map(lambda _: one, self.shapes.best),
    )
    self._begin = jax.jit(self._init, out_shardings=self.shardings)
    self._compiled = jax.jit(
      self._step, donate_argnums=0, out_shardings=(self.shardings, one)
    )

  def step(self, state: TrainState, batch: dict) -> tuple[TrainState, dict]:
    """The state after a batch, and the metrics; the old state is donated."""
    # where the mesh cuts time, mixers see it
    with meshes.use(self.mesh, self.config.mesh):
      return self._compiled(state, batch)

  def init(self, params: Any = None) -> TrainState:
    """The state before the first step, made where it lives.

    Args:
      params: to begin with, copied; None draws them.
    """
    key = jax.random.key(self.config.seed)
    return self._begin(key, params)

  def target(self) -> TrainState:
    """Shapes, dtypes and shardings of the state: what a checkpoint is restored into."""
    struct = lambda a, s: jax.ShapeDtypeStruct(a.shape, a.dtype, sharding=s)
    return jax.tree.map(struct, self.shapes, self.shardings)

  def check_memory(self) -> None:
    """Raises ConfigError if the state alone is larger than the memory of a device.

    What a step computes besides is not known before it is compiled, so a state that
    passes may yet be too large.
    """
    shard = lambda a, s: math.prod(s.shard_shape(a.shape)) * a.dtype.itemsize
    needed = sum(jax.tree.leaves(jax.tree.map(shard, self.shapes, self.shardings)))
    held = meshes.device_memory()
    if held and needed > held:
      show = lambda size: f"{size / 2**30:,.1f} GiB"
      raise ConfigError(
        f"parameters, optimizer and memory take {show(needed)} a device, which has "
        f"{show(held)}: lower model.d_model, model.d_ff, model.num_groups, "
        "model.vocab_size or task.batch_size, or raise mesh.fsdp"
      )

  @property
  def weights(self) -> tuple[str, ...]:
    """The fields of the state that `weights_of` reads."""
    if not self.config.optim.ema:
      return ("params",)
    return ("ema",) if self.trainable.all else ("params", "ema")

  def weights_of(self, state: TrainState) -> Any:
    """The parameters that are scored and used: their average where there is one."""
    if not self.config.optim.ema:
      return state.params
    return self.trainable.join(state.ema, state.params)

  def put(self, batch: data.lanes.Batch) -> dict[str, jax.Array]:
    """This process's rows of a batch, as arrays over all devices."""
    place = jax.make_array_from_process_local_data
    where = lambda array: meshes.batch_sharding(self.mesh, array.ndim)
    return {k: place(where(a), a) for k, a in batch.items() if k != "rows"}

  def _example(self) -> dict[str, jax.Array]:
    c = self.config.task
    return self.model.example(c.batch_size, c.segment_length)

  def _parameters(self, key: jax.Array, batch: dict, memory: Any) -> Any:
    """Fresh parameters, in the boxes that Flax keeps their names in."""
    return self.model.init(key, batch, memory, method="objective")["params"]

  def _init(self, key: jax.Array, params: Any = None) -> TrainState:
    memory = self.model.init_state(self.config.task.batch_size)
    init, rng = jax.random.split(key)
    if params is None:
      params = meshes.unboxed(self._parameters(init, self._example(), memory))
    moving = self.trainable.part(params)
    opt_state = self.optimizer.init(moving) if self.optimizer else ()
    return TrainState(
      step=jnp.zeros((), jnp.int32),
      params=params,
      opt_state=opt_state,
      memory=memory,
      rng=jax.random.key_data(rng),
      ema=self._first_average(params),
      best=none_yet() if self.config.validation.every else (),
    )

  def _step(self, state: TrainState, batch: dict) -> tuple[TrainState, dict]:
    """One update. A step counts only if its loss, its gradient and all of the state
    after it are finite; any other changes nothing but the count of steps."""
    c = self.config
    rng = jax.random.fold_in(jax.random.wrap_key_data(state.rng), state.step)
    memory = state_init.begin(
      c.segment_start, blocks_of(c.model), state.memory, rng, c.noise_scale
    )
    # frozen parameters pass by: no gradient, no update, no choice between old and new
    frozen = state.params
    state = state._replace(params=self.trainable.part(frozen))
    grads, nats, memory = self._gradients(state.params, frozen, memory, batch, rng)
    count = jnp.maximum(batch["weights"].sum(), 1)
    grads = jax.tree.map(lambda g: g / count, grads)
    norm = optax.tree.norm(grads)
    with jax.numpy_dtype_promotion("standard"):  # Optax mixes step counts with floats
      rate = self._rate(optimizer.count(state.opt_state, state.step))
      rate = jnp.asarray(rate, jnp.float32)
      updates, opt_state = self.optimizer.update(grads, state.opt_state, state.params)
    params = optax.apply_updates(state.params, updates)
    new = state._replace(
      params=params,
      opt_state=opt_state,
      memory=jax.lax.stop_gradient(memory),
      ema=self._average(state, params),
    )
    good = all_finite((nats, norm, new.params, new.opt_state, new.memory, new.ema))
    kept = jax.tree.map(lambda a, b: jnp.where(good, a, b), new, state)
    metrics = {
      "loss": nats / count,
      "grad_norm": norm,
      "learning_rate": rate,
      "skipped": ~good,
    }
    params = self.trainable.join(kept.params, frozen)
    return kept._replace(step=state.step + 1, params=params), metrics

  def _first_average(self, params: Any) -> Any:
    """What the moving average begins as: the parameters that move."""
    return self.trainable.part(params) if self.config.optim.ema else ()

  def _average(self, state: TrainState, params: Any) -> Any:
    """The moving average of the parameters; early on it forgets sooner."""
    if not self.config.optim.ema:
      return ()
    step = state.step.astype(jnp.float32)
    decay = jnp.minimum(self.config.optim.ema, (1 + step) / (10 + step))
    return optax.incremental_update(params, state.ema, 1 - decay)

  def _gradients(self, params, frozen, memory, batch, rng):
    """The gradient of the summed loss by what moves, in parts of the rows."""
    count, parts = self.config.task.batch_size, self.config.optim.accumulate
    # what a part must know of the whole: its rows' numbers, and their mean weight
    share = jnp.broadcast_to(batch["weights"].sum() / count, (count,))
    batch = batch | {"number": jnp.arange(count), "share": share}
    of_moving = lambda f: (
      lambda params, *rest: f(self.trainable.join(params, frozen), *rest)
    )
    if parts == 1:
      differentiate = adversarial.whole
    elif getattr(self.model, "across_rows", False):
      # what the loss reads of each row, and what mixers sow
      by_row = functools.partial(self._apply, method="by_row")
      passes = accumulate.in_two_passes(of_moving(by_row), self._across, parts)
      differentiate = lambda _: passes
    else:
      names = self.model.state_axes()
      differentiate = lambda loss: accumulate.in_parts(loss, parts, names)
    shape = getattr(self.model, "noise_shape", None)
    gradient = adversarial.gradient(
      of_moving(self._loss), self.config.adversary, shape, differentiate
    )
    (nats, memory), grads = gradient(params, memory, batch, rng)
    return grads, nats, memory

  def _loss(self, params, memory, batch, rng):
    """Summed nats, and what mixers sow as losses: means, weighed by the tokens."""
    (nats, memory), extra = self._apply(params, batch, rng, "objective", memory)
    return (nats * batch["weights"]).sum() + extra, memory

  def _across(self, vectors, batch):
    return (self.model.nats_across(vectors, batch) * batch["weights"]).sum()

  def _apply(self, params, batch, rng, method, *memory):
    """What a method of the model makes of a batch, and the sown losses."""
    with rows.numbered(batch["number"]):
      found, sown = self.model.apply(
        {"params": params},
        batch,
        *memory,
        False,
        method=method,
        rngs={"dropout": rng},
        mutable=["losses"],
      )
    extra = sum(jnp.mean(a) for a in jax.tree.leaves(sown))
    return found, extra * batch["share"].sum()
