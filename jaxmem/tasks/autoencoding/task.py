"""Compression: short texts through a latent vector, and back.

The texts are the lines of documents. The latent is of the line that is written, or of
the line before it. Held-out lines are scored by the bound on their bits and its parts.
A decoder without a latent (`--model.d-latent 0`) is the baseline to compare with.
"""

import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from jaxmem import data
from jaxmem.core.errors import ConfigError
from jaxmem.data import DataError, excerpts
from jaxmem.data.epochs import once
from jaxmem.data.samples import tokenizer_of
from jaxmem.generation.sampling import Sampling
from jaxmem.models import capacity
from jaxmem.models.vae import VAE, VAEConfig
from jaxmem.tasks import baselines
from jaxmem.tasks.application import BaseTask
from jaxmem.tasks.autoencoding import data as segments
from jaxmem.tasks.autoencoding import metrics
from jaxmem.tasks.autoencoding.config import CompressionConfig
from jaxmem.tasks.autoencoding.latent_text import ROWS
from jaxmem.tasks.autoencoding.predict import STEPS, CompressionPredictor, writer
from jaxmem.tasks.base import EvalResult, TaskContext
from jaxmem.tasks.model_sizes import with_made

# Draws of the latent for each text in the report.
DRAWS = 16
# Lines that the report shows as examples.
SHOWN = 5


def resolve_model(model: VAEConfig, config: CompressionConfig) -> VAEConfig:
  """Returns the model's config with the tokenizer's vocabulary, checked.

  Args:
    model: config of the autoencoder.
    config: config of the task.

  Raises:
    ConfigError: if rows are longer than a memory, there is no such tokenizer, or it
      loses text.
  """
  # encoder and decoder read rows of the same length
  for side in (model.pattern, model.encoder):
    if limit := capacity.limit(side):
      lower = "lower task.segment_length"
      limit.check(config.segment_length, "a row of task.segment_length", lower)
  return with_made(model, config.tokenizer, exact=True)


