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
from jaxmem.tokenizers import Tokenizer, is_exact, start_ids

# At most so many documents are read at once, and so many tokens in one call.
_ROWS, _LENGTH = 8, 4096


class Score(NamedTuple):
  """What texts cost a language model, the EOS token after each of them included.

  A model whose tokenizer puts nothing before a text cannot predict its first token: the
  token and its bytes are not counted.

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
    UserError: if all texts are empty, if the tokenizer changes one, or if no byte is
      predicted.
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
  _check_exact(documents, tokenizer)
  longest = max(len(tokenizer.encode(document.text)) for document in documents)
  longest += len(start_ids(tokenizer))
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
  if not result.num_bytes:
    raise UserError(
      "nothing stands before a text of this model, so its first token is not "
      "predicted, and the text has no other: give a longer text"
    )
  num_tokens = result.num_tokens
  per_token = float(result.sums.bits["carried"].sum()) / num_tokens
  return Score(
    bits_per_byte=result.bits_per_byte()["carried"],
    perplexity=2**per_token if per_token < 1024 else math.inf,  # 2**1024 overflows
    num_bytes=result.num_bytes,
    num_tokens=num_tokens,
  )


def _check_exact(documents: Sequence[Excerpt], tokenizer: Tokenizer) -> None:
  """Raises UserError if a tokenizer that may change text changes one of these."""
  if is_exact(tokenizer):
    return
  for document in documents:
    if tokenizer.decode(tokenizer.encode(document.text)) != document.text:
      raise UserError(
        f"the tokenizer changes {document.name}, so bits per byte would mean nothing: "
        "give the text as the tokenizer gives it back, or another model"
      )
