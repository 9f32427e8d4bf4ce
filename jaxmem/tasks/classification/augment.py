"""Training texts made a little different at every reading; the label stays.

    deletion   a token is left out
    swap       two neighbours change places
    hiding     a run of tokens becomes one id that says nothing
    rare       a token becomes that id the likelier, the seldomer it is
    synonyms   a word becomes another of the user's table
    copies     another wording of the whole text, of the user's table

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
    deletion: of a token.
    swap: of a token with the one behind it.
    hiding: of a token; hidden ones lie in runs of `run` tokens.
    run: tokens of a hidden run, >= 1.
    rare: r >= 0; a token that the training texts have n times is hidden with the rate
      r / (r + n). So what stands for unknown words is learned of those most like them.
    synonyms: of a word, or several, that the table has; see `tokenizers.words`.
    table: a JSON file, {"word": ["another", ...]}, for `synonyms`.
    copies: of a text that has another wording.
    wordings: a JSONL file of {"text", "wordings": [...]}, for `copies`: what
      `jaxmem predict` made of translations there and back, say.
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
    """Raises ValueError if a file is not named, or its rate is 0."""
    for name, file in (("synonyms", "table"), ("copies", "wordings")):
      if bool(getattr(self, name)) != bool(getattr(self, file)):
        raise ValueError(
          f"{name} is {getattr(self, name)} and {file} {getattr(self, file)!r}: give "
          "both"
        )


class Augmenter:
  """Changes texts, as a pure function of the draw that it is given.

  Attributes:
    left_out: wordings that are equal to held-out or test texts.
  """

  def __init__(
    self,
    config: AugmentConfig,
    hidden: int,
    counts: Counts | None = None,
    scored: Iterable[str] = (),
  ):
    """Args: how often; the id of what is hidden; how often the training texts have each
    id, for `rare`; held-out and test texts, which are no wording.

    Raises:
      DataError: if a table cannot be read.
    """
    self._config, self._hidden, self._counts = config, hidden, counts
    self._table = _table(config.table) if config.table else {}
    # words and signs of an entry
    self._longest = max((len([*tokens(entry)]) for entry in self._table), default=0)
    self._wordings, self.left_out = {}, 0
    if config.wordings:
      taken = leaks.content_keys(leaks.key(text) for text in scored)
      for text, every in _wordings(config.wordings).items():
        kept, lost = leaks.without(every, [*map(leaks.key, every)], taken)
        self._wordings |= {text: kept} if kept else {}
        self.left_out += lost

  @property
  def of_text(self) -> bool:
    """Whether texts are changed before they are tokens."""
    return bool(self._table or self._wordings)

  def text(self, text: str, draw: np.random.Generator) -> str:
    """Another wording, and synonyms for some of its words."""
    c = self._config
    if text in self._wordings and draw.random() < c.copies:
      text = str(draw.choice(self._wordings[text]))
    if not self._table:
      return text
    return self._with_synonyms(text, draw)

  def _with_synonyms(self, text: str, draw: np.random.Generator) -> str:
    """The text with entries of the table replaced, the longest at each place."""
    places = [match.span() for match in tokens(text)]
    parts, done, i = [], 0, 0
    while i < len(places):
      begin, end, i = places[i][0], places[i][1], i + 1
      for last in range(min(i + self._longest, len(places)) - 1, i - 2, -1):
        entry = text[begin : places[last][1]].lower()
        if entry in self._table:
          end, i = places[last][1], last + 1
          if draw.random() < self._config.synonyms:
            parts += [text[done:begin], str(draw.choice(self._table[entry]))]
            done = end
          break
    return "".join([*parts, text[done:]])

  def ids(self, ids: Ids, draw: np.random.Generator) -> Ids:
    """Hidden tokens and runs, swaps, then deletions; one token is left at least."""
    c = self._config
    if c.rare:
      seldom = c.rare / (c.rare + self._counts[ids])
      ids = np.where(draw.random(len(ids)) < seldom, self._hidden, ids)
    if c.hiding:
      # so many runs begin that a token is hidden with the rate
      starts = draw.random(len(ids)) < 1 - (1 - c.hiding) ** (1 / c.run)
      covered = np.convolve(starts, np.ones(c.run, int))[: len(ids)] > 0
      ids = np.where(covered, self._hidden, ids)
    if c.swap:
      ids = ids.copy()
      for i in np.flatnonzero(draw.random(max(len(ids) - 1, 0)) < c.swap):
        ids[i], ids[i + 1] = ids[i + 1], ids[i]
    if c.deletion:
      keep = draw.random(len(ids)) >= c.deletion
      keep[draw.integers(len(ids))] |= not keep.any()
      ids = ids[keep]
    return ids


def _table(name: str) -> dict[str, list[str]]:
  table = jsonl.whole(opened.Member(records.located(name, "a JSON file of synonyms")))
  lists = isinstance(table, dict) and all(
    isinstance(v, list) and v and all(isinstance(w, str) for w in v)
    for v in table.values()
  )
  if not lists:
    raise DataError(f'{name} is not of the form {{"word": ["another", ...]}}')
  every = [word for pair in table.items() for word in (pair[0], *pair[1])]
  for word in every:
    records.checked(word, f"{name}: {word!r}")
  return {word.lower(): others for word, others in table.items()}


def _wordings(name: str) -> dict[str, list[str]]:
  return dict(records.collect(name, _wording, "a JSONL file of wordings expected"))


def _wording(record: records.Record) -> tuple[str, list[str]]:
  """A text, and its other wordings."""
  others = record.fields.get("wordings")
  where = f'{record.where}: "wordings"'
  if not (isinstance(others, list) and others):
    raise DataError(f"{where} is {others!r}: a list of texts expected")
  if not all(isinstance(one, str) for one in others):
    raise DataError(f"{where} is {others!r}: a list of texts expected")
  return record.text("text"), [records.checked(one, where) for one in others]
