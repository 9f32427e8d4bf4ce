"""Language modelling: text in contiguous lanes, scored in bits per byte."""

import functools
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from jaxmem import data
from jaxmem.core.errors import ConfigError
from jaxmem.data import excerpts
from jaxmem.data.config import DataConfig
from jaxmem.data.excerpts import Excerpt
from jaxmem.data.samples import tokenizer_of
from jaxmem.models import capacity
from jaxmem.models.lm import LMConfig
from jaxmem.parallel import mesh
from jaxmem.tasks.application import BaseTask
from jaxmem.tasks.base import EvalResult, Report, TaskContext
from jaxmem.tasks.language_modeling import perplexity, report
from jaxmem.tasks.language_modeling.perplexity import WAYS, Result, TextScorer
from jaxmem.tasks.model_sizes import with_made


def resolve_model(model: LMConfig, config: DataConfig) -> LMConfig:
  """Returns the model's config with the tokenizer's vocabulary.

  Raises:
    ConfigError: if there is no such tokenizer, it loses text, or the config has a
      smaller vocabulary.
  """
  return with_made(model, config.tokenizer, exact=True)


class LanguageModelingTask(BaseTask):
  """Language modelling on the text of a source; see `tasks.EvaluableTask`."""

  metric_name = "bits/byte"
  noun = "text"
  reported = "heldout"
  tested = False

  def __init__(self, config: DataConfig, context: TaskContext, model: Any):
    """Prepares the text: files to documents to tokens to lanes.

    Raises:
      ConfigError, DataError, CapacityError: before any device work.
    """
    c = self._config = config
    self._context, self._model = context, model
    corpus = data.prepare(c.source, c.heldout, c.data_dir or None)
    self._splits = {"train": corpus.train, "heldout": corpus.heldout}
    self.repeats = corpus.repeats
    self._made = self._tokenizer = tokenizer_of(c.tokenizer, corpus, exact=True)
    self._stream = data.TokenStream.from_corpus(corpus, self._tokenizer, "train")
    index, count = context.process
    self.rows = data.Lanes(
      self._stream,
      c.batch_size,
      c.segment_length,
      context.seed,
      index,
      count,
      c.document_length,
    )
    self._check_capacity()

  def describe(self) -> str:
    """Returns how much text there is, in words."""
    stream, source = self._stream, self._config.source
    read = f"{stream.num_documents:,} documents, {stream.num_bytes:,} bytes"
    return f"{read} from {source!r}{self.repeats.words('documents')}"

  def to_metric(self, loss: float) -> float:
    """Returns a loss, in nats a token, as bits per byte."""
    # the mean length of a token, so that losses of all tokenizers compare
    return loss / self._stream.bytes_per_token / math.log(2)

  def validation_metric(self, params: Any) -> float:
    """Returns bits per byte of held-out text, the memory carried."""
    documents = self._chosen("heldout", self._context.validation_size)
    return self._read(params, documents, ("carried",)).bits_per_byte()["carried"]

  def compute_metrics(self, params: Any, split: str) -> EvalResult:
    """Returns bits per byte in every way of reading, and what carrying saves where."""
    size = self._context.eval_size or self._context.validation_size
    documents = self._chosen(split, size)
    side = "training" if split == "train" else "held-out"
    print(f"scoring {size:,} bytes of {side} text, three ways", flush=True)
    result = self._read(params, documents, WAYS, by_segment=True)
    return report.findings(result, [d.text for d in documents], split)

  def report(self, params: Any, workdir: Path) -> Report:
    """Writes the report of a run: numbers, pictures and a sample."""
    context, findings, sample = self._context, None, None
    if context.eval_size:
      findings = self.evaluate(params, self.reported)
    if context.sample_size:
      sample = report.sample(context, self._model, params, self._tokenizer)
    return report.write(findings, sample, workdir)

  def _chosen(self, split: str, num_bytes: int) -> list[Excerpt]:
    """Returns a fixed choice of `num_bytes` bytes of a split."""
    # text has no third split: "test" is the held-out one under another name
    documents = self._splits["train" if split == "train" else "heldout"]
    return excerpts.choose(documents, num_bytes)

  def _read(
    self, params: Any, documents: Sequence[Excerpt], ways: Sequence[str], **options: Any
  ) -> Result:
    def init_state(rows: int) -> Any:
      return mesh.beside(self._model.init_state(rows), params)

    scorer = TextScorer(
      functools.partial(perplexity.losses, self._model, params),
      init_state,
      documents,
      self._tokenizer,
      document_length=self._config.document_length,
      ways=ways,
      segment=self._config.segment_length,
      **options,
    )
    return scorer.read()

  def _longest(self, num_bytes: int) -> int:
    """Returns the tokens of the longest document that a score of `num_bytes` reads."""
    documents = self._chosen("heldout", num_bytes)
    # the EOS token after a whole document is read too
    longest = max(len(self._tokenizer.encode(d.text)) + d.whole for d in documents)
    return min(longest, self._config.document_length or longest)

  def _check_capacity(self) -> None:
    """Raises CapacityError if the run would read more than a memory holds."""
    config, context = self._config, self._context
    limit = capacity.limit_of(self._model.config)
    if limit is None:
      return
    cut = f"cut documents with --task.document-length {limit.tokens}"
    length = self.rows.longest_document
    if context.segment_start == "passed":  # a state goes to the row below, forever
      raise ConfigError(
        f"segment_start is 'passed' and memory {limit.memory!r} has a capacity: passed "
        "from row to row it would fill without end; take another start or memory"
      )
    if context.segment_start != "carried":  # no state is carried between segments
      length = min(length, config.segment_length)
    limit.check(length, f"a document of {config.source!r}", cut)
    num_bytes = context.validation_size if context.validate_every else 0
    if num_bytes := max(num_bytes, context.eval_size):
      longest = self._longest(num_bytes)
      limit.check(longest, "a document of the held-out text", cut)
    if context.sample_size:
      lower = f"give --sample-bytes {limit.tokens - 1}"
      # the sample has at most so many tokens, and the EOS token precedes them
      limit.check(context.sample_size + 1, "the sample at the end", lower)


Config = DataConfig
Task = LanguageModelingTask
