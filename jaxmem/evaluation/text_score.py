"""The bits that texts cost a language model, counted as `jaxmem eval` counts them."""

import functools
import math
from collections.abc import Sequence
from typing import NamedTuple

from jaxmem.core.errors import UserError
from jaxmem.core.utf8 import encoded
from jaxmem.data.excerpts import Excerpt
from jaxmem.models import capacity
from jaxmem.models.loaded import Loaded
from jaxmem.tasks.language_modeling import perplexity
from jaxmem.tasks.language_modeling.perplexity import TextScorer

# At most so many documents are read at once, and so many tokens in one call.
_ROWS, _LENGTH = 8, 4096


class Score(NamedTuple):
  """What texts cost a language model, the EOS token after each of them included.

  Attributes:
    bits_per_byte: the sum of the bits over the sum of the bytes.
    perplexity: 2 to the mean bits of a token.
    num_bytes: the size of the texts.
    num_tokens: the tokens of the texts and of their EOS tokens.
  """

  bits_per_byte: float
  perplexity: float
  num_bytes: int
  num_tokens: int


def score(loaded: Loaded, texts: Sequence[str | bytes]) -> Score:
  """Returns the cost of texts, each a document that begins with an empty memory.

  Raises:
    UserError: if all texts are empty.
    CapacityError: if a memory does not hold a text.
  """
  _, model, params, tokenizer, _ = loaded
  documents = [
    Excerpt(f"text {i}", data, whole=True)
    for i, data in enumerate(map(encoded, texts))
    if data  # an empty document has no bytes to score
  ]
  if not documents:
    raise UserError("the text is empty: give at least one byte to score")
  longest = 1 + max(len(tokenizer.encode(document.text)) for document in documents)
  if limit := capacity.limit_of(model.config):
    limit.check(longest, "the text", "give shorter texts")
  scorer = TextScorer(
    functools.partial(perplexity.losses, model, params),
    model.init_state,
    documents,
    tokenizer,
    rows=min(len(documents), _ROWS),
    length=min(1 << longest.bit_length(), _LENGTH),  # few shapes are compiled
  )
  *_, result = scorer
  num_tokens = result.num_tokens
  per_token = float(result.sums.bits["carried"].sum()) / num_tokens
  return Score(
    bits_per_byte=result.bits_per_byte()["carried"],
    perplexity=2**per_token if per_token < 1024 else math.inf,  # 2**1024 overflows
    num_bytes=result.num_bytes,
    num_tokens=num_tokens,
  )
