"""Sequence to sequence: a text is read, another is written. Translation, summaries.

Or what is written are the sentences that matter most of the text that is read, where
they are hidden: Pegasus' task, to begin summaries from (`task.gaps`). Held-out pairs
are scored in nats a token; the metric at the end is the field's, of what beam search
writes: BLEU and chrF, or ROUGE, beside what needs no training: the source as it stands,
or its first sentences.
"""

import dataclasses
import functools
from collections.abc import Iterator
from typing import Any

import jax
import numpy as np

from jaxmem.core.errors import ConfigError
from jaxmem.data import DataError, leaks, records
from jaxmem.models import capacity
from jaxmem.models.encoder_decoder import EncoderDecoder, EncoderDecoderConfig
from jaxmem.tasks import baselines, scoring
from jaxmem.tasks.application import Asked
from jaxmem.tasks.base import Findings, TaskContext
from jaxmem.tasks.model_sizes import with_made
from jaxmem.tasks.retrieval import embed
from jaxmem.tasks.seq2seq import data, extractive, gap_sentences, metrics
from jaxmem.tasks.seq2seq.config import PairsConfig
from jaxmem.tasks.seq2seq.data import Pair
from jaxmem.tasks.seq2seq.predict import PairsPredictor, reader, writer
from jaxmem.tokenizers import trained

# Pairs that are scored at once where nothing is learned, and that a report shows.
ROWS, SHOWN = 32, 5
_HINT = (
  "give two files of as many lines, A,B, or JSONL, CSV or TSV with a source and a "
  "target; Multi30k is at https://github.com/multi30k/dataset, SciTLDR at "
  "https://github.com/allenai/scitldr"
)


def fit(model: EncoderDecoderConfig, config: PairsConfig) -> EncoderDecoderConfig:
  """The model's config with the vocabulary and the length of what is read, checked.

  Raises:
    ConfigError: if a number is out of range or there is no such tokenizer.
  """
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
  """For the report; see `tasks.packages`."""
  if not context.eval_size:
    return {}
  needed = {"sacrebleu" if config.metric == "bleu" else "rouge_score": "apps"}
  if config.extract == "minilm":
    needed |= {"safetensors": "apps", "tokenizers": "apps"}
  return needed


class PairsJob(Asked):
  """Pairs of texts; see `tasks.Application`."""

  measure = "nats/token"
  things = "pairs"

  def __init__(self, config: PairsConfig, context: TaskContext, model: EncoderDecoder):
    """Reads the pairs.

    Raises:
      DataError, ConfigError: before any device work.
    """
    c = self._config = config
    self._context, self._model = context, model
    self._splits = _splits(c)
    self.repeats = self._splits.repeats
    self.tested = bool(c.test) and not self._splits.heldout_is_test
    self._made = trained.make(c.tokenizer, _said(self._splits["train"], c))
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
    self._losses = jax.jit(
      lambda params, batch: model.apply({"params": params}, batch, method="losses")
    )

  def introduction(self) -> str:
    sizes = {name: len(split) for name, split in self._splits.items()}
    left = f" ({self._left_out:,} too long)" if self._left_out else ""
    return (
      f"{sizes['train']:,} pairs to train on{left}, {sizes['heldout']:,} held out, "
      f"{sizes['test']:,} to test{self.repeats.words('pairs')}"
    )

  def score(self, params: Any) -> float:
    """Nats a token of the first targets of held-out pairs that fit, not smoothed."""
    length = self._config.segment_length
    length, eos_id = self._config.segment_length, self._tokenizer.eos_id
    held = data.encode(self._splits["heldout"], self._tokenizer, length)
    pairs = lambda some: data.batch(*zip(*some, strict=True), length, eos_id)
    both = [*zip(held.read, held.write, strict=True)]
    batches = scoring.batches(both, ROWS, pairs)
    return scoring.mean_loss(lambda batch: self._losses(params, batch), batches)

  def findings(self, params: Any, split: str) -> Findings:
    """The metric of what is written, on the first pairs of so many bytes."""
    sizes = [len(p.targets[0].encode()) for p in self._splits[split]]
    count = max(int((np.cumsum(sizes) <= self._context.eval_size).sum()), 1)
    some = self._splits[split][:count]
    written_by = writer(self._config, self._model, params, self._tokenizer)
    written = [w.text for w in written_by.write([p.source for p in some])]
    references = [p.targets for p in some]
    c = self._config
    rows = _baselines(some, c, self._sentences()) | {f"beam {c.beams}": written}
    score = lambda texts: metrics.numbers(c.metric, texts, references, c.language)
    found = {name: score(texts) for name, texts in rows.items()}
    own = found[f"beam {c.beams}"]
    beside = {k: v for k, v in found.items() if not k.startswith("beam")}
    numbers = {"split": split, "pairs": count} | own | {"beside": beside}
    measure, key = {"bleu": ("BLEU", "bleu"), "rouge": ("ROUGE-1", "rouge1")}[c.metric]
    others = {name: row[key] for name, row in beside.items()}
    first = baselines.better(measure, own[key], others, digits=2)
    title = f"{count:,} pairs of {c.test or c.source} ({split})"
    lines = [*first, title, "", *metrics.table(found), ""]
    lines += [*metrics.signatures(own, c.language), ""]
    return Findings(numbers, [*lines, *_shown(some, written)], {})

  def _sentences(self) -> int:
    """How many sentences a text to write of the training pairs has, their mean."""
    return extractive.mean_length([p.targets[0] for p in self._splits["train"]])


