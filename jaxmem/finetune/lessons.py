"""How `jaxmem.finetune.regain` trains a row: its text as a job, and its experiment."""

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

# A memory's scale begins at 0 and one step moves it by the rate: it is given more.
SCALE_RATE = 10.0


class Stopped(Exception):
  """A signal ended the training; the same command continues."""


class Windows:
  """Windows of a text in an order that is drawn; see `tasks.Rows`."""

  def __init__(
    self, tokens: np.ndarray, length: int, batch: int, steps: int, seed: int
  ):
    """Cuts.

    Args:
      tokens: of the text.
      length: T, tokens of a window; the token after it is its last target.
      batch: windows a step.
      steps: of the run.
      seed: of the order.
    """
    self._tokens, self._length = tokens, length
    self._batch, self._steps = batch, steps
    count = (len(tokens) - 1) // length
    self._order = np.random.default_rng(seed).permutation(count)
    content = np.ascontiguousarray(tokens).tobytes() + self._order.tobytes()
    self.fingerprint = hashlib.sha256(content).hexdigest()
    self.tokenizer = ""

  def __len__(self) -> int:
    return self._steps + 1  # a run that is complete asks for the one after its last

  def __getitem__(self, step: int) -> dict[str, Any]:
    first = step * self._batch
    numbers = np.arange(first, first + self._batch)
    begin = self._order[numbers % len(self._order)] * self._length
    ids = np.stack([self._tokens[i : i + self._length + 1] for i in begin])
    return batch_of(ids, numbers)


def batch_of(ids: np.ndarray, numbers: np.ndarray) -> dict[str, np.ndarray]:
  """A batch of all tokens [B, T + 1] but the last, each to say the next one.

  Args:
    ids: tokens.
    numbers: of the rows, for the data log.
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
  """The next token's nats on windows of a text; see `tasks.Job`.

  Attributes:
    rows: the windows.
    learned: the parameters at the end of the run.
  """

  measure = "nats/token"

  def __init__(self, rows: Any):
    self.rows, self.learned = rows, None

  def introduction(self) -> str:
    return "windows of text to train on"

  def value(self, loss: float) -> float:
    return loss

  def score(self, params: Any) -> float:
    """Raises ConfigError: nothing is held out of what a row is trained on."""
    raise ConfigError("validation.every: a row of regain holds no text out; leave it 0")

  def keep(self, workdir: Path) -> None:
    """Nothing: a row is not read from its directory."""

  def report(self, params: Any, workdir: Path) -> None:
    self.learned = params


class Clock(Callback):
  """How fast training is after the first step, which compiles.

  Attributes:
    rate: tokens a second.
  """

  def __init__(self, tokens: int):
    self._tokens, self._begin, self.rate = tokens, None, 0.0

  def on_step(self, step: int, metrics: Mapping[str, float]) -> None:
    now = time.monotonic()
    if self._begin is None:
      self._begin = step, now
    elif now > self._begin[1]:
      self.rate = (step - self._begin[0]) * self._tokens / (now - self._begin[1])


def adamw_of_grafts(learning_rate: optax.Schedule) -> optax.GradientTransformation:
  """The trainer's AdamW, with a higher rate for memories' scales."""
  is_scale = lambda path, _: path[-2:] == ("mixer", "scale")
  mask = lambda tree: traverse_util.path_aware_map(is_scale, tree)
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
  """The parameters after `steps` steps on the next token's nats.

  Args:
    model: see `graft.graft`.
    params: to begin with; of these what was grafted moves.
    rows: see `Windows`.
    rate: the highest learning rate.
    directory: of the run; it continues from its last checkpoint.
    steps: of all; begun ones count.
    batch: rows a step.
    length: T, tokens of a row.
    save_every: steps between checkpoints.
    callbacks: are told of every step.

  Raises:
    CheckpointError: if the directory cannot be used, or holds something else.
    RunError: if the loss, or what a step makes of the parameters, is not finite.
    Stopped: if a signal asked for it.
  """
  config = Config(
    model=model.config,
    # what is read lies in no file of a config: rows have a fingerprint
    task=DataConfig(source="", segment_length=length, batch_size=batch),
    optim=OptimConfig(
      learning_rate=rate,
      warmup_steps=steps // 10,
      weight_decay=0.0,
      optimizer=adamw_of_grafts,
      trainable=graft.GRAFTED,
    ),
    segment_start="empty",
    **{"steps": steps, "log_every": 1, "save_every": save_every, "keep": 1},
    stop_after_skips=1,
  )
  mesh = meshes.make(config.mesh, jax.devices()[:1])
  job = Lessons(rows)
  program = Program(config, mesh, model)
  try:
    with contextlib.redirect_stdout(sys.stderr):  # the table alone is printed
      code = run(program, job, directory, callbacks=callbacks, params=params)
  except TrainingError as error:
    raise RunError(f"{directory.name}: {error}, and take a lower --rate") from error
  if code:
    raise Stopped
  return job.learned
