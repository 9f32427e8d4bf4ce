"""Trains a row of `jaxmem.finetune.regain`: its text as a task, and its experiment."""

import contextlib
import hashlib
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np
import optax
from flax import linen as nn
from flax import traverse_util

from jaxmem.core.errors import ConfigError, RunError
from jaxmem.finetune import graft
from jaxmem.parallel import mesh as meshes
from jaxmem.training.callbacks import Callback
from jaxmem.training.config import Config, DataConfig, OptimConfig
from jaxmem.training.skips import TrainingError
from jaxmem.training.step import Program
from jaxmem.training.trainer import run

# The learning rate of memories' scales, as a multiple of the others'. A scale begins at
# 0, and a step of Adam moves it by no more than the rate.
SCALE_RATE = 10.0


class Stopped(Exception):
  """A signal ended the training; the same command continues it."""


class Windows:
  """Windows of a text in a random order; see `tasks.Rows`."""

  def __init__(
    self, tokens: np.ndarray, length: int, batch: int, steps: int, seed: int
  ):
    """Cuts a text into windows.

    Args:
      tokens: the tokens of the text.
      length: T, tokens of a window; the token after it is its last target.
      batch: windows in a step.
      steps: the number of steps of the run.
      seed: the seed of the order.
    """
    self._tokens, self._length = tokens, length
    self._batch, self._steps = batch, steps
    count = (len(tokens) - 1) // length
    self._order = np.random.default_rng(seed).permutation(count)
    content = np.ascontiguousarray(tokens).tobytes() + self._order.tobytes()
    self.fingerprint = hashlib.sha256(content).hexdigest()
    self.tokenizer = ""

  def __len__(self) -> int:
    return self._steps + 1  # a complete run asks for the batch after its last

  def __getitem__(self, step: int) -> dict[str, Any]:
    first = step * self._batch
    numbers = np.arange(first, first + self._batch)
    begin = self._order[numbers % len(self._order)] * self._length
    ids = np.stack(
      [self._tokens[i : i + self._length + 1] for i in begin]
    )  # [B, T + 1]
    return batch_of(ids, numbers)


def batch_of(ids: np.ndarray, numbers: np.ndarray) -> dict[str, np.ndarray]:
  """Makes a batch in which every token but the last predicts the next one.

  Args:
    ids: tokens, [B, T + 1].
    numbers: the numbers of the rows, for the data log.
  """
  tokens = ids[:, :-1]
  return {
    "tokens": tokens,
    "targets": ids[:, 1:],
    "reset": np.zeros(tokens.shape, bool),
    "weights": np.ones(tokens.shape, np.float32),
    "rows": numbers,
  }


class Lessons:
  """Learns the next token on windows of a text; see `tasks.Task`.

  Attributes:
    rows: the windows.
    learned: the parameters at the end of the run; None before.
  """

  metric_name = "nats/token"

  def __init__(self, rows: Any):
    self.rows, self.learned = rows, None

  def describe(self) -> str:
    """Describes the data for the first lines of the log."""
    return "windows of text to train on"

  def to_metric(self, loss: float) -> float:
    """Returns the loss, which is already in nats a token."""
    return loss

  def validation_metric(self, params: Any) -> float:
    """Raises ConfigError, since no text is held out of what a row is trained on."""
    raise ConfigError("validation.every: a row of regain holds no text out; leave it 0")

  def save_assets(self, workdir: Path) -> None:
    """Saves nothing: no command reads the directory of a row."""

  def report(self, params: Any, workdir: Path) -> None:
    """Keeps the parameters for `learn` to return."""
    self.learned = params


class Clock(Callback):
  """Measures how fast training is after the first step, which compiles.

  Attributes:
    rate: tokens per second.
  """

  def __init__(self, tokens: int):
    self._tokens, self._begin, self.rate = tokens, None, 0.0

  def on_step(self, step: int, metrics: Mapping[str, float]) -> None:
    """Updates the rate."""
    now = time.monotonic()
    if self._begin is None:
      self._begin = step, now
    elif now > self._begin[1]:
      self.rate = (step - self._begin[0]) * self._tokens / (now - self._begin[1])


def adamw_of_grafts(learning_rate: optax.Schedule) -> optax.GradientTransformation:
  """Makes the trainer's AdamW, with a higher rate for memories' scales."""

  def mask(tree):
    return traverse_util.path_aware_map(
      lambda path, _: path[-2:] == ("mixer", "scale"), tree
    )

  return optax.chain(
    optax.adamw(learning_rate, b1=0.9, b2=0.95, weight_decay=0.0),
    optax.masked(optax.scale(SCALE_RATE), mask),
  )


def learn(
  model: nn.Module,
  params: Any,
  rows: Any,
  rate: float,
  directory: Path,
  *,
  steps: int,
  batch: int,
  length: int,
  save_every: int = 10,
  callbacks: tuple[Callback, ...] = (),
) -> Any:
  """Trains the grafted parameters for `steps` steps on the next token's nats.

  Args:
    model: see `graft.graft`.
    params: the initial parameters; only what was grafted is trained.
    rows: see `Windows`.
    rate: the peak learning rate.
    directory: the directory of the run, which resumes from its last checkpoint.
    steps: the number of steps, those made before an interruption included.
    batch: rows in a step.
    length: T, tokens of a row.
    save_every: steps between checkpoints.
    callbacks: are called for every step.

  Returns:
    The parameters after the last step.

  Raises:
    CheckpointError: if the directory cannot be used, or holds another run.
    RunError: if a loss or an updated parameter is not finite.
    Stopped: if a signal stopped the run.
  """
  config = Config(
    model=model.config,
    # no file of the config holds the text: the fingerprint of the rows identifies it
    task=DataConfig(source="", segment_length=length, batch_size=batch),
    optim=OptimConfig(
      learning_rate=rate,
      warmup_steps=steps // 10,
      weight_decay=0.0,
      optimizer=adamw_of_grafts,
      trainable=graft.GRAFTED,
    ),
    segment_start="empty",
    steps=steps,
    log_every=1,
    save_every=save_every,
    keep=1,
    stop_after_skips=1,
  )
  mesh = meshes.make(config.mesh, jax.devices()[:1])
  task = Lessons(rows)
  program = Program(config, mesh, model)
  try:
    with contextlib.redirect_stdout(sys.stderr):  # stdout is the table's
      code = run(program, task, directory, callbacks=callbacks, params=params)
  except TrainingError as error:
    raise RunError(f"{directory.name}: {error}, and take a lower --rate") from error
  if code:
    raise Stopped
  return task.learned
