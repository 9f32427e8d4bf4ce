"""Records of prompts, and answers with their continuations: JSON Lines of a command."""

from collections.abc import Sequence
from typing import Any

from jaxmem.core.errors import UserError
from jaxmem.core.utf8 import encoded
from jaxmem.generation.text import Continuation, Continuer
from jaxmem.models import capacity
from jaxmem.models.loaded import Loaded
from jaxmem.tokenizers import start_ids


class PromptPredictor:
  """Answers records {"prompt": text} with what a language model continues them by.

  The answer repeats the prompt, and the "id" of a record that has one. It has the field
  "text", and with log-probabilities "tokens", "logprobs" and their sum "logprob"; or,
  with several samples, a list "samples" of these.

      predict = PromptPredictor(loaded, logprobs=True, max_tokens=8)
      predict([{"prompt": "def main"}])
  """

  def __init__(
    self,
    loaded: Loaded,
    *,
    logprobs: bool = False,
    num_samples: int = 1,
    max_tokens: int = 256,
    **settings: Any,
  ):
    """Prepares a predictor.

    Args:
      loaded: the language model.
      logprobs: whether answers have tokens and their log-probabilities.
      num_samples: continuations of each prompt.
      max_tokens: the most tokens of a continuation.
      settings: the other arguments of `generation.text.generate`.
    """
    _, model, params, tokenizer, _ = loaded
    self._tokenizer, self._limit = tokenizer, capacity.limit_of(model.config)
    self._logprobs, self._max_tokens = logprobs, max_tokens
    self._num_samples = num_samples
    self._continue = Continuer(
      model,
      params,
      tokenizer,
      num_samples=num_samples,
      max_tokens=max_tokens,
      **settings,
    )

  def check(self, record: dict[str, Any]) -> None:
    """Raises UserError if a record has no prompt, or one that is too long."""
    prompt = record.get("prompt")
    if not isinstance(prompt, str):
      raise UserError('it has no text "prompt"')
    text = encoded(prompt)
    if self._limit:
      begin = len(start_ids(self._tokenizer))
      length = begin + len(self._tokenizer.encode(text)) + self._max_tokens
      self._limit.check(length, "the prompt with its continuation", "give fewer tokens")

  def __call__(self, records: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    continuations = self._continue([encoded(record["prompt"]) for record in records])
    answers = []
    for record, drawn in zip(records, continuations, strict=True):
      samples = [self._sample(each) for each in drawn]
      head = {name: record[name] for name in ("id", "prompt") if name in record}
      answers.append(
        head | (samples[0] if self._num_samples == 1 else {"samples": samples})
      )
    return answers

  def _sample(self, continuation: Continuation) -> dict[str, Any]:
    """Returns a continuation as it is written."""
    sample: dict[str, Any] = {"text": continuation.text.decode(errors="replace")}
    if self._logprobs:
      sample["tokens"] = continuation.tokens
      sample["logprobs"] = [round(p, 6) for p in continuation.logprobs]
      sample["logprob"] = round(sum(continuation.logprobs), 6)
    return sample
