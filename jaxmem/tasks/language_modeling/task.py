"""Language modelling: text in contiguous lanes, scored in bits a byte."""

import math
from pathlib import Path
from typing import Any

from jaxmem import data
from jaxmem.core.errors import ConfigError
from jaxmem.data.config import DataConfig
from jaxmem.data.samples import tokenizer_of
from jaxmem.models import capacity
from jaxmem.models.lm import LMConfig
from jaxmem.tasks.application import provenance
from jaxmem.tasks.base import TaskContext
from jaxmem.tasks.language_modeling import report
from jaxmem.tasks.language_modeling.heldout import HeldOut
from jaxmem.tasks.model_sizes import with_made
from jaxmem.tokenizers import trained


def fit(model: LMConfig, config: DataConfig) -> LMConfig:
  """The model's config with the tokenizer's vocabulary.

  Raises:
    ConfigError: if there is no such tokenizer, it loses text, or the vocabulary is
      smaller.
  """
  return with_made(model, config.tokenizer, exact=True)


class TextJob:
  """Text of the config's source; see `tasks.Job`."""

  measure = "bits/byte"

  def __init__(self, config: DataConfig, context: TaskContext, model: Any):
    """Prepares the text: files to documents to tokens to lanes.

    Raises:
      ConfigError, DataError, CapacityError: before any device work.
    """
    c = self._config = config
    self._context, self._model = context, model
    corpus = data.prepare(c.source, c.heldout, c.data_dir or None)
    self._repeats = corpus.repeats
    self._tokenizer = tokenizer_of(c.tokenizer, corpus, exact=True)
    self._stream = data.TokenStream.from_corpus(corpus, self._tokenizer, "train")
    processes = context.process
    cuts = c.segment_length, c.document_length
    self.rows = data.Lanes(
      self._stream, c.batch_size, cuts[0], context.seed, *processes, cuts[1]
    )
    self._heldout = HeldOut(model, corpus.heldout, self._tokenizer, *cuts)
    self._check_capacity()

  def introduction(self) -> str:
    stream, source = self._stream, self._config.source
    read = f"{stream.num_documents:,} documents, {stream.num_bytes:,} bytes"
    return f"{read} from {source!r}{self._repeats.words('documents')}"

  def value(self, loss: float) -> float:
    return loss / self._stream.bytes_per_token / math.log(2)

  def keep(self, workdir: Path) -> None:
    """The tokenizer, where it is made or read from a file."""
    trained.keep(self._tokenizer, workdir)

  def score(self, params: Any) -> float:
    num_bytes = self._context.validation_size
    scores = self._heldout.score(params, num_bytes, ("carried",))
    return scores.bits_per_byte()["carried"]

  def report(self, params: Any, workdir: Path) -> None:
    note, numbers = provenance(self._context, "heldout", False, self._repeats)
    given = self._model, params, self._heldout, self._tokenizer, workdir
    report.write(self._context, self._config.segment_length, *given, note, numbers)

  def _check_capacity(self) -> None:
    """Raises CapacityError if the run would read more than a memory holds."""
    config, context = self._config, self._context
    limit = capacity.limit_of(self._model.config)
    if limit is None:
      return
    cut = f"cut documents with --task.document-length {limit.tokens}"
    length = self.rows.longest_document
    if context.segment_start == "passed":
      raise ConfigError(
        f"segment_start is 'passed' and memory {limit.memory!r} has a capacity: passed "
        "from row to row it would fill without end; take another start or memory"
      )
    if context.segment_start != "carried":
      length = min(length, config.segment_length)
    limit.check(length, f"a document of {config.source!r}", cut)
    scored = context.validation_size if context.validate_every else 0
    if scored := max(scored, context.eval_size):
      longest = self._heldout.longest(scored)
      limit.check(longest, "a document of the held-out text", cut)
    if context.sample_size:
      lower = f"give --sample-bytes {limit.tokens - 1}"
      limit.check(context.sample_size + 1, "the sample at the end", lower)


Config = DataConfig
Job = TextJob
