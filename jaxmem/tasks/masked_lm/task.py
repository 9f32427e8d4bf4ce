"""Masked language modelling: an encoder learns text by predicting masked tokens.

Classification, question answering and retrieval can begin from it (`init_from`).
"""

import dataclasses
import functools
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np

from jaxmem import data
from jaxmem.core.errors import UserError, shown
from jaxmem.core.ranges import affecting, number
from jaxmem.data.samples import tokenizer_of
from jaxmem.models.encoder_config import EncoderConfig
from jaxmem.tasks import baselines, fields, scoring
from jaxmem.tasks.application import BaseTask
from jaxmem.tasks.base import EvalResult, TaskContext
from jaxmem.tasks.masked_lm.data import masked_rows
from jaxmem.tasks.masked_lm.model import MaskedLM
from jaxmem.tasks.model_sizes import check_encoder, with_made
from jaxmem.tokenizers import start_ids, trained
from jaxmem.tokenizers.trained import MASK, MaskTokenizer

# Guesses for each mask of a record.
GUESSES = 5


@dataclasses.dataclass(frozen=True)
class MaskedConfig:
  """Which text a run reads, and how much of it is masked.

  Attributes:
    source: see `DataConfig`.
    heldout: see `DataConfig`.
    tokenizer: "words:N" or "sp:N", made of the training text, or see `DataConfig`.
    segment_length: T, tokens of a row; documents of one row do not see each other.
    batch_size: rows of a step.
    share: the share of tokens that are masked, in (0, 1).
    run: tokens of each masked run, >= 1.
    data_dir: see `DataConfig`.
    bad_records: "stop" ends the run at a record that cannot be read, "skip" leaves such
      records out and says how many, and which came first.
  """

  source: str = "stdlib"
  heldout: str = ""
  tokenizer: str = "sp:4000"
  segment_length: int = number(128, at_least=1)
  batch_size: int = number(32, at_least=1)
  share: float = number(0.15, above=0, below=1)
  run: int = number(1, at_least=1)
  data_dir: str = affecting("nothing", "")
  bad_records: Literal["stop", "skip"] = "stop"


def resolve_model(model: EncoderConfig, config: MaskedConfig) -> EncoderConfig:
  """Returns the model's config with the vocabulary and the mask, after checks.

  Raises:
    ConfigError: if a number is out of range or there is no such tokenizer.
  """
  check_encoder(model, config.segment_length, windows=False)
  return with_made(model, config.tokenizer, mask=True)


def make_model(model: EncoderConfig, config: MaskedConfig) -> MaskedLM:
  """Makes the model that is trained; see `tasks.make_model`."""
  return MaskedLM(model)


