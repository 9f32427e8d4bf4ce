"""Hidden words: an encoder learns text by saying what it does not see.

The run is one to begin others from (`init_from`): classification, answers, retrieval.
"""

import dataclasses
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np

from jaxmem import data
from jaxmem.core.errors import UserError, shown
from jaxmem.core.ranges import number
from jaxmem.data.samples import tokenizer_of
from jaxmem.models.encoder_config import EncoderConfig
from jaxmem.tasks import baselines, fields, scoring
from jaxmem.tasks.application import Asked
from jaxmem.tasks.base import Findings, TaskContext
from jaxmem.tasks.masked_lm.data import masked_rows
from jaxmem.tasks.masked_lm.model import MaskedLM
from jaxmem.tasks.model_sizes import check_encoder, with_made
from jaxmem.tokenizers import trained
from jaxmem.tokenizers.trained import MASK, MaskTokenizer

# How many guesses a hidden word gets.
GUESSES = 5


@dataclasses.dataclass(frozen=True)
class MaskedConfig:
  """Text with words hidden.

  Attributes:
    source: see `DataConfig`.
    heldout: see `DataConfig`.
    tokenizer: "words:N" or "sp:N", made of the training text, or see `DataConfig`.
    segment_length: T, tokens of a row; several documents may share one, unseen by each
      other.
    batch_size: rows of a step.
    share: of the tokens that are to be said, in (0, 1).
    run: hidden tokens stand in runs of so many, >= 1.
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
  data_dir: str = ""
  bad_records: Literal["stop", "skip"] = "stop"


def fit(model: EncoderConfig, config: MaskedConfig) -> EncoderConfig:
  """The model's config with the vocabulary and the id of what is hidden, checked.

  Raises:
    ConfigError: if a number is out of range or there is no such tokenizer.
  """
  check_encoder(model, config.segment_length, windows=False)
  return with_made(model, config.tokenizer, mask=True)


def make_model(model: EncoderConfig, config: MaskedConfig) -> MaskedLM:
  """What is trained; see `tasks.make_model`."""
  return MaskedLM(model)


class MaskedJob(Asked):
  """Text of the config's source; see `tasks.Application`."""

  measure = "bits/token"
  things = "text"
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
    train, held = (
      data.TokenStream.from_corpus(corpus, self._tokenizer, split)
      for split in ("train", "heldout")
    )
    process = context.process
    lanes = data.Lanes(train, c.batch_size, c.segment_length, context.seed, *process)
    # of every run the same words of the same rows, as many as there are
    most = max(len(held.tokens) // (c.segment_length + 1), 1)
    fixed = data.Lanes(held, min(c.batch_size, most), c.segment_length, seed=0)
    self._steps = {"train": lanes.steps_per_epoch, "heldout": fixed.steps_per_epoch}
    self.rows, self._held = (
      masked_rows(part, self._tokenizer, c.share, c.run, part.seed)
      for part in (lanes, fixed)
    )
    self._logp = _log_probabilities(model)

  def introduction(self) -> str:
    return (
      f"text of {self._config.source!r}, {self._steps['train']:,} steps an epoch"
      f"{self.repeats.words('documents')}"
    )

  def value(self, loss: float) -> float:
    return loss / math.log(2)

  def score(self, params: Any) -> float:
    """Bits a hidden token of held-out text."""
    steps = self._within("heldout", self._context.validation_size)
    batches = (self._held[step] for step in steps)
    return self.value(scoring.mean_loss(lambda b: self._nats(params, b), batches))

  def _within(self, split: str, num_tokens: int) -> range:
    """Steps of a split that have about so many tokens, one at least."""
    rows = self.rows if split == "train" else self._held
    most = num_tokens // rows[0]["tokens"].size
    return range(min(max(most, 1), self._steps[split]))

  def _nats(self, params: Any, batch: dict) -> np.ndarray:
    """Nats of the hidden tokens, [B, T]; 0 elsewhere."""
    where = batch["weights"] > 0
    logp = self._logp(params, batch, where)
    nats = np.zeros(where.shape)
    targets = batch["targets"][where]
    nats[where] = -np.take_along_axis(logp, targets[:, None], 1)[:, 0]
    return nats

  def findings(self, params: Any, split: str) -> Findings:
    """Bits and accuracy of hidden tokens, beside their frequency alone."""
    found = {"split": split} | self._said(params, split, self._context.eval_size)
    frequent = "how frequent each is"
    others = {"the frequency of each token": found["unigram_bits"]}
    lines = [
      *baselines.better("bits a hidden token", found["bits"], others, lower=True),
      f"{found['tokens']:,} hidden tokens of {self._config.source} ({split})",
      "",
      "| | bits a hidden token | said right |",
      "|---|--:|--:|",
      f"| this run | {found['bits']:.3f} | {found['accuracy']:.3f} |",
      f"| {frequent} | {found['unigram_bits']:.3f} | {found['unigram_accuracy']:.3f} |",
    ]
    return Findings(found, lines, {})

  def _said(self, params: Any, split: str, num_tokens: int) -> dict[str, Any]:
    """Of about so many tokens of text, in whole steps of a fixed hiding."""
    rows = self.rows if split == "train" else self._held
    bits, right, targets = 0.0, 0, []
    for step in self._within(split, num_tokens):
      batch = rows[step]
      where = batch["weights"] > 0
      own, wanted = self._logp(params, batch, where), batch["targets"][where]
      bits -= np.take_along_axis(own, wanted[:, None], 1).sum() / math.log(2)
      right += int((own.argmax(-1) == wanted).sum())
      targets.append(wanted)
    targets = np.concatenate(targets)
    if not len(targets):
      raise UserError(f"no token of {num_tokens} was hidden: raise eval_bytes")
    shares = self._frequencies()
    return {
      "tokens": len(targets),
      "bits": float(bits / len(targets)),
      "accuracy": right / len(targets),
      "unigram_bits": float(-np.log2(shares[targets]).mean()),
      "unigram_accuracy": float((targets == shares.argmax()).mean()),
    }

  def _frequencies(self) -> np.ndarray:
    """How frequent each id is in the first steps of training; none is impossible."""
    counts = np.ones(self._tokenizer.vocab_size)
    for step in range(min(self._steps["train"], 50)):
      batch = self.rows[step]
      ids = batch["targets"][batch["targets"] != self._tokenizer.eos_id]
      counts += np.bincount(ids, minlength=len(counts))
    return counts / counts.sum()


class MaskedPredictor:
  """`{"text": "a [MASK] c"}` to `{"guesses": [[{"text", "share"}, ...]]}`, a list for
  every mask; see `tasks.Predictor`."""

  def __init__(self, config: MaskedConfig, model: MaskedLM, params: Any, workdir: Path):
    kept = trained.kept(config.tokenizer, workdir)
    self._tokenizer = MaskTokenizer(kept)
    self._length, self._params = config.segment_length, params
    self._logp = _log_probabilities(model)

  def check(self, record: dict[str, Any]) -> None:
    """Raises UserError unless a record has a text with a mask that fits."""
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
    # behind a text is another one, of EOS tokens, as where it was learned
    eos_id = self._tokenizer.eos_id
    tokens = np.full((len(ids), self._length), eos_id, np.int32)
    for i, own in enumerate(ids):
      tokens[i, : len(own)] = own
    batch = {"tokens": tokens, "reset": tokens == eos_id}
    where = tokens == self._tokenizer.mask_id
    logp = self._logp(self._params, batch, where)
    ends = np.cumsum(where.sum(1))[:-1]
    return [{"guesses": [*map(self._guesses, own)]} for own in np.split(logp, ends)]

  def _ids(self, text: str) -> np.ndarray:
    """The EOS token and the text."""
    eos_id = np.array([self._tokenizer.eos_id], np.int32)
    return np.concatenate([eos_id, self._tokenizer.encode(text.encode())])

  def _guesses(self, logp: np.ndarray) -> list[dict[str, Any]]:
    """The likeliest tokens of text."""
    order = np.argsort(-logp[: self._tokenizer.vocab_size])
    best = order[order != self._tokenizer.eos_id][:GUESSES]
    show = lambda i: self._tokenizer.decode(np.array([i])).decode(errors="replace")
    return [{"text": show(i), "share": round(float(np.exp(logp[i])), 4)} for i in best]


def _log_probabilities(
  model: MaskedLM,
) -> Callable[[Any, dict, np.ndarray], np.ndarray]:
  """(params, batch, mask [B, T]) -> log probabilities where it is True, [N, V]."""

  @jax.jit
  def at(params, tokens, reset, position):
    logits = model.apply({"params": params}, tokens, reset, position, method="logits")
    return jax.nn.log_softmax(logits)

  def log_probabilities(params, batch, mask):
    count = mask.sum(1)
    # few shapes, and never the whole row's logits where little is hidden
    size = min(-(-int(max(count.max(), 1)) // 32) * 32, mask.shape[1])
    position = np.argsort(~mask, axis=1, kind="stable")[:, :size].astype(np.int32)
    args = map(jnp.asarray, (batch["tokens"], batch["reset"], position))
    logp = at(params, *args)
    return np.asarray(logp)[np.arange(size) < count[:, None]]

  return log_probabilities


Config = MaskedConfig
Job = MaskedJob
Predictor = MaskedPredictor
