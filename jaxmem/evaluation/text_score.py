"""What texts cost a language model, read as `jaxmem eval` reads files."""

import functools
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax

from jaxmem.core.errors import UserError
from jaxmem.core.utf8 import encoded
from jaxmem.data.jsonl import Held
from jaxmem.models import capacity
from jaxmem.models.lm import LM
from jaxmem.models.loaded import Loaded
from jaxmem.tasks.language_modeling import stream

# Documents that are read at once, and tokens of a call, at most.
_ROWS, _LENGTH = 8, 4096


class Score(NamedTuple):
  """What texts cost a language model, the boundary behind each of them included.

  Attributes:
    bits_per_byte: all bits over all bytes.
    perplexity: of a token, 2 to its mean bits.
    num_bytes: of the texts.
    num_tokens: of the texts and their boundaries.
  """

  bits_per_byte: float
  perplexity: float
  num_bytes: int
  num_tokens: int


def score(loaded: Loaded, texts: Sequence[str | bytes]) -> Score:
  """The cost of texts, each a document that begins with an empty memory.

  Raises:
    UserError: if all texts are empty.
    CapacityError: if a memory does not hold a text.
  """
  _, model, params, tokenizer, _ = loaded
  documents = [
    Held(f"text {i}", Path(f"text {i}"), 0, len(data), text=data)
    for i, data in enumerate(map(encoded, texts))
    if data
  ]
  if not documents:
    raise UserError("the text is empty: give at least one byte to score")
  longest = 1 + max(len(tokenizer.encode(document.text)) for document in documents)
  if limit := capacity.limit_of(model.config):
    limit.check(longest, "the text", "give shorter texts")
  reading = stream.Reading(
    functools.partial(_losses, model, params),
    model.init_state,
    documents,
    tokenizer,
    rows=min(len(documents), _ROWS),
    length=min(1 << longest.bit_length(), _LENGTH),  # few shapes are compiled
  )
  *_, result = reading
  bits, num_tokens = float(result.bits["carried"].sum()), int(result.tokens.sum())
  per_token = bits / num_tokens
  return Score(
    bits_per_byte=bits / result.num_bytes,
    perplexity=2**per_token if per_token < 1024 else math.inf,
    num_bytes=result.num_bytes,
    num_tokens=num_tokens,
  )


@functools.partial(jax.jit, static_argnames="model", donate_argnames="state")
def _losses(model: LM, params: Any, tokens, targets, state, reset):
  """The nats of every token, [B, T], and the memory."""
  args = tokens, targets, state, reset
  return model.apply({"params": params}, *args, method="losses")
