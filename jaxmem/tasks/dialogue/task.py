"""Dialogue: a language model that learns what one of the speakers says.

The memory is carried from segment to segment within a dialogue, so what was said turns
ago is known only if it is remembered. Held-out dialogues are answered twice, with the
memory carried and with it emptied before each turn.
"""

import dataclasses
import inspect
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np

from jaxmem import data
from jaxmem.core import registry
from jaxmem.core.errors import ConfigError, UserError, raised_as
from jaxmem.core.ranges import number
from jaxmem.data import DataError, leaks
from jaxmem.generation.generate import Writer
from jaxmem.generation.sampling import Sampling
from jaxmem.generation.session import first_session
from jaxmem.models import capacity
from jaxmem.models.lm import LM, LMConfig
from jaxmem.tasks import baselines, plots
from jaxmem.tasks.application import Asked
from jaxmem.tasks.base import Findings, TaskContext
from jaxmem.tasks.dialogue import chat, recall, turns
from jaxmem.tasks.model_sizes import with_made
from jaxmem.tokenizers import trained

RECALL = "recall"
# Tokens that a reply has at most.
LONGEST = 256


@dataclasses.dataclass(frozen=True)
class DialogueConfig:
  """Dialogues of two speakers.

  Attributes:
    source: a JSONL file of chat form, see `chat`, or "recall:facts=4", generated
      dialogues whose answers stand in earlier turns, see `tasks.dialogue.recall`.
    heldout: a file that is held out; empty holds out a tenth of the source's dialogues,
      and is the rule for generated ones, which share none. Equal dialogues follow the
      rule of `jaxmem.data.leaks`.
    tokenizer: "sp:N" or "words:N", made of the training dialogues, or see `DataConfig`.
    segment_length: T, tokens of a row a step; a dialogue may be longer.
    batch_size: rows of a step; each is a contiguous lane of dialogues.
    bad_records: "stop" ends the run at a record that cannot be read, "skip" leaves such
      records out and says how many, and which came first.
  """

  source: str = "recall:facts=4"
  heldout: str = ""
  tokenizer: str = "byte"
  segment_length: int = number(128, at_least=1)
  batch_size: int = number(32, at_least=1)
  bad_records: Literal["stop", "skip"] = "stop"


def fit(model: LMConfig, config: DialogueConfig) -> LMConfig:
  """The model's config with the tokenizer's vocabulary.

  Raises:
    ConfigError: if there is no such tokenizer, it loses text, or the vocabulary is
      smaller.
  """
  return with_made(model, config.tokenizer, exact=True)


class DialogueJob(Asked):
  """Dialogues of the config's source; see `tasks.Application`."""

  measure = "bits/byte"
  things = "dialogues"
  reported = "heldout"
  splits = ("heldout", "test")  # one of them, under two names
  tested = False

  def __init__(self, config: DialogueConfig, context: TaskContext, model: LM):
    """Reads or draws the dialogues.

    Raises:
      DataError, ConfigError, CapacityError: before any device work.
    """
    c = self._config = config
    self._context, self._model = context, model
    parted = _dialogues(c, context.seed)
    self._train, self._heldout = parted["train"], parted["heldout"]
    self.repeats = parted.repeats
    self._tokenizer = trained.make(c.tokenizer, chat.written(self._train), exact=True)
    self._made = self._tokenizer
    self._stream, heldout = (
      chat.stream(_answering(part, where, c), self._tokenizer)
      for part, where in ((self._train, "train on"), (self._heldout, "hold out"))
    )
    processes = context.process
    self.rows = data.Lanes(
      self._stream, c.batch_size, c.segment_length, context.seed, *processes
    )
    counted = int(self._stream.counted.sum())
    self._bytes_per_token = self._stream.num_bytes / counted
    self._listener = turns.Listener(model, c.segment_length)
    if limit := capacity.limit_of(model.config):
      remedy = "take a memory without capacity, or leave the longest out"
      longest = max(int(np.diff(s.starts).max()) for s in (self._stream, heldout))
      limit.check(longest, "the longest dialogue", remedy)

  def introduction(self) -> str:
    return (
      f"{len(self._train):,} dialogues to train on, {len(self._heldout):,} held out, "
      f"from {self._config.source!r}{self.repeats.words('dialogues')}"
    )

  def value(self, loss: float) -> float:
    return loss / self._bytes_per_token / math.log(2)

  def score(self, params: Any) -> float:
    """Bits a byte of held-out answers, the memory carried."""
    some = self._some(self._context.validation_size)
    found = self._listener.listen(params, some, self._tokenizer, ("carried",))
    all_turns = turns.total(found["carried"])
    return all_turns.bits / all_turns.num_bytes

  def findings(self, params: Any, split: str) -> Findings:
    """Exact answers and bits per byte of held-out dialogues, by turn and way."""
    some = self._some(self._context.eval_size)
    found = self._listener.listen(params, some, self._tokenizer)
    title = f"Held-out dialogues of {self._config.source}"
    draw = lambda path: plots.turns(found, path, title)
    numbers, lines = turns.numbers(found), [title, "", *turns.table(found)]
    packed, own = self._packed(some), numbers["carried"]
    numbers["compressors"] = packed
    bits = own["bits_per_byte"]
    first = baselines.better("bits per byte of answers", bits, packed, lower=True)
    lines += ["", "| the answers alone | bits per byte | |", "|---|--:|---|"]
    lines += baselines.packed_rows(packed)
    name, given = registry.options(self._config.source)
    if name == RECALL:
      numbers["unbound"] = recall.unbound(some, given.get("asks", 1))
      lines += ["", f"A guess among the names told: {numbers['unbound']:.3f} exact."]
      guess = {"a guess among the names told": numbers["unbound"]}
      first += baselines.better("exact answers", own["exact"], guess)
    return Findings(numbers, [*first, *lines], {"turns.png": draw})

  def _packed(self, some: list[chat.Dialogue]) -> dict[str, float]:
    """Bits per byte of the answers of dialogues, compressed, a dialogue a file."""
    counted = ([m.content for m in dialogue if m.counts] for dialogue in some)
    every = [b"".join(map(chat.words, answers)) for answers in counted]
    return baselines.compressors([answers for answers in every if answers])

  def _some(self, num_bytes: int) -> list[chat.Dialogue]:
    """The first held-out dialogues with so many bytes of answers, one at least."""
    answers = [[m.content for m in d if m.counts] for d in self._heldout]
    sizes = [sum(len(chat.words(content)) for content in d) for d in answers]
    count = int(np.searchsorted(np.cumsum(sizes), num_bytes)) + 1
    return self._heldout[:count]


