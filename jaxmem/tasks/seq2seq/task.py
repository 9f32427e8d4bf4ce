"""Sequence to sequence: a text is read, another is written. Translation, summaries.

With `task.gaps` the most important sentences of a text are hidden there and are the
text to write: the pre-training task of Pegasus. Held-out pairs are scored in nats a
token. The report has BLEU and chrF, or ROUGE, of what beam search writes, next to
baselines that need no training: the source unchanged, or its first sentences.
"""

import dataclasses
import functools
from collections.abc import Iterator
from typing import Any

import jax
import numpy as np

from jaxmem.core.errors import ConfigError
from jaxmem.data import DataError, leaks, records
from jaxmem.data.rows import Batch
from jaxmem.models import capacity
from jaxmem.models.encoder_decoder import EncoderDecoder, EncoderDecoderConfig
from jaxmem.tasks import baselines, scoring
from jaxmem.tasks.application import BaseTask
from jaxmem.tasks.base import EvalResult, TaskContext
from jaxmem.tasks.model_sizes import with_made
from jaxmem.tasks.retrieval import embed
from jaxmem.tasks.seq2seq import data, extractive, gap_sentences, metrics
from jaxmem.tasks.seq2seq.config import PairsConfig
from jaxmem.tasks.seq2seq.data import Pair
from jaxmem.tasks.seq2seq.predict import PairsPredictor, reader, writer
from jaxmem.tokenizers import trained

# Pairs of a batch of the held-out score, and pairs that the report shows as examples.
ROWS, SHOWN = 32, 5
_HINT = (
  "give two files of as many lines, A,B, or JSONL, CSV or TSV with a source and a "
  "target; Multi30k is at https://github.com/multi30k/dataset, SciTLDR at "
  "https://github.com/allenai/scitldr"
)


def resolve_model(
  model: EncoderDecoderConfig, config: PairsConfig
) -> EncoderDecoderConfig:
  """Returns the model's config with the vocabulary and the length of sources, checked.

  Args:
    model: config of the encoder-decoder.
    config: config of the task.

  Raises:
    ConfigError: if sources are longer than a memory, or there is no such tokenizer.
  """
  # the decoder attends to all tokens of a source, so its memory must have room for them
  size = model.memory_size or config.segment_length
  if size < config.segment_length:
    raise ConfigError(
      f"model.memory_size is {size}, a text has {config.segment_length} tokens "
      "(task.segment_length): set 0 to take as many"
    )
  if limit := capacity.limit_of(model):
    limit.check(config.segment_length, "a text of task.segment_length", "lower it")
  model = dataclasses.replace(model, memory_size=size)
  return with_made(model, config.tokenizer, mask=config.gaps > 0)


def packages(config: PairsConfig, context: TaskContext) -> dict[str, str]:
  """Returns the packages that the report needs; see `tasks.packages`."""
  if not context.eval_size:
    return {}
  needed = {"sacrebleu" if config.metric == "bleu" else "rouge_score": "apps"}
  if config.extract == "minilm":
    needed |= {"safetensors": "apps", "tokenizers": "apps"}
  return needed


