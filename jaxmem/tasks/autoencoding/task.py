"""Compression: short texts through a latent vector, and back.

The texts are the lines of documents. The latent is of the line that is written, or of
the line before it. Held-out lines are scored by the bound on their bits and its parts,
which a decoder without a latent (`--model.d-latent 0`) is measured beside.
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
from jaxmem.tasks.application import Asked
from jaxmem.tasks.autoencoding import data as segments
from jaxmem.tasks.autoencoding import metrics
from jaxmem.tasks.autoencoding.config import CompressionConfig
from jaxmem.tasks.autoencoding.latent_text import ROWS
from jaxmem.tasks.autoencoding.predict import STEPS, CompressionPredictor, writer
from jaxmem.tasks.base import Findings, TaskContext
from jaxmem.tasks.model_sizes import with_made

# Draws of the latent that a held-out text is scored with at the end.
DRAWS = 16
# Lines that a report shows.
SHOWN = 5


def fit(model: VAEConfig, config: CompressionConfig) -> VAEConfig:
  """The model's config with the tokenizer's vocabulary, checked.

  Raises:
    ConfigError: if a number is out of range, there is no such tokenizer, or it loses
      text.
  """
  for side in (model.pattern, model.encoder):
    if limit := capacity.limit(side):
      lower = "lower task.segment_length"
      limit.check(config.segment_length, "a row of task.segment_length", lower)
  return with_made(model, config.tokenizer, exact=True)


class CompressionJob(Asked):
  """Lines of the config's source; see `tasks.Application`."""

  measure = "bits/byte"
  things = "text"
  reported = "heldout"
  tested = False

  def __init__(self, config: CompressionConfig, context: TaskContext, model: VAE):
    """Reads the text.

    Raises:
      DataError, ConfigError: before any device work.
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
    self._some("train on", self._count)
    self._bytes_per_token = segments.bytes_per_token(train, self._previous)
    self._chosen("heldout", max(context.eval_size, 1))

  def introduction(self) -> str:
    said = self.repeats.words("documents")
    return f"{self._count:,} lines from {self._config.source!r}{said}"

  def value(self, loss: float) -> float:
    """Of the loss with its free nats and the weight that the KL has at the step."""
    return loss / self._bytes_per_token / math.log(2)

  def score(self, params: Any) -> float:
    """Bits a byte of held-out lines, the KL weighed as at the end of its annealing."""
    found = self._worth(params, "heldout", self._context.validation_size, 1)
    bits = found.reconstruction + self._config.kl_weight * found.kl
    return bits / found.num_bytes

  def findings(self, params: Any, split: str) -> Findings:
    """The bound and its parts, the numbers of the latent in use, and some texts."""
    num_bytes = self._context.eval_size
    found = self._worth(params, split, num_bytes, DRAWS)
    numbers = {"split": split} | metrics.numbers(found, DRAWS)
    title = f"{found.texts:,} lines of {self._config.source} ({split})"
    documents = self._splits["train" if split == "train" else "heldout"]
    chosen = [text for _, text, _ in excerpts.choose(documents, num_bytes)]
    packed = numbers["compressors"] = baselines.compressors(chosen)
    first = baselines.better("bits per byte", numbers["elbo"], packed, lower=True)
    beside = ["| its documents | bits per byte | |", "|---|--:|---|"]
    beside += baselines.packed_rows(packed)
    lines = [*first, title, "", *metrics.table(numbers), "", *beside, ""]
    return Findings(numbers, [*lines, *self._texts(params, split)], {})

  def _lines(self, documents: Sequence[Any]) -> segments.Segments:
    texts = ((document.name, document.text) for document in documents)
    length = self._config.segment_length - 1
    return segments.lines(texts, self._tokenizer, length)

  def _chosen(self, split: str, num_bytes: int) -> tuple:
    """Lines of a fixed choice of so many bytes of a split, and their pairs."""
    documents = self._splits["train" if split == "train" else "heldout"]
    chosen = excerpts.choose(documents, num_bytes)
    found = segments.lines(
      ((name, text) for name, text, _ in chosen),
      self._tokenizer,
      self._config.segment_length - 1,
    )
    pairs = segments.pairs(found, self._previous)
    self._some("score", len(pairs))
    return found, pairs

  def _some(self, what: str, count: int) -> None:
    """Raises DataError if there is no line to `what`."""
    if not count:
      behind = " behind another" if self._previous else ""
      source = self._config.source
      raise DataError(f"{source!r} has no line{behind} to {what}: give more text")

  def _worth(
    self, params: Any, split: str, num_bytes: int, draws: int
  ) -> metrics.Worth:
    own = not self._previous
    batches = self._batches(split, num_bytes)
    return metrics.worth(self._model, params, batches, draws, own=own)

  def _batches(self, split: str, num_bytes: int) -> Iterator[tuple]:
    """Batches of one size, how many rows of each are real, and their bytes."""
    found, pairs = self._chosen(split, num_bytes)
    length, eos_id = self._config.segment_length, self._tokenizer.eos_id
    for items, real in once(len(pairs), ROWS):
      size = int(found.num_bytes[pairs[items[:real], 1]].sum())
      yield segments.batch(found, pairs[items], length, eos_id), real, size

  def _texts(self, params: Any, split: str) -> list[str]:
    """Some lines and what is written of them, as Markdown."""
    latents = writer(self._config, self._model, params, self._tokenizer)
    samples = latents.write(latents.prior(5, 0), Sampling())
    lines = ["Drawn from the prior:", "", *_code(samples)]
    if not self._model.config.d_latent:
      return lines
    found, pairs = self._chosen(split, self._context.eval_size)
    some = pairs[np.linspace(0, len(pairs) - 1, SHOWN).astype(int)]
    cut = lambda i: found.tokens[found.starts[i] : found.starts[i + 1]]
    text = lambda i: self._tokenizer.decode(cut(i))
    latent = latents.read([text(i) for i in some[:, 0]])
    back = latents.write(latent, Sampling(temperature=0.0))
    columns = [some[:, 0], some[:, 1]] if self._previous else [some[:, 0]]
    shown = [[text(i).decode(errors="replace") for i in c] for c in columns] + [back]
    title = "Read, followed by, and written" if self._previous else "Read and written"
    rows = [line for row in zip(*shown, strict=True) for line in (*row, "")]
    lines += ["", f"{title}:", "", *_code(rows[:-1])]
    way = latents.write(
      latents.between(latent[0], latent[-1], STEPS), Sampling(temperature=0.0)
    )
    return [*lines, "", "From the first to the last:", "", *_code(way)]


def _code(texts: Sequence[str]) -> list[str]:
  return ["```text", *texts, "```"]


Config = CompressionConfig
Job = CompressionJob
Predictor = CompressionPredictor
