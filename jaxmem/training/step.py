"""The training step: a config on a mesh becomes a model, an optimizer and a program."""

import dataclasses
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
from jaxmem.training import accumulate, adversarial, optimizer, source_config
from jaxmem.training import config as configs
from jaxmem.training.config import Config
from jaxmem.training.schedule import schedule
from jaxmem.training.state import TrainState, check_mesh, check_model
from jaxmem.training.trainable import Trainable
from jaxmem.training.validation import initial_best


def resolve(config: Config) -> Config:
  """Checks a config, and fills in what depends on the device and on the task.

  Raises:
    ConfigError: if it cannot be run.
  """
  config = source_config.completed(configs.typed(config))
  configs.check(config)
  model = tasks.resolve_model(config.model, config.task)
  default = "float32" if jax.default_backend() == "cpu" else "bfloat16"
  dtype = default if model.dtype == "auto" else model.dtype
  warmup = config.optim.warmup(config.steps)
  optim = dataclasses.replace(config.optim, warmup_steps=warmup)
  model = dataclasses.replace(model, dtype=dtype)
  return dataclasses.replace(config, model=model, optim=optim)


class Program:
  """Trains a config on a mesh: `init` makes the state, `step` updates it by a batch.

  Attributes:
    config: the resolved config.
    mesh: the devices.
    model: see `models.TrainableModel`.
    trainable: which parameters are trained.
    optimizer: their optimizer; None where the program does not train.
    shapes: the shapes and dtypes of the state.
    shardings: the shardings of the state.
  """

  def __init__(
    self,
    config: Config,
    mesh: jax.sharding.Mesh,
    model: nn.Module | None = None,
    trains: bool = True,
  ):
    """Traces the model, so that mistakes are found before any device work.

    Args:
      config: the resolved config.
      mesh: the devices.
      model: the model, such as one with low-rank updates; None makes the task's.
      trains: False makes no optimizer, for a state that is only read.

    Raises:
      ConfigError: if the model, the optimizer or its schedule cannot be built.
      MeshError: if an axis of an array does not divide into the parts of the mesh.
    """
    if model is None:
      model = tasks.make_model(config.model, config.task)
    self.config, self.mesh, self.model = config, mesh, model
    check_mesh(config, self.model, mesh)
    example = jax.eval_shape(self._example)
    for array in example.values():  # raises MeshError if the rows do not divide
      meshes.shardings(mesh, meshes.batch_names(array.ndim), array)
    try:
      memory = jax.eval_shape(lambda: self.model.init_state(config.task.batch_size))
      with meshes.use(mesh, config.mesh):
        key = jax.random.key(0)
        boxed = jax.eval_shape(self._parameters, key, example, memory)
    except (ValueError, TypeError, ArithmeticError, IndexError) as error:
      message = (str(error).strip().splitlines() or [type(error).__name__])[0]
      text = pattern.show(config.model.pattern)
      raise ConfigError(f"model.pattern {text!r} cannot be built: {message}") from error
    check_model(config, self.model, memory)
    names = meshes.param_names(boxed)
    self.trainable = Trainable(config.optim.trainable, names)
    self.optimizer = None
    if trains:
      part = self.trainable.part
      self._schedule = schedule(config.optim, config.steps)
      self.optimizer = optimizer.make(config.optim, config.steps, part(names))
      optimizer.check(config.optim, self.optimizer, part(meshes.unboxed(boxed)))
    # with parameters, which are then not drawn: tracing the model again takes a second
    self.shapes = jax.eval_shape(self._init, jax.random.key(0), meshes.unboxed(boxed))
    params = meshes.shardings(mesh, names, self.shapes.params)
    pairs = jax.tree.map(lambda a, s: (a.shape, s), self.shapes.params, params)
    replicated = meshes.replicated(mesh)
    self.shardings = TrainState(
      step=replicated,
      params=params,
      opt_state=optimizer.state_shardings(self.shapes.opt_state, pairs, replicated),
      memory=meshes.shardings(mesh, self.model.state_axes(), self.shapes.memory),
      rng=replicated,
      ema=self._init_ema(params),
      best=jax.tree.map(lambda _: replicated, self.shapes.best),
    )
    # compiled with its shardings: every device makes its own shards
    self._jitted_init = jax.jit(self._init, out_shardings=self.shardings)
    self._jitted_step = jax.jit(
      self._step, donate_argnums=0, out_shardings=(self.shardings, replicated)
    )

  def step(self, state: TrainState, batch: dict) -> tuple[TrainState, dict]:
    """Returns the state after a batch, and the metrics; the old state is donated."""
    with meshes.use(self.mesh, self.config.mesh):  # mixers read it: it may shard time
      return self._jitted_step(state, batch)

  def init(self, params: Any = None) -> TrainState:
    """Makes the state before the first step, on its devices.

    Args:
      params: the initial parameters, which are copied; None draws them.
    """
    return self._jitted_init(jax.random.key(self.config.seed), params)

  def target(self) -> TrainState:
    """Returns shapes, dtypes and shardings that a checkpoint is restored into."""

    def struct(a, sharding):
      return jax.ShapeDtypeStruct(a.shape, a.dtype, sharding=sharding)

    return jax.tree.map(struct, self.shapes, self.shardings)

  def check_memory(self) -> None:
    """Raises ConfigError if the state alone, without activations, fills a device."""
    leaves, available = jax.tree.leaves, meshes.device_memory()
    pairs = zip(leaves(self.shapes), leaves(self.shardings), strict=True)
    needed = sum(math.prod(s.shard_shape(a.shape)) * a.dtype.itemsize for a, s in pairs)
    if available and needed > available:
      raise ConfigError(
        f"parameters, optimizer and memory take {needed / 2**30:,.1f} GiB a device, "
        f"which has {available / 2**30:,.1f} GiB: lower model.d_model, model.d_ff, "
        "model.num_groups, model.vocab_size or task.batch_size, or raise mesh.fsdp"
      )

  @property
  def weights(self) -> tuple[str, ...]:
    """Names of the fields of the state that `weights_of` reads."""
    if not self.config.optim.ema:
      return ("params",)
    return ("ema",) if self.trainable.all else ("params", "ema")

  def weights_of(self, state: TrainState) -> Any:
    """Returns the parameters that are scored: their average where there is one."""
    if not self.config.optim.ema:
      return state.params
    return self.trainable.join(state.ema, state.params)

  def put(self, batch: data.lanes.Batch) -> dict[str, jax.Array]:
    """Makes arrays over all devices of this process's rows of a batch."""

    def place(a):
      sharding = meshes.batch_sharding(self.mesh, a.ndim)
      return jax.make_array_from_process_local_data(sharding, a)

    return {name: place(a) for name, a in batch.items() if name != "rows"}

  def _example(self) -> dict[str, jax.Array]:
    task = self.config.task
    return self.model.example(task.batch_size, task.segment_length)

  def _parameters(self, key: jax.Array, batch: dict, memory: Any) -> Any:
    """Draws parameters, in the boxes in which Flax keeps their axis names."""
    return self.model.init(key, batch, memory, method="objective")["params"]

  def _init(self, key: jax.Array, params: Any = None) -> TrainState:
    memory = self.model.init_state(self.config.task.batch_size)
    init_key, rng = jax.random.split(key)
    if params is None:
      params = meshes.unboxed(self._parameters(init_key, self._example(), memory))
    trained = self.trainable.part(params)
    opt_state = self.optimizer.init(trained) if self.optimizer else ()
    return TrainState(
      step=jnp.zeros((), jnp.int32),
      params=params,
      opt_state=opt_state,
      memory=memory,
      rng=jax.random.key_data(rng),
      ema=self._init_ema(params),
      best=initial_best() if self.config.validation.every else (),
    )

  def _step(self, state: TrainState, batch: dict) -> tuple[TrainState, dict]:
    """Makes one update; where loss, gradient or new state is not finite, skips it."""
    config = self.config
    rng = jax.random.fold_in(jax.random.wrap_key_data(state.rng), state.step)
    blocks = blocks_of(config.model)
    memory = state_init.begin(
      config.segment_start, blocks, state.memory, rng, config.noise_scale
    )
    # frozen parameters bypass the step: no gradient, no update, no select of old or new
    frozen = state.params
    state = state._replace(params=self.trainable.part(frozen))
    grads, nats, memory = self._gradients(state.params, frozen, memory, batch, rng)
    # parts and devices sum nats: dividing by the whole batch's weight makes the mean
    count = jnp.maximum(batch["weights"].sum(), 1)
    grads = jax.tree.map(lambda g: g / count, grads)
    norm = optax.tree.norm(grads)
    with jax.numpy_dtype_promotion("standard"):  # Optax mixes step counts with floats
      rate = self._schedule(optimizer.count(state.opt_state, state.step))
      rate = jnp.asarray(rate, jnp.float32)
      updates, opt_state = self.optimizer.update(grads, state.opt_state, state.params)
    params = optax.apply_updates(state.params, updates)
    new = state._replace(
      params=params,
      opt_state=opt_state,
      memory=jax.lax.stop_gradient(memory),  # truncated backpropagation through time
      ema=self._update_ema(state, params),
    )
    finite = all_finite((nats, norm, new.params, new.opt_state, new.memory, new.ema))
    # a select on the device: the host need not wait for `finite`
    after = jax.tree.map(lambda a, b: jnp.where(finite, a, b), new, state)
    metrics = {
      "loss": nats / count,
      "grad_norm": norm,
      "learning_rate": rate,
      "skipped": ~finite,
    }
    params = self.trainable.join(after.params, frozen)
    return after._replace(step=state.step + 1, params=params), metrics

  def _init_ema(self, params: Any) -> Any:
    """Returns the first moving average: the trainable parameters, or () without one."""
    return self.trainable.part(params) if self.config.optim.ema else ()

  def _update_ema(self, state: TrainState, params: Any) -> Any:
    """Updates the moving average of the parameters; early on it forgets sooner."""
    if not self.config.optim.ema:
      return ()
    step = state.step.astype(jnp.float32)
    decay = jnp.minimum(self.config.optim.ema, (1 + step) / (10 + step))
    return optax.incremental_update(params, state.ema, 1 - decay)

  def _gradients(self, params, frozen, memory, batch, rng):
    """Differentiates the summed loss with respect to the trainable parameters."""
    count, parts = self.config.task.batch_size, self.config.optim.accumulate
    # what a part needs of the whole batch: the numbers of its rows, and the mean weight
    mean_weight = jnp.broadcast_to(batch["weights"].sum() / count, (count,))
    batch = batch | {"number": jnp.arange(count), "share": mean_weight}

    def loss(params, memory, batch, rng):
      return self._loss(self.trainable.join(params, frozen), memory, batch, rng)

    def by_row(params, batch, rng):
      return self._apply(self.trainable.join(params, frozen), batch, rng, "by_row")

    def differentiate(loss):
      if parts == 1:
        return adversarial.whole_batch(loss)
      if getattr(self.model, "across_rows", False):
        return accumulate.in_two_passes(by_row, self._across, parts)
      return accumulate.in_parts(loss, parts, self.model.state_axes())

    shape = getattr(self.model, "noise_shape", None)
    gradient = adversarial.gradient(loss, self.config.adversary, shape, differentiate)
    (nats, memory), grads = gradient(params, memory, batch, rng)
    return grads, nats, memory

  def _loss(self, params, memory, batch, rng):
    """Sums nats, and adds the losses that mixers sow, weighted by the tokens."""
    (nats, memory), sown_loss = self._apply(params, batch, rng, "objective", memory)
    return (nats * batch["weights"]).sum() + sown_loss, memory

  def _across(self, vectors, batch):
    """Sums the nats of a loss that compares the rows of a batch."""
    return (self.model.nats_across(vectors, batch) * batch["weights"]).sum()

  def _apply(self, params, batch, rng, method, *memory):
    """Calls a method of the model on a batch; also returns the losses that it sows."""
    with rows.numbered(batch["number"]):
      output, sown = self.model.apply(
        {"params": params},
        batch,
        *memory,
        deterministic=False,
        method=method,
        rngs={"dropout": rng},
        mutable=["losses"],
      )
    sown_loss = sum(jnp.mean(a) for a in jax.tree.leaves(sown))
    return output, sown_loss * batch["share"].sum()