class AutoencodingTask(BaseTask):
  """Trains on and scores lines of the config's source; see `tasks.EvaluableTask`."""

  metric_name = "bits/byte"
  noun = "text"
  reported = "heldout"
  tested = False

  def __init__(self, config: CompressionConfig, context: TaskContext, model: VAE):
    """Reads the text.

    Args:
      config: config of the task.
      context: the run's context.
      model: the autoencoder.

    Raises:
      DataError: if a split has no line, before any device work.
      ConfigError: if the source is a mixture, before any device work.
    """
    c = self._config = config
    self._context, self._model = context, model
    corpus = data.prepare(c.source, c.heldout, c.data_dir or None)
    if corpus.shares:
      raise ConfigError(
        f"task.source {c.source!r} is a mixture, whose weights lines do not keep: give "
        "one source"
      )
    self._tokenizer = tokenizer_of(c.tokenizer, corpus, exact=True)
    self._made = self._tokenizer
    self._splits = {"train": corpus.train, "heldout": corpus.heldout}
    self.repeats = corpus.repeats
    train = self._lines(corpus.train)
    self._previous = c.latent_of == "previous"
    self.rows = segments.segment_rows(
      train,
      self._previous,
      (c.segment_length, c.batch_size),
      self._tokenizer,
      (c.kl_weight, c.kl_steps),
      context.seed,
      context.process,
    )
    self._count = self.rows.epochs.count
    self._check_lines("train on", self._count)
    self._bytes_per_token = segments.bytes_per_token(train, self._previous)
    # read once here, so that a split without lines fails before the training
    self._chosen("heldout", max(context.eval_size, 1))

  def describe(self) -> str:
    """Returns a line on how many lines are read, and from where."""
    repeats = self.repeats.words("documents")
    return f"{self._count:,} lines from {self._config.source!r}{repeats}"

  def to_metric(self, loss: float) -> float:
    """Returns bits a byte; the loss has free nats and the KL's weight of its step."""
    return loss / self._bytes_per_token / math.log(2)

  def validation_metric(self, params: Any) -> float:
    """Returns bits a byte of held-out lines, with the KL's weight after annealing."""
    worth = self._worth(params, "heldout", self._context.validation_size, 1)
    bits = worth.reconstruction + self._config.kl_weight * worth.kl
    return bits / worth.num_bytes

  def compute_metrics(self, params: Any, split: str) -> EvalResult:
    """Returns the bound, its parts, the active units, and examples of texts.

    Args:
      params: the model's parameters.
      split: "train", "heldout" or "test".
    """
    num_bytes = self._context.eval_size
    worth = self._worth(params, split, num_bytes, DRAWS)
    numbers = {"split": split} | metrics.numbers(worth, DRAWS)
    title = f"{worth.texts:,} lines of {self._config.source} ({split})"
    documents = self._splits["train" if split == "train" else "heldout"]
    chosen = [text for _, text, _ in excerpts.choose(documents, num_bytes)]
    # compressors read whole documents: their lines alone would be too short
    packed = numbers["compressors"] = baselines.compressors(chosen)
    first = baselines.better("bits per byte", numbers["elbo"], packed, lower=True)
    compressed = ["| its documents | bits per byte | |", "|---|--:|---|"]
    compressed += baselines.packed_rows(packed)
    lines = [*first, title, "", *metrics.table(numbers), "", *compressed, ""]
    return EvalResult(numbers, [*lines, *self._texts(params, split)], {})

  def _lines(self, documents: Sequence[Any]) -> segments.Segments:
    texts = ((document.name, document.text) for document in documents)
    length = self._config.segment_length - 1  # the EOS token takes one
    return segments.lines(texts, self._tokenizer, length)

  def _chosen(self, split: str, num_bytes: int) -> tuple:
    """Returns the lines of fixed excerpts of a split, and their pairs."""
    documents = self._splits["train" if split == "train" else "heldout"]
    chosen = excerpts.choose(documents, num_bytes)
    lines = segments.lines(
      ((name, text) for name, text, _ in chosen),
      self._tokenizer,
      self._config.segment_length - 1,
    )
    pairs = segments.pairs(lines, self._previous)
    self._check_lines("score", len(pairs))
    return lines, pairs

  def _check_lines(self, purpose: str, count: int) -> None:
    """Raises DataError if there is no line for a purpose, such as "score"."""
    if not count:
      after = " after another" if self._previous else ""
      source = self._config.source
      raise DataError(f"{source!r} has no line{after} to {purpose}: give more text")

  def _worth(
    self, params: Any, split: str, num_bytes: int, draws: int
  ) -> metrics.Worth:
    batches = self._batches(split, num_bytes)
    return metrics.worth(
      self._model, params, batches, draws, reads_target=not self._previous
    )

  def _batches(self, split: str, num_bytes: int) -> Iterator[tuple]:
    """Yields batches of one size, how many rows of each are real, and their bytes."""
    lines, pairs = self._chosen(split, num_bytes)
    length, eos_id = self._config.segment_length, self._tokenizer.eos_id
    for items, real in once(len(pairs), ROWS):
      size = int(lines.num_bytes[pairs[items[:real], 1]].sum())
      yield segments.batch(lines, pairs[items], length, eos_id), real, size

  def _texts(self, params: Any, split: str) -> list[str]:
    """Returns samples, reconstructions and an interpolation, as Markdown."""
    latents = writer(self._config, self._model, params, self._tokenizer)
    samples = latents.write(latents.prior(5, 0), Sampling())
    lines = ["Drawn from the prior:", "", *_code(samples)]
    if not self._model.config.d_latent:
      return lines
    segment, pairs = self._chosen(split, self._context.eval_size)
    index = np.linspace(0, len(pairs) - 1, SHOWN).astype(int)
    examples = pairs[index].tolist()  # SHOWN pairs of segments

    def text(i: int) -> bytes:
      ids = segment.tokens[segment.starts[i] : segment.starts[i + 1]]
      return self._tokenizer.decode(ids)

    greedy = Sampling(temperature=0.0)
    latent = latents.read([text(i) for i, _ in examples])  # [SHOWN, L]
    reconstructed = latents.write(latent, greedy)
    title = "Read, followed by, and written" if self._previous else "Read and written"
    rows = []
    for pair, written in zip(examples, reconstructed, strict=True):
      originals = pair if self._previous else pair[:1]
      rows += [text(i).decode(errors="replace") for i in originals] + [written, ""]
    lines += ["", f"{title}:", "", *_code(rows[:-1])]
    between = latents.write(latents.between(latent[0], latent[-1], STEPS), greedy)
    return [*lines, "", "From the first to the last:", "", *_code(between)]


def _code(texts: Sequence[str]) -> list[str]:
  """Returns texts as a block of code in Markdown."""
  return ["```text", *texts, "```"]


Config = CompressionConfig
Task = AutoencodingTask
Predictor = CompressionPredictor