class MaskedLMTask(BaseTask):
  """Text of the config's source; see `tasks.EvaluableTask`."""

  metric_name = "bits/token"
  noun = "text"
  reported = "heldout"
  tested = False

  def __init__(self, config: MaskedConfig, context: TaskContext, model: MaskedLM):
    """Prepares the text.

    Raises:
      DataError, ConfigError: before any device work.
    """
    c = self._config = config
    self._context = context
    corpus = data.prepare(c.source, c.heldout, c.data_dir or None)
    self.repeats = corpus.repeats
    self._made = self._tokenizer = tokenizer_of(c.tokenizer, corpus)
    train, heldout = (
      data.TokenStream.from_corpus(corpus, self._tokenizer, split)
      for split in ("train", "heldout")
    )
    process = context.process
    lanes = data.Lanes(train, c.batch_size, c.segment_length, context.seed, *process)
    # seed 0, so that every run is scored on the same masked tokens of the same rows
    rows = max(len(heldout.tokens) // (c.segment_length + 1), 1)
    fixed = data.Lanes(heldout, min(c.batch_size, rows), c.segment_length, seed=0)
    self._steps = {"train": lanes.steps_per_epoch, "heldout": fixed.steps_per_epoch}
    self.rows, self._heldout = (
      masked_rows(part, self._tokenizer, c.share, c.run, part.seed)
      for part in (lanes, fixed)
    )
    self._logp = _log_probabilities(model)

  def describe(self) -> str:
    """Says which text is read, and how many steps an epoch has."""
    return (
      f"text of {self._config.source!r}, {self._steps['train']:,} steps an epoch"
      f"{self.repeats.words('documents')}"
    )

  def to_metric(self, loss: float) -> float:
    """Turns nats into bits."""
    return loss / math.log(2)

  def validation_metric(self, params: Any) -> float:
    """Returns the bits of a masked token of held-out text."""
    steps = self._within("heldout", self._context.validation_size)
    batches = (self._heldout[step] for step in steps)
    nats = functools.partial(self._nats, params)
    return self.to_metric(scoring.mean_loss(nats, batches))

  def _within(self, split: str, num_tokens: int) -> range:
    """Returns the steps of a split with about `num_tokens` tokens, at least one."""
    rows = self.rows if split == "train" else self._heldout
    steps = num_tokens // rows[0]["tokens"].size
    return range(min(max(steps, 1), self._steps[split]))

  def _nats(self, params: Any, batch: dict) -> np.ndarray:
    """Returns the nats of the masked tokens, 0 elsewhere, [B, T]."""
    where = batch["weights"] > 0  # [B, T]
    logp = self._logp(params, batch, where)  # [N, V] for N masked tokens
    nats = np.zeros(where.shape)
    targets = batch["targets"][where]  # [N]
    nats[where] = -np.take_along_axis(logp, targets[:, None], 1)[:, 0]
    return nats

  def compute_metrics(self, params: Any, split: str) -> EvalResult:
    """Computes bits and accuracy of masked tokens, beside those of their frequency."""
    numbers = {"split": split} | self._scores(params, split, self._context.eval_size)
    bits, accuracy = numbers["bits"], numbers["accuracy"]
    unigram = "the frequency of each token"
    baseline_bits, baseline = numbers["unigram_bits"], numbers["unigram_accuracy"]
    others = {unigram: baseline_bits}
    lines = [
      *baselines.better("bits per masked token", bits, others, lower=True),
      f"{numbers['tokens']:,} masked tokens of {self._config.source} ({split})",
      "",
      "| | bits per masked token | accuracy |",
      "|---|--:|--:|",
      f"| this run | {bits:.3f} | {accuracy:.3f} |",
      f"| {unigram} | {baseline_bits:.3f} | {baseline:.3f} |",
    ]
    return EvalResult(numbers, lines, {})

  def _scores(self, params: Any, split: str, num_tokens: int) -> dict[str, Any]:
    """Scores the masked tokens of the steps that have about `num_tokens` tokens."""
    rows = self.rows if split == "train" else self._heldout
    bits, right, targets = 0.0, 0, []
    for step in self._within(split, num_tokens):
      batch = rows[step]
      where = batch["weights"] > 0  # [B, T]
      logp = self._logp(params, batch, where)  # [N, V]
      target = batch["targets"][where]  # [N]
      bits -= np.take_along_axis(logp, target[:, None], 1).sum() / math.log(2)
      right += int((logp.argmax(-1) == target).sum())
      targets.append(target)
    targets = np.concatenate(targets)
    if not len(targets):
      raise UserError(f"no token of {num_tokens} was masked: raise eval_bytes")
    shares = self._frequencies()  # [V]
    return {
      "tokens": len(targets),
      "bits": float(bits / len(targets)),
      "accuracy": right / len(targets),
      "unigram_bits": float(-np.log2(shares[targets]).mean()),
      "unigram_accuracy": float((targets == shares.argmax()).mean()),
    }

  def _frequencies(self) -> np.ndarray:
    """Returns the frequency of each id in the first steps of training, [V]."""
    # from ones: no token is impossible, or its bits would be infinite
    counts = np.ones(self._tokenizer.vocab_size)
    for step in range(min(self._steps["train"], 50)):
      batch = self.rows[step]
      ids = batch["targets"][batch["targets"] != self._tokenizer.eos_id]
      counts += np.bincount(ids, minlength=len(counts))
    return counts / counts.sum()


class MaskedPredictor:
  """Guesses the masked tokens of a text; see `tasks.Predictor`.

  `{"text": "a [MASK] c"}` gets `{"guesses": [[{"text", "share"}, ...]]}`, a list of
  tokens for every mask, each with its probability.
  """

  def __init__(self, config: MaskedConfig, model: MaskedLM, params: Any, workdir: Path):
    self._tokenizer = MaskTokenizer(trained.kept(config.tokenizer, workdir))
    self._length, self._params = config.segment_length, params
    self._logp = _log_probabilities(model)

  def check(self, record: dict[str, Any]) -> None:
    """Raises a UserError unless a record has a text with a mask that fits."""
    text = fields.text(record, "text")
    if MASK not in text:
      raise UserError(f'"text" is {shown(text)}: a text with {MASK} expected')
    count = len(self._ids(text))
    if count > self._length:
      raise UserError(
        f"the text has {count} tokens, the run reads {self._length}: cut it"
      )

  def __call__(self, records: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    ids = [self._ids(record["text"]) for record in records]
    # EOS tokens fill the row: documents of their own, which the text does not see
    eos_id = self._tokenizer.eos_id
    tokens = np.full((len(ids), self._length), eos_id, np.int32)
    for i, text_ids in enumerate(ids):
      tokens[i, : len(text_ids)] = text_ids
    batch = {"tokens": tokens, "reset": tokens == eos_id}
    where = tokens == self._tokenizer.mask_id  # [B, T]
    logp = self._logp(self._params, batch, where)  # [N, V] for the N masks of all rows
    ends = np.cumsum(where.sum(1))[:-1]
    return [{"guesses": [*map(self._guesses, row)]} for row in np.split(logp, ends)]

  def _ids(self, text: str) -> np.ndarray:
    """Returns the tokens of a text after what begins a document, as in training."""
    start = np.array(start_ids(self._tokenizer), np.int32)
    return np.concatenate([start, self._tokenizer.encode(text.encode())])

  def _guesses(self, logp: np.ndarray) -> list[dict[str, Any]]:
    """Returns the likeliest tokens of one mask, and their probabilities."""
    order = np.argsort(-logp[: self._tokenizer.vocab_size])
    best = order[order != self._tokenizer.eos_id][:GUESSES]
    return [
      {
        "text": self._tokenizer.decode(np.array([i])).decode(errors="replace"),
        "share": round(float(np.exp(logp[i])), 4),
      }
      for i in best
    ]


def _log_probabilities(
  model: MaskedLM,
) -> Callable[[Any, dict, np.ndarray], np.ndarray]:
  """Returns `(params, batch, where [B, T]) -> log probabilities there [N, V]`."""

  @jax.jit
  def at_positions(params, tokens, reset, position):
    logits = model.apply({"params": params}, tokens, reset, position, method="logits")
    return jax.nn.log_softmax(logits)

  def log_probabilities(params, batch, where):
    count = where.sum(1)  # [B]
    # few shapes are compiled, and not the logits of whole rows where little is masked
    size = min(-(-int(max(count.max(), 1)) // 32) * 32, where.shape[1])
    # the chosen positions of each row first, in order
    position = np.argsort(~where, axis=1, kind="stable")[:, :size]  # [B, K]
    logp = at_positions(
      params,
      jnp.asarray(batch["tokens"]),
      jnp.asarray(batch["reset"]),
      jnp.asarray(position.astype(np.int32)),
    )  # [B, K, V]
    return np.asarray(logp)[np.arange(size) < count[:, None]]

  return log_probabilities


Config = MaskedConfig
Task = MaskedLMTask
Predictor = MaskedPredictor
