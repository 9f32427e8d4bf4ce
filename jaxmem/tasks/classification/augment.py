"""Augmentation of training texts: every epoch reads them a little different.

    deletion   leaves a token out
    swap       exchanges two neighbouring tokens
    hiding     masks a run of tokens
    rare       masks rare tokens, the rarer the more often
    synonyms   replaces a word by another one of the user's table
    copies     replaces the whole text by another wording of the user's file

Source: Wei and Zou 2019, arXiv:1901.11196 (deletion, swap, synonyms); Sennrich et al.
2015, arXiv:1511.06709 (wordings by translation there and back); Kiperwasser and
Goldberg 2016, arXiv:1603.04351 (rare).
"""

import dataclasses
from collections.abc import Iterable

import numpy as np
from jaxtyping import Int

from jaxmem.core.errors import DataError
from jaxmem.core.ranges import number
from jaxmem.data import jsonl, leaks, opened, records
from jaxmem.tokenizers import Ids
from jaxmem.tokenizers.words import tokens

Counts = Int[np.ndarray, " V"]


@dataclasses.dataclass(frozen=True)
class AugmentConfig:
  """How often each change is made; rates are in [0, 1].

  Attributes:
    deletion: the rate at which a token is left out.
    swap: the rate at which a token is exchanged with the next one.
    hiding: the rate at which a token is masked, in runs of `run` tokens.
    run: tokens of a masked run, >= 1.
    rare: r >= 0; a token that the training texts have n times is masked with the rate
      r / (r + n), which trains the embedding of unknown words on those most like them.
    synonyms: the rate at which an entry of the table, of one word or several, is
      replaced; see `tokenizers.words`.
    table: a JSON file, {"word": ["another", ...]}, for `synonyms`.
    copies: the rate at which a text is replaced, if it has another wording.
    wordings: a JSONL file of {"text", "wordings": [...]}, for `copies`, such as
      `jaxmem predict` makes by translation there and back.
  """

  deletion: float = number(0.0, at_least=0, at_most=1)
  swap: float = number(0.0, at_least=0, at_most=1)
  hiding: float = number(0.0, at_least=0, at_most=1)
  run: int = number(1, at_least=1)
  rare: float = number(0.0, at_least=0)
  synonyms: float = number(0.0, at_least=0, at_most=1)
  table: str = ""
  copies: float = number(0.0, at_least=0, at_most=1)
  wordings: str = ""

  def check_fields(self) -> None:
    """Raises a ValueError if a file is not named, or its rate is 0."""
    for name, file in (("synonyms", "table"), ("copies", "wordings")):
      if bool(getattr(self, name)) != bool(getattr(self, file)):
        raise ValueError(
          f"{name} is {getattr(self, name)} and {file} {getattr(self, file)!r}: give "
          "both"
        )


