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
# Key of an encoder's config -> kind of task -> key of that task's config since 0.2. The
# other tasks need none: a head, and how many things it tells apart, are the task's own.
MOVED: Mapping[str, Mapping[str, str]] = {
  "head": {},
  "classes": {"classification": "classes"},
  "smoothing": {"classification": "label_smoothing"},
  "temperature": {"retrieval": "temperature"},
}


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
    if isinstance(new.get("model"), dict) and new["model"].get("kind") == "encoder":
      new |= _moved(new["model"], new["task"])
  return new


def where_now(key: str) -> str:
  """Where a key of MOVED is, in words."""
  places = [f"task.{new} of {task}" for task, new in MOVED[key].items()]
  return " or ".join(places) or "decided by the task"


def moved_flags(task: str) -> dict[str, str]:
  """Former flag of an encoder's config -> that of the config of a kind of task.

  One that the task does not need is "".
  """
  return {
    f"model.{key}": f"task.{names[task]}" if task in names else ""
    for key, names in MOVED.items()
  }


def _moved(model: dict[str, Any], task: dict[str, Any]) -> dict[str, dict[str, Any]]:
  """The config of an encoder, and that of its task with what has moved there."""
  kind = str(task.get("kind"))
  kind = KINDS["jaxmem.tasks"].get(kind, kind)
  values = {
    names[kind]: model[key]
    for key, names in MOVED.items()
    if key in model and kind in names
  }
  kept = {key: value for key, value in model.items() if key not in MOVED}
  return {"model": kept, "task": values | task}


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