class Seq2SeqTask(BaseTask):
  """Trains on and scores pairs of texts; see `tasks.EvaluableTask`."""

  metric_name = "nats/token"
  noun = "pairs"

  def __init__(self, config: PairsConfig, context: TaskContext, model: EncoderDecoder):
    """Reads the pairs.

    Args:
      config: config of the task.
      context: the run's context.
      model: the encoder-decoder.

    Raises:
      DataError: if a source has no pairs that fit, before any device work.
      ConfigError: if splits share files or are too small, before any device work.
    """
    c = self._config = config
    self._context, self._model = context, model
    self._splits = _splits(c)
    self.repeats = self._splits.repeats
    self.tested = bool(c.test) and not self._splits.heldout_is_test
    self._made = trained.make(c.tokenizer, _training_texts(self._splits["train"], c))
    self._tokenizer = reader(self._made, c)
    train = data.encode(self._splits["train"], self._tokenizer, c.segment_length)
    self._left_out = train.left_out
    self.rows = data.pair_rows(
      train,
      self._tokenizer,
      (c.segment_length, c.batch_size),
      context.seed,
      context.process,
    )
    # losses are [B, T] nats, weighted by the batch's "weights"
    self._losses = jax.jit(
      lambda params, batch: model.apply({"params": params}, batch, method="losses")
    )

  def describe(self) -> str:
    """Returns a line on the sizes of the splits and on pairs that are left out."""
    sizes = {name: len(split) for name, split in self._splits.items()}
    too_long = f" ({self._left_out:,} too long)" if self._left_out else ""
    return (
      f"{sizes['train']:,} pairs to train on{too_long}, {sizes['heldout']:,} held out, "
      f"{sizes['test']:,} to test{self.repeats.words('pairs')}"
    )

  def validation_metric(self, params: Any) -> float:
    """Returns nats a token of the first targets of held-out pairs, not smoothed."""
    length, eos_id = self._config.segment_length, self._tokenizer.eos_id
    encoded = data.encode(self._splits["heldout"], self._tokenizer, length)

    def collate(pairs: list[tuple]) -> Batch:
      read, write = zip(*pairs, strict=True)
      return data.batch(read, write, length, eos_id)

    pairs = [*zip(encoded.read, encoded.write, strict=True)]
    batches = scoring.batches(pairs, ROWS, collate)
    return scoring.mean_loss(lambda batch: self._losses(params, batch), batches)

  def compute_metrics(self, params: Any, split: str) -> EvalResult:
    """Returns the metric of beam search and of the baselines, and examples.

    Args:
      params: the model's parameters.
      split: "train", "heldout" or "test"; as many of its first pairs are scored as have
        `eval_size` bytes of targets.
    """
    sizes = [len(p.targets[0].encode()) for p in self._splits[split]]
    # the first pairs whose targets fit in `eval_size` bytes, and at least one
    count = max(int((np.cumsum(sizes) <= self._context.eval_size).sum()), 1)
    pairs = self._splits[split][:count]
    text_writer = writer(self._config, self._model, params, self._tokenizer)
    written = [w.text for w in text_writer.write([p.source for p in pairs])]
    references = [p.targets for p in pairs]
    c, name = self._config, f"beam {self._config.beams}"
    # the model is the last row of the table, below what it must beat
    rows = _baselines(pairs, c, self._sentences()) | {name: written}
    scores = {
      row: metrics.numbers(c.metric, texts, references, c.language)
      for row, texts in rows.items()
    }
    model = scores[name]
    baseline = {row: numbers for row, numbers in scores.items() if row != name}
    numbers = {"split": split, "pairs": count} | model | {"beside": baseline}
    measure, key = {"bleu": ("BLEU", "bleu"), "rouge": ("ROUGE-1", "rouge1")}[c.metric]
    values = {row: numbers[key] for row, numbers in baseline.items()}
    first = baselines.better(measure, model[key], values, digits=2)
    title = f"{count:,} pairs of {c.test or c.source} ({split})"
    lines = [*first, title, "", *metrics.table(scores), ""]
    lines += [*metrics.signatures(model, c.language), ""]
    return EvalResult(numbers, [*lines, *_examples(pairs, written)], {})

  def _sentences(self) -> int:
    """Returns the mean number of sentences of the training targets."""
    return extractive.mean_length([p.targets[0] for p in self._splits["train"]])


def _training_texts(pairs: list[Pair], c: PairsConfig) -> Iterator[bytes]:
  """Yields the texts that a tokenizer is trained on, without marks of hidden text."""
  for pair in pairs:
    source = pair.source.replace(trained.MASK, "") if c.gaps else pair.source
    yield source.encode()
    yield pair.targets[0].encode()


