"""Dialogue: a language model that learns the messages of one of the speakers.

The memory is carried from segment to segment within a dialogue, so a message of earlier
turns is known only if it is remembered. Held-out dialogues are answered twice, with the
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
from jaxmem.models import capacity
from jaxmem.models.lm import LM, LMConfig
from jaxmem.tasks import baselines, plots
from jaxmem.tasks.application import BaseTask
from jaxmem.tasks.base import EvalResult, TaskContext
from jaxmem.tasks.dialogue import chat, recall, transcript, turns
from jaxmem.tasks.model_sizes import with_made
from jaxmem.tokenizers import trained

RECALL = "recall"


@dataclasses.dataclass(frozen=True)
class DialogueConfig:
  """Dialogues of two speakers.

  Attributes:
    source: a JSONL file of chat form, see `chat`, or "recall:facts=4", generated
      dialogues whose answers occur in earlier turns, see `tasks.dialogue.recall`.
    heldout: a file that is held out; if empty, a tenth of the source's dialogues is.
      Generated dialogues have a split of their own, and it has to be empty. Equal
      dialogues follow the rule of `jaxmem.data.leaks`.
    tokenizer: "sp:N" or "words:N", made of the training dialogues, or see `DataConfig`.
    segment_length: T, tokens of a row in a step; a dialogue may be longer.
    batch_size: rows of a step; each is a contiguous lane of dialogues.
    bad_records: "stop" ends the run at a record that cannot be read; "skip" leaves such
      records out and reports their number and the first of them.
  """

  source: str = "recall:facts=4"
  heldout: str = ""
  tokenizer: str = "byte"
  segment_length: int = number(128, at_least=1)
  batch_size: int = number(32, at_least=1)
  bad_records: Literal["stop", "skip"] = "stop"


def resolve_model(model: LMConfig, config: DialogueConfig) -> LMConfig:
  """Returns the model's config with the tokenizer's vocabulary.

  Raises:
    ConfigError: if there is no such tokenizer, it loses text, or the config has a
      smaller vocabulary.
  """
  return with_made(model, config.tokenizer, exact=True)


class DialogueTask(BaseTask):
  """Learns the dialogues of the config's source; see `tasks.EvaluableTask`."""

  metric_name = "bits/byte"
  noun = "dialogues"
  reported = "heldout"
  splits = ("heldout", "test")  # the same dialogues under two names
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
    self._tokenizer = trained.make(
      c.tokenizer, chat.text_lines(self._train), exact=True
    )
    self._made = self._tokenizer
    self._stream, heldout = (
      chat.stream(_answering(part, purpose, c), self._tokenizer)
      for part, purpose in ((self._train, "train on"), (self._heldout, "hold out"))
    )
    index, count = context.process
    self.rows = data.Lanes(
      self._stream, c.batch_size, c.segment_length, context.seed, index, count
    )
    # the loss is a mean over the tokens of answers, and so are their bytes
    num_counted = int(self._stream.counted.sum())
    self._bytes_per_token = self._stream.num_bytes / num_counted
    self._listener = turns.Listener(model, c.segment_length)
    if limit := capacity.limit_of(model.config):
      remedy = "take a memory without capacity, or leave the longest out"
      # memory is carried through a whole dialogue, however short a segment is
      longest = max(int(np.diff(s.starts).max()) for s in (self._stream, heldout))
      limit.check(longest, "the longest dialogue", remedy)

  def describe(self) -> str:
    """Returns how many dialogues there are, in words."""
    return (
      f"{len(self._train):,} dialogues to train on, {len(self._heldout):,} held out, "
      f"from {self._config.source!r}{self.repeats.words('dialogues')}"
    )

  def to_metric(self, loss: float) -> float:
    """Returns a loss, in nats a token of the answers, as bits per byte."""
    return loss / self._bytes_per_token / math.log(2)

  def validation_metric(self, params: Any) -> float:
    """Returns the bits per byte of held-out answers, the memory carried."""
    dialogues = self._first(self._context.validation_size)
    turns_by_way = self._listener.listen(
      params, dialogues, self._tokenizer, ("carried",)
    )
    all_turns = turns.total(turns_by_way["carried"])
    return all_turns.bits / all_turns.num_bytes

  def compute_metrics(self, params: Any, split: str) -> EvalResult:
    """Returns exact answers and bits per byte of held-out dialogues by turn and way."""
    dialogues = self._first(self._context.eval_size)
    answers = self._listener.answers(params, dialogues, self._tokenizer)
    turns_by_way = turns.sums(answers)
    title = f"Held-out dialogues of {self._config.source}"
    guess: tuple[str, float] | None = None

    def draw(path: Path) -> Any:
      return plots.turns(turns_by_way, path, title, guess)

    numbers = turns.numbers(turns_by_way)
    name, options = registry.options(self._config.source)
    table = turns.table(turns_by_way)
    if name == RECALL:
      by_delay = transcript.by_delay(answers, dialogues)
      table = transcript.table(by_delay, dialogues)
      for way, scores in turns.numbers(by_delay).items():
        numbers[way]["by_delay"] = scores["by_turn"]
    lines = [title, "", *table]
    packed, carried = self._packed(dialogues), numbers["carried"]
    numbers["compressors"] = packed
    bits = carried["bits_per_byte"]
    first = baselines.better("bits per byte of answers", bits, packed, lower=True)
    if name == RECALL:
      numbers["unbound"] = recall.unbound(dialogues, options.get("asks", 1))
      lines += [f"A guess among the names told: {numbers['unbound']:.3f} exact."]
      guess = "among the names told", numbers["unbound"]
      told = {f"a guess {guess[0]}": guess[1]}
      first += baselines.better("exact answers", carried["exact"], told)
      lines += ["", *self._transcript(params, dialogues)]
    lines += ["", "| the answers alone | bits per byte | |", "|---|--:|---|"]
    lines += baselines.packed_rows(packed)
    return EvalResult(numbers, [*first, *lines], {"turns.png": draw})

  def _transcript(self, params: Any, dialogues: list[chat.Dialogue]) -> list[str]:
    """Returns the dialogue with the longest waits, with the answers of both ways."""
    dialogue = transcript.longest(dialogues)
    return [
      "The held-out dialogue with the longest waits, answered with the memory carried, "
      "and emptied before each question:",
      "",
      *transcript.lines(dialogue, self._model, params, self._tokenizer),
    ]

  def _packed(self, dialogues: list[chat.Dialogue]) -> dict[str, float]:
    """Returns the bits per byte of compressed answers, a file for each dialogue."""
    answers = ([m.content for m in dialogue if m.counts] for dialogue in dialogues)
    texts = [b"".join(map(chat.words, contents)) for contents in answers]
    # compressors cannot read the context, so they get the answers alone
    return baselines.compressors([text for text in texts if text])

  def _first(self, num_bytes: int) -> list[chat.Dialogue]:
    """Returns the first held-out dialogues with `num_bytes` bytes of answers."""
    answers = [[m.content for m in d if m.counts] for d in self._heldout]
    sizes = [sum(len(chat.words(content)) for content in d) for d in answers]
    # the dialogue that reaches the bytes is scored too, so there is always one
    count = int(np.searchsorted(np.cumsum(sizes), num_bytes)) + 1
    return self._heldout[:count]


