"""Continues prompts in one call."""

from collections.abc import Sequence
from typing import Any

from jaxmem.generation.generate import Writer
from jaxmem.generation.sampling import Sampling
from jaxmem.generation.session import first_session
from jaxmem.models.lm import LM
from jaxmem.tokenizers import Tokenizer


def generate(
  model: LM,
  params: Any,
  tokenizer: Tokenizer,
  prompts: Sequence[bytes],
  sampling: Sampling | None = None,
  max_tokens: int = 256,
  stop: Sequence[bytes] = (),
  seed: int = 0,
) -> list[bytes]:
  """Writes a continuation of each prompt; `Writer` yields text while it is drawn.

      m = jaxmem.load("runs/quickstart")
      jaxmem.generate(m.model, m.params, m.tokenizer, [b"def main"])  # m.generate

  Args:
    model: the language model.
    params: its parameters.
    tokenizer: text to ids and back.
    prompts: the texts to continue, at least one.
    sampling: how tokens are drawn; None draws from the model's distribution.
    max_tokens: the most tokens of a continuation, >= 1.
    stop: a continuation ends before any of these strings.
    seed: the seed of the draws.

  Returns:
    The new text of each prompt, without the prompt.

  Raises:
    SamplingError: if a number is out of range or a stop string empty.
    CapacityError: if a memory cannot hold a prompt and its continuation.
  """
  writer = Writer(model, params, tokenizer, first_session(model, len(prompts)))
  writer.read(prompts, seed)
  texts = [b""] * len(prompts)
  for chunk in writer.write(sampling or Sampling(), max_tokens, stop):
    texts = [text + new for text, new in zip(texts, chunk.text, strict=True)]
  return texts