def _splits(c: PairsConfig) -> leaks.Parted:
  """Returns the pairs of the config, separated by the rule of `jaxmem.data.leaks`."""
  files = {name: getattr(c, name).split(",") for name in ("source", "heldout", "test")}
  leaks.refuse_shared_files(
    files["source"], {f"task.{name}": files[name] for name in ("heldout", "test")}
  )
  read = functools.partial(_read, c)

  def key(pair: Pair) -> leaks.Key:
    # the hidden sentences of a text are in its target
    return leaks.key(pair.source, *(pair.targets if c.gaps else ()))

  train, repeats = read(c.source), leaks.NONE
  if c.heldout:
    heldout = read(c.heldout)
  else:
    train, heldout, count = _tenth(train, [*map(key, train)], c.source)
    repeats = leaks.Repeats(together=count)
  test = read(c.test) if c.test else []
  splits = {"train": train, "heldout": heldout, "test": test}
  parted = leaks.separate(splits, key, c.source, "pairs")
  parted.repeats += repeats
  # without test files the held-out pairs are reported as the test split
  return (
    parted
    if test
    else leaks.Parted(parted | {"test": parted["heldout"]}, parted.repeats)
  )


def _tenth(
  pairs: list[Pair], keys: list[leaks.Key], source: str
) -> tuple[list[Pair], list[Pair], int]:
  """Returns the training pairs, a tenth to hold out, and how many pairs repeat others.

  Every tenth of the different pairs is held out; a pair and its repeats stay together.
  """
  is_heldout, repeated = leaks.sided(keys, lambda different: different[::10])
  if len(pairs) - repeated < 10:
    different = f", {len(pairs) - repeated} of them different" if repeated else ""
    raise ConfigError(
      f"{source} has {len(pairs)} pairs{different}: give task.heldout, or more"
    )
  sides: tuple[list[Pair], list[Pair]] = ([], [])
  for pair, heldout in zip(pairs, is_heldout, strict=True):
    sides[bool(heldout)].append(pair)
  return sides[0], sides[1], repeated


def _read(c: PairsConfig, source: str) -> list[Pair]:
  """Returns the pairs of a source, or the gap-sentence pairs of its texts."""
  if not c.gaps:
    return data.read(source, (c.read, c.write), _HINT, c.encoding)

  def text(record: records.Record) -> tuple[str, str]:
    return data.text(record, c.read), record.where

  texts = records.collect(source, text, _HINT, c.encoding)
  pairs = gap_sentences.pairs(texts, c.gaps)
  if not pairs:
    raise DataError(
      f"{source} has no text of two sentences, of which one can be hidden"
    )
  return pairs


def _baselines(pairs: list[Pair], c: PairsConfig, length: int) -> dict[str, list[str]]:
  """Returns texts that need no training: the sources, or sentences of them.

  Args:
    pairs: the pairs.
    c: the config, for the metric and for `extract`.
    length: mean number of sentences of a target.
  """
  sources = [p.source for p in pairs]
  if c.metric == "bleu":
    texts = {"source, copied": sources}
  else:
    texts = {"first sentence": [extractive.first(source) for source in sources]}
    if length > 1:
      texts[f"first {length} sentences"] = [
        extractive.first(source, length) for source in sources
      ]
  if c.extract == "minilm":
    texts["sentence by MiniLM"] = extractive.nearest(sources, embed.minilm())
  return texts


def _examples(pairs: list[Pair], written: list[str]) -> list[str]:
  """Returns a few pairs and what was written, as a block of code in Markdown."""
  lines = ["```text"]
  for i in np.linspace(0, len(pairs) - 1, min(SHOWN, len(pairs))).astype(int):
    lines += [pairs[i].source[:300], "= " + pairs[i].targets[0], "> " + written[i], ""]
  return [*lines[:-1], "```"]


Config = PairsConfig
Task = Seq2SeqTask
Predictor = PairsPredictor
