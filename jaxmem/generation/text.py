"""Continues prompts: their texts in one call, or with tokens and log-probabilities."""

import collections
import zlib
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from jaxmem.core.errors import raised_as
from jaxmem.core.ranges import Range, check_number
from jaxmem.generation.generate import Writer
from jaxmem.generation.sampling import DEFAULT, Sampling, SamplingError
from jaxmem.generation.session import first_session, keys_of
from jaxmem.models.lm import LM
from jaxmem.tokenizers import Tokenizer

# How many continuations are written at once where nothing is said.
ROWS = 64


class Continuation(NamedTuple):
  """A text that continues a prompt.

  Attributes:
    text: its bytes, without the prompt.
    tokens: the ids that were drawn, those of a stop string included.
    logprobs: log p of each by the model's own softmax, which scores text, too; the
      temperature and its like change what is drawn and not these.
  """

  text: bytes
  tokens: list[int]
  logprobs: list[float]


class Continuer:
  """Continues prompts in batches of bounded size; each as it would be alone.

  What a prompt gets depends on the seed, and on how often the same prompt came before,
  so a prompt that comes twice gets two texts.
  """

  def __init__(
    self,
    model: LM,
    params: Any,
    tokenizer: Tokenizer,
    *,
    sampling: Sampling | None = None,
    max_tokens: int = 256,
    stop: Sequence[bytes] = (),
    seed: int = 0,
    num_samples: int = 1,
    rows: int = ROWS,
  ):
    """Prepares; the arguments are those of `generate`.

    Raises:
      SamplingError: if a number is out of range.
    """
    with raised_as(SamplingError):
      check_number(num_samples, "num_samples", Range(at_least=1))
      check_number(rows, "rows", Range(at_least=1))
    self._loaded = model, params, tokenizer
    self._sampling = DEFAULT if sampling is None else sampling
    self._max_tokens, self._stop, self._seed = max_tokens, stop, seed
    self._num_samples, self._rows = num_samples, rows
    self._count: collections.Counter[int] = collections.Counter()

  def __call__(self, prompts: Sequence[bytes]) -> list[list[Continuation]]:
    """Returns `num_samples` continuations of each prompt."""
    texts: list[tuple[bytes, int]] = []
    added: collections.Counter[int] = collections.Counter()
    for prompt in prompts:
      number = zlib.crc32(prompt)
      before = self._count[number] + added[number]
      texts += [(prompt, before + i) for i in range(self._num_samples)]
      added[number] += self._num_samples
    batches = (texts[i : i + self._rows] for i in range(0, len(texts), self._rows))
    found = [text for batch in batches for text in self._batch(batch)]
    self._count += added  # not before: a batch that fails may be tried again
    count = self._num_samples
    return [found[i : i + count] for i in range(0, len(found), count)]

  def _batch(self, texts: list[tuple[bytes, int]]) -> Iterator[Continuation]:
    """Reads each prompt of a batch once, and continues it as often as it comes."""
    model, params, tokenizer = self._loaded
    prompts = list(dict.fromkeys(prompt for prompt, _ in texts))
    writer = Writer(model, params, tokenizer, first_session(model, len(prompts)))
    writer.read(prompts)
    keys = keys_of(self._seed, *map(list, zip(*texts, strict=True)))
    rows = {prompt: row for row, prompt in enumerate(prompts)}
    writer.branch([rows[prompt] for prompt, _ in texts], keys)
    chunks = list(writer.write(self._sampling, self._max_tokens, self._stop))
    for row in range(len(texts)):
      yield Continuation(
        text=b"".join(chunk.text[row] for chunk in chunks),
        tokens=[int(token) for chunk in chunks for token in chunk.tokens[row]],
        logprobs=[float(p) for chunk in chunks for p in chunk.logprobs[row]],
      )


def generate(
  model: LM,
  params: Any,
  tokenizer: Tokenizer,
  prompts: Sequence[bytes],
  sampling: Sampling | None = None,
  max_tokens: int = 256,
  stop: Sequence[bytes] = (),
  seed: int = 0,
  num_samples: int = 1,
  rows: int = ROWS,
) -> list[bytes]:
  """Writes a continuation of each prompt; `Writer` yields text while it is drawn.

      m = jaxmem.load("runs/quickstart")
      jaxmem.generate(m.model, m.params, m.tokenizer, [b"def main"])  # m.generate

  Args:
    model: the language model.
    params: its parameters.
    tokenizer: text to ids and back.
    prompts: the texts to continue, at least one.
    sampling: how tokens are drawn; None is temperature 0.8 and top-p 0.95, and
      `Sampling()` draws from the model's distribution.
    max_tokens: the most tokens of a continuation, >= 1.
    stop: a continuation ends before any of these strings.
    seed: the seed of the draws.
    num_samples: continuations of each prompt, which differ by what is drawn.
    rows: the most continuations that are written at once, which changes none of them.

  Returns:
    The new text of each prompt, without the prompt; those of the first prompt come
    first.

  Raises:
    SamplingError: if a number is out of range or a stop string empty.
    CapacityError: if a memory cannot hold a prompt and its continuation.
  """
  continuer = Continuer(
    model,
    params,
    tokenizer,
    sampling=sampling,
    max_tokens=max_tokens,
    stop=stop,
    seed=seed,
    num_samples=num_samples,
    rows=rows,
  )
  return [text.text for texts in continuer(prompts) for text in texts]