def _said(some: list[Pair], c: PairsConfig) -> Iterator[bytes]:
  """What a tokenizer is made of: marks of what is hidden are no text."""
  for pair in some:
    source = pair.source.replace(trained.MASK, "") if c.gaps else pair.source
    yield source.encode()
    yield pair.targets[0].encode()


def _splits(c: PairsConfig) -> leaks.Parted:
  """The pairs of the config, parted by the rule of `jaxmem.data.leaks`."""
  files = {name: getattr(c, name).split(",") for name in ("source", "heldout", "test")}
  leaks.refuse_shared_files(
    files["source"], {f"task.{name}": files[name] for name in ("heldout", "test")}
  )
  read = functools.partial(_read, c)
  # what is hidden of a text stands in the target
  key = lambda pair: leaks.key(pair.source, *(pair.targets if c.gaps else ()))
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
  return (
    parted
    if test
    else leaks.Parted(parted | {"test": parted["heldout"]}, parted.repeats)
  )


def _tenth(
  every: list[Pair], keys: list[leaks.Key], source: str
) -> tuple[list[Pair], list[Pair], int]:
  """Training and every tenth of the different pairs; how many repeat others."""
  inside, repeated = leaks.sided(keys, lambda different: different[::10])
  if len(every) - repeated < 10:
    different = f", {len(every) - repeated} of them different" if repeated else ""
    raise ConfigError(
      f"{source} has {len(every)} pairs{different}: give task.heldout, or more"
    )
  both = [*zip(every, inside, strict=True)]
  return [p for p, own in both if not own], [p for p, own in both if own], repeated


def _read(c: PairsConfig, source: str) -> list[Pair]:
  """The pairs of a source, or those made of its texts."""
  if not c.gaps:
    return data.read(source, (c.read, c.write), _HINT, c.encoding)
  text = lambda record: (data.text(record, c.read), record.where)
  texts = records.collect(source, text, _HINT, c.encoding)
  found = gap_sentences.pairs(texts, c.gaps)
  if not found:
    raise DataError(
      f"{source} has no text of two sentences, of which one can be hidden"
    )
  return found


def _baselines(some: list[Pair], c: PairsConfig, length: int) -> dict[str, list[str]]:
  """What needs no training: the source as it stands, or sentences of it.

  Args:
    some: pairs.
    c: the metric, and whether MiniLM is asked.
    length: sentences that a text to write has.
  """
  given = [p.source for p in some]
  if c.metric == "bleu":
    found = {"source, copied": given}
  else:
    found = {"first sentence": [extractive.first(text) for text in given]}
    if length > 1:
      found[f"first {length} sentences"] = [
        extractive.first(text, length) for text in given
      ]
  if c.extract == "minilm":
    found["sentence by MiniLM"] = extractive.nearest(given, embed.minilm())
  return found


def _shown(some: list[Pair], written: list[str]) -> list[str]:
  """Some pairs and what was written."""
  lines = ["```text"]
  for i in np.linspace(0, len(some) - 1, min(SHOWN, len(some))).astype(int):
    lines += [some[i].source[:300], "= " + some[i].targets[0], "> " + written[i], ""]
  return [*lines[:-1], "```"]


Config = PairsConfig
Job = PairsJob
Predictor = PairsPredictor
