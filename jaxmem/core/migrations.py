"""What older versions wrote, and what it is called now: the one table of old names.

It is used wherever a config or a checkpoint is read. Old names of modules are in
`core.renamed`.
"""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from jaxmem.core.errors import ConfigError

# Package -> old kind -> the kind now. Kinds were other words before 0.2.
KINDS: Mapping[str, Mapping[str, str]] = {
  "jaxmem.tasks": {
    "text": "language_modeling",
    "task": "synthetic",
    "labels": "classification",
    "pairs": "seq2seq",
    "spans": "question_answering",
    "passages": "retrieval",
    "masked": "masked_lm",
    "series": "forecasting",
    "compression": "autoencoding",
  },
}
# Key of a config -> its kind where none was written: these were left out before 0.2.
UNNAMED = {"model": "lm", "task": "language_modeling"}
# Key and flag of a config -> its name now; the old ones are read, never written.
RENAMED = {"data": "task", "start_from": "init_from"}
# A text of this beginning was the source of a synthetic task, whose config has these
# keys; it shared the config of text before 0.2.
SYNTHETIC = "task:"
# Synthetic task -> its file now, and the options that its name stood for before 0.2.
# An old name is still that of its examples, which fingerprints of data contain.
SYNTHETIC_TASKS: Mapping[str, tuple[str, Mapping[str, Any]]] = {
  "word_a5": ("word_problem", {"group": "a5", "vocab_size": 60}),
  "word_s5": ("word_problem", {"group": "s5", "vocab_size": 120}),
}
_SYNTHETIC_KEYS = ("source", "segment_length", "batch_size")


class Retired(NamedTuple):
  """A key that is no more.

  Attributes:
    instead: what to write now, in words.
    convert: its value -> keys and values of today; raises ConfigError.
  """

  instead: str
  convert: Callable[[Any], dict[str, Any]]


def _segment_start(carried: Any) -> dict[str, Any]:
  if type(carried) is not bool:
    raise ConfigError(
      f"carry_memory is {carried!r}: True or False expected, or better "
      f"{RETIRED['carry_memory'].instead}"
    )
  return {"segment_start": "carried" if carried else "empty"}


RETIRED: Mapping[str, Retired] = {
  "carry_memory": Retired(
    "segment_start: 'carried' for True, 'empty' for False", _segment_start
  ),
}


def current(data: Any) -> Any:
  """A config in today's keys, each of its parts with a kind.

  Args:
    data: the JSON of a config, of this version or an older one. What is no dictionary
      is returned as it is.

  Raises:
    ConfigError: if an old value has no meaning.
  """
  if not isinstance(data, dict):
    return data
  new: dict[str, Any] = {}
  for key, value in data.items():
    key = RENAMED.get(key, key)
    new |= RETIRED[key].convert(value) if key in RETIRED else {key: value}
  for key, kind in UNNAMED.items():
    if isinstance(new.get(key), dict):
      new[key] = {"kind": kind} | new[key]
  if isinstance(new.get("task"), dict):
    new["task"] = _told_apart(new["task"])
  return new


def _told_apart(data: dict[str, Any]) -> dict[str, Any]:
  """The config of text, or that of a synthetic task, told apart by its source."""
  source = data.get("source")
  text = data["kind"] in ("text", "language_modeling")
  if not text or not isinstance(source, str) or not source.startswith(SYNTHETIC):
    return data
  if data.get("tokenizer", "byte") != "byte":
    raise ConfigError(
      f"task.tokenizer is {data['tokenizer']!r}: {source} is made of ids, and no text "
      "is read; leave it out"
    )
  kept = {key: data[key] for key in _SYNTHETIC_KEYS if key in data}
  return {"kind": "synthetic"} | kept
