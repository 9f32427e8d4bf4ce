"""Texts, or pairs of texts, as rows of tokens of one length."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Int

from jaxmem.core.errors import DataError, NotUTF8
from jaxmem.tokenizers import Ids, Tokenizer


def encode(text: str, tokenizer: Tokenizer, where: str) -> Ids:
  """Returns the ids of a text, at least one.

  Args:
    text: the text.
    tokenizer: any tokenizer.
    where: what messages call the text.

  Raises:
    DataError: if the tokenizer cannot read it, or finds no token in it.
  """
  try:
    ids = tokenizer.encode(text.encode())
  except UnicodeEncodeError as error:
    raise DataError(
      f"{where} holds half of a surrogate pair, which is no text"
    ) from error
  except NotUTF8 as error:
    raise DataError(f"{where} is {error}") from error
  if not len(ids):
    raise DataError(f"{where} is empty, or nothing of it is known to the tokenizer")
  return ids


def room(length: int, parts: int) -> int:
  """Returns how many tokens of a row its texts have, beside the special ids around."""
  return length - 1 - parts


def shorten(parts: Sequence[Ids], length: int) -> list[Ids]:
  """Cuts texts to beginnings that fit into `length` tokens; the longest loses first."""
  sizes = [len(part) for part in parts]
  excess = sum(sizes) - room(length, len(parts))
  while excess > 0:
    longest = int(np.argmax(sizes))
    second = sorted(sizes)[-2] if len(sizes) > 1 else 0
    # down to the second longest at once; equally long ones lose a token in turn
    cut = min(excess, max(sizes[longest] - second, 1))
    sizes[longest], excess = sizes[longest] - cut, excess - cut
  return [part[:size] for part, size in zip(parts, sizes, strict=True)]


def row(
  parts: Sequence[Ids], tokenizer: Tokenizer, length: int
) -> tuple[Int[np.ndarray, " T"], Int[np.ndarray, " T"], int]:
  """Returns the row "begin text end", or "begin text end text end", of BERT's form.

  A row begins with the tokenizer's `cls_id` ([CLS]) if it has one, and with its
  `eos_id` ([SEP]) otherwise; each text ends with `eos_id`. Types are 0 up to the end of
  the first text, and 1 after it.

  Args:
    parts: ids of one text, or two.
    tokenizer: the tokenizer of the ids.
    length: T; what does not fit is cut, see `shorten`.

  Returns:
    Tokens and types, padded with 0, and how many tokens there are.
  """
  begin, end = getattr(tokenizer, "cls_id", tokenizer.eos_id), tokenizer.eos_id
  # [CLS] a [SEP] b [SEP], with types 0 0 0 1 1
  tokens, types = [begin], [0]
  for kind, part in enumerate(shorten(parts, length)):
    tokens += [*part.tolist(), end]
    types += [kind] * (len(part) + 1)
  pad = [0] * (length - len(tokens))
  return np.array(tokens + pad, np.int32), np.array(types + pad, np.int32), len(tokens)


def batch(
  texts: Sequence[Sequence[Ids]], tokenizer: Tokenizer, length: int
) -> dict[str, np.ndarray]:
  """Returns rows of texts as "tokens", "types" [B, T] and "length" [B], all int32."""
  tokens, types, sizes = zip(*(row(t, tokenizer, length) for t in texts), strict=True)
  sizes = np.array(sizes, np.int32)
  return {"tokens": np.stack(tokens), "types": np.stack(types), "length": sizes}