class Augmenter:
  """Changes texts, as a pure function of a random generator.

  Attributes:
    left_out: how many wordings are equal to held-out or test texts, and not used.
  """

  def __init__(
    self,
    config: AugmentConfig,
    unk_id: int,
    counts: Counts | None = None,
    scored: Iterable[str] = (),
  ):
    """Reads the tables.

    Args:
      config: how often each change is made.
      unk_id: the id that a masked token becomes.
      counts: how often the training texts have each id, for `rare`.
      scored: held-out and test texts, which must not be trained on as wordings.

    Raises:
      DataError: if a table cannot be read.
    """
    self._config, self._unk_id, self._counts = config, unk_id, counts
    self._table = _table(config.table) if config.table else {}
    # the most words and signs of an entry: longer stretches are not looked up
    self._longest = max((len([*tokens(entry)]) for entry in self._table), default=0)
    self._wordings, self.left_out = {}, 0
    if config.wordings:
      taken = leaks.content_keys(leaks.key(text) for text in scored)
      for text, wordings in _wordings(config.wordings).items():
        usable, lost = leaks.without(wordings, [*map(leaks.key, wordings)], taken)
        self._wordings |= {text: usable} if usable else {}
        self.left_out += lost

  @property
  def of_text(self) -> bool:
    """Whether texts are changed before they are tokenized."""
    return bool(self._table or self._wordings)

  def text(self, text: str, draw: np.random.Generator) -> str:
    """Returns a text in another wording, or with synonyms of some words."""
    c = self._config
    if text in self._wordings and draw.random() < c.copies:
      text = str(draw.choice(self._wordings[text]))
    if not self._table:
      return text
    return self._with_synonyms(text, draw)

  def _with_synonyms(self, text: str, draw: np.random.Generator) -> str:
    """Returns the text with entries of the table replaced, the longest one first."""
    spans = [match.span() for match in tokens(text)]
    parts, copied, i = [], 0, 0  # the text up to `copied` is in `parts`
    while i < len(spans):
      begin, end, i = spans[i][0], spans[i][1], i + 1
      for last in range(min(i + self._longest, len(spans)) - 1, i - 2, -1):
        entry = text[begin : spans[last][1]].lower()
        if entry in self._table:
          end, i = spans[last][1], last + 1
          if draw.random() < self._config.synonyms:
            parts += [text[copied:begin], str(draw.choice(self._table[entry]))]
            copied = end
          break
    return "".join([*parts, text[copied:]])

  def ids(self, ids: Ids, draw: np.random.Generator) -> Ids:
    """Masks rare tokens and runs, swaps, then deletes; at least one token is left."""
    c = self._config
    if c.rare:
      rate = c.rare / (c.rare + self._counts[ids])  # [N]
      ids = np.where(draw.random(len(ids)) < rate, self._unk_id, ids)
    if c.hiding:
      # a token stays if none of `run` starts is drawn, so (1 - start)^run = 1 - hiding
      starts = draw.random(len(ids)) < 1 - (1 - c.hiding) ** (1 / c.run)
      covered = np.convolve(starts, np.ones(c.run, int))[: len(ids)] > 0  # [N]
      ids = np.where(covered, self._unk_id, ids)
    if c.swap:
      ids = ids.copy()  # they may be those of all epochs
      for i in np.flatnonzero(draw.random(max(len(ids) - 1, 0)) < c.swap):
        ids[i], ids[i + 1] = ids[i + 1], ids[i]
    if c.deletion:
      keep = draw.random(len(ids)) >= c.deletion
      # an empty text would have no vector: one token stays, whichever
      keep[draw.integers(len(ids))] |= not keep.any()
      ids = ids[keep]
    return ids


def _table(name: str) -> dict[str, list[str]]:
  """Reads the table of synonyms: word in lower case -> its synonyms."""
  table = jsonl.whole(opened.Member(records.located(name, "a JSON file of synonyms")))
  lists = isinstance(table, dict) and all(
    isinstance(v, list) and v and all(isinstance(w, str) for w in v)
    for v in table.values()
  )
  if not lists:
    raise DataError(f'{name} is not of the form {{"word": ["another", ...]}}')
  for entry, synonyms in table.items():
    for word in (entry, *synonyms):
      records.checked(word, f"{name}: {word!r}")
  return {entry.lower(): synonyms for entry, synonyms in table.items()}


def _wordings(name: str) -> dict[str, list[str]]:
  """Reads the file of wordings: text -> its other wordings."""
  return dict(records.collect(name, _wording, "a JSONL file of wordings expected"))


def _wording(record: records.Record) -> tuple[str, list[str]]:
  """Returns the text of a record, and its other wordings."""
  wordings = record.fields.get("wordings")
  where = f'{record.where}: "wordings"'
  is_list = isinstance(wordings, list) and wordings
  if not is_list or not all(isinstance(wording, str) for wording in wordings):
    raise DataError(f"{where} is {wordings!r}: a list of texts expected")
  return record.text("text"), [records.checked(wording, where) for wording in wordings]