class DialoguePredictor:
  """Answers `{"messages": [...]}` by `{"reply": "..."}`; see `tasks.Predictor`."""

  def __init__(self, config: DialogueConfig, model: LM, params: Any, workdir: Path):
    self._tokenizer = trained.kept(config.tokenizer, workdir)
    self._model, self._params = model, params
    self._limit = capacity.limit_of(model.config)

  def check(self, record: dict[str, Any]) -> None:
    """Raises UserError unless a record is a dialogue that a reply can continue."""
    dialogue = chat.dialogue(record)
    if dialogue[-1].role == chat.ASSISTANT:
      raise UserError("the last message is the assistant's: nothing is to be answered")
    try:
      prompt_ids = chat.reply_prompt(dialogue, self._tokenizer)
    except UnicodeEncodeError as error:
      raise UserError(
        "a message holds half of a surrogate pair, which is no text"
      ) from error
    if self._limit:
      length = 1 + len(prompt_ids) + chat.LONGEST  # 1 is the EOS token
      self._limit.check(length, "the dialogue with its reply", "leave turns out")

  def __call__(self, records: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    prompts = [chat.reply_prompt(chat.dialogue(r), self._tokenizer) for r in records]
    written = transcript.replies(self._model, self._params, self._tokenizer, prompts)
    return [{"reply": reply} for reply in written]


def _dialogues(config: DialogueConfig, seed: int) -> leaks.Parted:
  """Returns the dialogues to train on, and those held out."""
  name, options = registry.options(config.source)
  if name == RECALL:
    if config.heldout:
      raise ConfigError(f"task.heldout {config.heldout!r}: generated dialogues have it")
    return leaks.Parted({s: _generated(s, seed, options) for s in recall.SPLITS})
  # the same file on both sides would hold out nothing
  leaks.refuse_shared_files([config.source], {"task.heldout": [config.heldout]})
  dialogues = chat.read(config.source)
  if config.heldout:
    splits = {"train": dialogues, "heldout": chat.read(config.heldout)}
    return leaks.separate(splits, _key, config.source, "dialogues")

  def last_tenth(distinct: Sequence) -> Sequence:
    return distinct[-max(len(distinct) // 10, 1) :]

  is_heldout, repeated = leaks.sided([*map(_key, dialogues)], last_tenth)
  if len(dialogues) - repeated < 2:
    alike = f" {len(dialogues)} times" if repeated else ""
    raise DataError(
      f"{config.source} has one dialogue{alike}: give task.heldout, or more"
    )
  pairs = [*zip(dialogues, is_heldout, strict=True)]
  splits = {
    "train": [dialogue for dialogue, heldout in pairs if not heldout],
    "heldout": [dialogue for dialogue, heldout in pairs if heldout],
  }
  return leaks.Parted(splits, leaks.Repeats(together=repeated))


def _key(dialogue: chat.Dialogue) -> leaks.Key:
  texts = [text for message in dialogue for text in (message.role, message.content)]
  return leaks.key(*texts)


def _answering(dialogues: list, purpose: str, config: DialogueConfig) -> list:
  """Returns the dialogues; raises DataError if the assistant answers in none."""
  if not any(message.counts for dialogue in dialogues for message in dialogue):
    raise DataError(
      f"{config.heldout or config.source} has no answer of the assistant to {purpose}, "
      f"in {len(dialogues)} dialogues: give more"
    )
  return dialogues


def _generated(split: str, seed: int, options: dict[str, Any]) -> list:
  # split and seed are the run's, and no options of the source
  names = [*inspect.signature(recall.dialogues).parameters][2:]
  with raised_as(ConfigError):
    registry.check_options(options, names, RECALL)
  try:
    return recall.dialogues(split, seed, **options)
  except (ValueError, TypeError) as error:
    raise ConfigError(f"task.source {RECALL}: {error}") from error


Config = DialogueConfig
Task = DialogueTask
Predictor = DialoguePredictor