class DialoguePredictor:
  """Replies: `{"messages": [...]}` to `{"reply": "..."}`; see `tasks.Predictor`."""

  def __init__(self, config: DialogueConfig, model: LM, params: Any, workdir: Path):
    self._tokenizer = trained.kept(config.tokenizer, workdir)
    self._model, self._params = model, params
    self._limit = capacity.limit_of(model.config)

  def check(self, record: dict[str, Any]) -> None:
    """Raises UserError unless a record is a dialogue, not too long, that waits."""
    dialogue = chat.dialogue(record)
    if dialogue[-1].role == chat.ASSISTANT:
      raise UserError("the last message is the assistant's: nothing is to be answered")
    try:
      read = chat.waiting(dialogue, self._tokenizer)
    except UnicodeEncodeError as error:
      raise UserError(
        "a message holds half of a surrogate pair, which is no text"
      ) from error
    if self._limit:
      length = 1 + len(read) + LONGEST
      self._limit.check(length, "the dialogue with its reply", "leave turns out")

  def __call__(self, records: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    texts = [chat.waiting(chat.dialogue(r), self._tokenizer) for r in records]
    session = first_session(self._model, len(texts))
    writer = Writer(self._model, self._params, self._tokenizer, session)
    writer.read(texts, seed=0)
    replies = [b""] * len(texts)
    for chunk in writer.write(Sampling(temperature=0.0), LONGEST, stop=[b"\n"]):
      replies = [a + b for a, b in zip(replies, chunk.text, strict=True)]
    return [{"reply": chat.content(reply)} for reply in replies]


def _dialogues(config: DialogueConfig, seed: int) -> leaks.Parted:
  """To train on, and held out."""
  name, given = registry.options(config.source)
  if name == RECALL:
    if config.heldout:
      raise ConfigError(f"task.heldout {config.heldout!r}: generated dialogues have it")
    drawn = (_drawn(split, seed, given) for split in recall.SPLITS)
    return leaks.Parted(dict(zip(recall.SPLITS, drawn, strict=True)))
  leaks.refuse_shared_files([config.source], {"task.heldout": [config.heldout]})
  every = chat.read(config.source)
  if config.heldout:
    named = {"train": every, "heldout": chat.read(config.heldout)}
    return leaks.separate(named, _key, config.source, "dialogues")
  # the last tenth of those that differ
  last = lambda different: different[-max(len(different) // 10, 1) :]
  inside, repeated = leaks.sided([*map(_key, every)], last)
  if len(every) - repeated < 2:
    alike = f" {len(every)} times" if repeated else ""
    raise DataError(
      f"{config.source} has one dialogue{alike}: give task.heldout, or more"
    )
  both = [*zip(every, inside, strict=True)]
  splits = {
    "train": [one for one, held in both if not held],
    "heldout": [one for one, held in both if held],
  }
  return leaks.Parted(splits, leaks.Repeats(together=repeated))


def _key(dialogue: chat.Dialogue) -> leaks.Key:
  return leaks.key(*(text for m in dialogue for text in (m.role, m.content)))


def _answering(dialogues: list, what: str, config: DialogueConfig) -> list:
  """The dialogues, some of which the assistant must have to answer."""
  if not any(message.counts for one in dialogues for message in one):
    raise DataError(
      f"{config.heldout or config.source} has no answer of the assistant to {what}, in "
      f"{len(dialogues)} dialogues: give more"
    )
  return dialogues


def _drawn(split: str, seed: int, options: dict[str, Any]) -> list:
  known = [*inspect.signature(recall.dialogues).parameters][2:]
  with raised_as(ConfigError):
    registry.check_options(options, known, RECALL)
  try:
    return recall.dialogues(split, seed, **options)
  except (ValueError, TypeError) as error:
    raise ConfigError(f"task.source {RECALL}: {error}") from error


Config = DialogueConfig
Job = DialogueJob
Predictor = DialoguePredictor
