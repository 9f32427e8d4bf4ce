"""A trained model of any kind, with the methods that use it."""

import dataclasses
import functools
import itertools
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from jaxmem import tasks
from jaxmem.core.errors import UserError
from jaxmem.core.utf8 import encoded
from jaxmem.evaluation import predict
from jaxmem.evaluation.text_score import Score, score
from jaxmem.generation.sampling import Sampling
from jaxmem.generation.text import generate
from jaxmem.generation.text_stream import TextStream
from jaxmem.models import capacity
from jaxmem.models.lm import LM
from jaxmem.models.loaded import Loaded
from jaxmem.tasks.dialogue.conversation import Conversation
from jaxmem.tasks.retrieval import embed
from jaxmem.tokenizers import Tokenizer, start_ids
from jaxmem.training.load import TEXT, Run

# The kind of task whose runs hold conversations.
DIALOGUE = "dialogue"
# How many records are answered at once.
_RECORDS = 16


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class TrainedModel:
  """A trained model of any kind, with its weights; `jaxmem.load` makes it.

      m = jaxmem.load("runs/quickstart")
      m.generate("def main")
      m.score("some text").bits_per_byte

  A method that does not fit the model raises UserError, which names those that do. One
  text, or one record, gives one answer; a sequence of them gives a list of answers.

  Attributes:
    name: what the model is, for messages.
    config: the resolved config of the run; None if the weights are not those of a run.
    model: the Flax module.
    params: its parameters, or their moving average where the run keeps one, on the
      default device.
    tokenizer: text to ids and back; None for a model that reads no text.
    step: the step of the checkpoint; 0 where there is none.
    workdir: the work directory of the run; None where there is none.
    text_length: the most tokens that a pretrained encoder reads of a text; None of
      other models.
  """

  name: str
  config: Any
  model: Any
  params: Any
  tokenizer: Tokenizer | None
  step: int
  workdir: Path | None = None
  text_length: int | None = None

  def __repr__(self) -> str:
    return f"<{self.name}, step {self.step}; {_calls(self._fitting)}>"

  def generate(
    self,
    prompt: str | bytes | Sequence[str | bytes],
    max_tokens: int = 256,
    sampling: Sampling | None = None,
    stop: Sequence[str | bytes] = (),
    seed: int = 0,
    num_samples: int | None = None,
  ) -> Any:
    """Writes continuations of each prompt, without the prompt.

    Args:
      prompt: what is continued; several are a batch, which changes no continuation.
      max_tokens: the length of each continuation, >= 1.
      sampling: how tokens are drawn; None is temperature 0.8 and top-p 0.95, and
        `Sampling()` draws from the model's distribution.
      stop: a continuation ends before any of these strings.
      seed: the seed of the draws.
      num_samples: gives each prompt a list of so many texts; None gives it one text.

    Returns:
      The new text of each prompt: str, or bytes for a prompt of bytes. In a str, bytes
      that are no UTF-8 become the replacement character.

    Raises:
      UserError: if the model generates no text.
      SamplingError: if a number is out of range or a stop string empty.
      CapacityError: if a memory does not hold a prompt and its continuation.
    """
    loaded = self._loaded("generate", "generates no text")
    prompts = [prompt] if isinstance(prompt, str | bytes) else list(prompt)
    if not prompts:
      return []
    count = 1 if num_samples is None else num_samples
    loaded = self._for_texts(loaded, prompts, max_tokens)
    continuations = generate(
      loaded.model,
      loaded.params,
      loaded.tokenizer,
      prompts=[encoded(text) for text in prompts],
      sampling=sampling,
      max_tokens=max_tokens,
      stop=[encoded(text) for text in stop],
      seed=seed,
      num_samples=count,
    )
    answers, texts = [], iter(continuations)
    for prompt_text in prompts:
      new: list[Any] = list(itertools.islice(texts, count))
      if isinstance(prompt_text, str):
        new = [text.decode(errors="replace") for text in new]
      answers.append(new[0] if num_samples is None else new)
    return answers[0] if isinstance(prompt, str | bytes) else answers

  def score(self, text: str | bytes | Sequence[str | bytes]) -> Score:
    """Returns the cost of texts, each a document, as `jaxmem eval` counts it.

    Args:
      text: one document, or several that are scored together.

    Raises:
      UserError: if the model is no language model, or the texts are empty.
      CapacityError: if a memory does not hold a text.
    """
    loaded = self._loaded("score", "scores no text")
    texts = [text] if isinstance(text, str | bytes) else list(text)
    return score(self._for_texts(loaded, texts), texts)

  def stream(
    self, prompt: str | bytes = "", seed: int = 0, state: str | Path = ""
  ) -> TextStream:
    """Returns a text that the model reads and writes in turns, its memory carried.

    Args:
      prompt: the text that is read first.
      seed: the seed of the draws.
      state: a file of `TextStream.save` to continue; the prompt is read after it.

    Raises:
      UserError: if the model generates no text.
      SessionError: if the file is missing, damaged, or not of this model.
      CapacityError: if a memory does not hold the prompt.
    """
    text = TextStream(self._loaded("stream", "streams no text"), seed, state)
    if prompt:
      text.read(prompt)
    return text

  def conversation(self, state: str | Path = "") -> Conversation:
    """Returns a dialogue that the model reads and answers, its memory carried.

    Args:
      state: a file of `Conversation.save` to continue; "" begins a dialogue.

    Raises:
      UserError: if the model learned no dialogues.
      SessionError: if the file is missing, damaged, or not of this model.
    """
    return Conversation(self._loaded("conversation", "holds no conversation"), state)

  def encode(self, texts: str | Sequence[str]) -> np.ndarray:
    """Returns unit vectors that are near each other for texts that mean the same.

    Returns:
      float32, [N, D] for N texts, [D] for a single text.

    Raises:
      UserError: if the model has no such vectors, or a text has no tokens.
    """
    if isinstance(texts, str):
      return self.embedder([texts])[0]  # [D]
    return self.embedder(list(texts))  # [N, D]

  def predict(self, records: Mapping[str, Any] | Sequence[Mapping[str, Any]]) -> Any:
    """Answers records, as `jaxmem predict` answers lines of JSON.

    The docstring of the task's `Predictor` says what a record and its answer hold.

    Raises:
      UserError: if the model answers no records, or if one cannot be answered, which
        the message names.
    """
    if isinstance(records, Mapping):
      return self.predict([records])[0]
    predictor, rows = self.predictor, [dict(record) for record in records]
    for i, row in enumerate(rows):  # all are checked before the first costs any time
      try:
        predictor.check(row)
      except UserError as error:
        raise UserError(f"record {i}: {error}") from error
    # a bounded batch bounds the memory, however many records there are
    parts = (rows[i : i + _RECORDS] for i in range(0, len(rows), _RECORDS))
    return [answer for part in parts for answer in predictor(part)]

  # cached, since every `Embedder` compiles programs of its own
  @functools.cached_property
  def embedder(self) -> embed.Embedder:
    """The embedder that `encode` calls.

    Raises:
      UserError: if the model has no vectors of texts.
    """
    if "encode" not in self._fitting:
      raise self._unfit("encodes no texts")
    length: Any = self.text_length  # None of runs alone
    if self.config is not None:
      length = self.config.task.segment_length
    tokenizer: Any = self.tokenizer  # None only of models that do not encode
    return embed.Embedder(self.model, self.params, tokenizer, length)

  @functools.cached_property
  def predictor(self) -> tasks.Predictor:
    """The predictor that `predict` calls.

    Raises:
      UserError: if the model answers no records.
    """
    if "predict" not in self._fitting:
      raise self._unfit("answers no records")
    run = Run(self.config, self.model, self.params, self.step)
    workdir: Any = self.workdir  # what has no run answers no records
    return predict.predictor_of(run, workdir)

  @functools.cached_property
  def _fitting(self) -> list[str]:
    """The names of the methods that fit the model."""
    kind = tasks.kind(self.config.task) if self.config else ""
    # an LM of a synthetic task has no text: the kind of a run decides
    is_text = kind == TEXT if kind else isinstance(self.model, LM)
    fitting = ["generate", "score", "stream"] if is_text else []
    fitting += ["conversation"] if kind == DIALOGUE else []
    fitting += ["encode"] if embed.embeds(self.model) else []
    return fitting + (["predict"] if kind and predict.answers_records(kind) else [])

  def _unfit(self, cannot: str) -> UserError:
    """Returns the error of a method that does not fit."""
    return UserError(f"{self.name} {cannot}: {_calls(self._fitting)}")

  def _loaded(self, method: str, cannot: str) -> Loaded:
    """Returns the model as generation and scoring take it, if the method fits it."""
    if method not in self._fitting:
      raise self._unfit(cannot)
    tokenizer: Any = self.tokenizer  # None only of models without text
    return Loaded(self.config, self.model, self.params, tokenizer, self.step)

  def _for_texts(
    self, loaded: Loaded, texts: Sequence[str | bytes], more: int = 0
  ) -> Loaded:
    """Returns a pretrained model with a state for texts and what follows each."""
    if self.config is not None or capacity.limit_of(loaded.model.config) is None:
      return loaded
    lengths = [len(loaded.tokenizer.encode(encoded(text))) for text in texts]
    start = len(start_ids(loaded.tokenizer))  # tokens before a text
    needed = start + max(lengths, default=0) + more
    return loaded._replace(model=LM(capacity.fitted(loaded.model.config, needed)))


def _calls(methods: list[str]) -> str:
  """Returns how the methods that fit are called, as the remedy of a message."""
  arguments = {"generate": "prompt", "score": "text", "stream": "prompt"}
  arguments |= {"encode": "texts", "predict": "records", "conversation": ""}
  calls = [f"m.{method}({arguments[method]})" for method in methods]
  if not calls:
    return "apply m.model to m.params"
  *first, last = calls
  return f"use {', '.join(first)} or {last}" if first else f"use {last}"
