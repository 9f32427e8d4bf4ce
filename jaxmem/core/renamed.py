"""Modules by the names that they had before 0.2: the old name imports the new module.

    from jaxmem.modules.gru import GRU  # DeprecationWarning: ... jaxmem.mixers.gru

The old name and the new one are the same module object. Old names go in 0.3.
"""

import importlib
import importlib.abc
import importlib.machinery
import importlib.util
import sys
import warnings
from types import CodeType, ModuleType
from typing import Any

# Old package, new package, and files that only moved. All names are below `jaxmem`.
_MOVED = (
  ("", "core", "typing registry errors ranges files paths outputs finite"),
  ("data", "core", "utf8 errors"),
  ("", "runtime", "fingerprints array_file lock logs peak abandoned checkpoint"),
  ("", "training", "accumulate adversarial validation config load"),
  ("", "generation", "beam sampling session generate"),
  ("", "evaluation", "measured compare"),
  ("ops", "ops.recurrence", "scan cell decay triangular features hippo precision"),
  (
    "ops",
    "ops.attention_core",
    "masks tokens blockwise scores rotary cache timeline dispatch sparse_blocks",
  ),
  ("modules", "layers", "delta_rule state_space"),
  ("modules", "models", "pattern stack"),
  ("data", "tokenizers", "gguf_file ids exact_words lossy_words words"),
  ("evals", "tasks", "baselines language plots"),
  ("evals", "tasks.language_modeling", "reader"),
  ("evals", "tasks.synthetic", "episodes accuracy"),
  ("data", "tasks.forecasting", "standard times decimals long_format windows"),
  ("evals", "evaluation.inspection", "inside findings pictures span"),
  ("evals", "runtime", "page"),
  ("evaluation.inspection", "runtime", "page"),
  ("interop", "finetune", "graft regain rows"),
)
# Old module -> new one, whose file has another name.
_RENAMED = {
  "capacity": "models.capacity",
  "data.augment": "tasks.classification.augment",
  "data.bytepairs": "tokenizers.bpe",
  "data.chat": "tasks.dialogue.chat",
  "data.gap_sentences": "tasks.seq2seq.gap_sentences",
  "data.judged": "tasks.retrieval.data",
  "data.label_rows": "tasks.classification.rows",
  "data.labelled": "tasks.classification.data",
  "data.masked_rows": "tasks.masked_lm.data",
  "data.pairs": "tasks.seq2seq.data",
  "data.piece": "data.file_slice",
  "data.passage_rows": "tasks.retrieval.rows",
  "data.segments": "tasks.autoencoding.data",
  "data.sentencepieces": "tokenizers.sentencepiece",
  "data.series": "tasks.forecasting.data",
  "data.span_rows": "tasks.question_answering.rows",
  "data.squad": "tasks.question_answering.data",
  "data.tokenizers": "tokenizers",
  "data.vocabularies": "tokenizers.trained",
  "data.wordpieces": "tokenizers.wordpiece",
  "evals": "evaluation",
  "evals.bits_per_byte": "tasks.language_modeling.perplexity",
  "evals.bm25": "tasks.retrieval.bm25",
  "evals.classes": "tasks.classification.metrics",
  "evals.extractive": "tasks.seq2seq.extractive",
  "evals.forecast_errors": "tasks.forecasting.metrics",
  "evals.heldout": "tasks.language_modeling.perplexity",
  "evals.latent_text": "tasks.autoencoding.latent_text",
  "evals.latents": "tasks.autoencoding.metrics",
  "evals.lexical": "tasks.question_answering.lexical",
  "evals.long_text": "evaluation.long_text.table",
  "evals.overlap": "tasks.seq2seq.metrics",
  "evals.pair_text": "tasks.seq2seq.writing",
  "evals.probes": "evaluation.longbench",
  "evals.progress": "runtime.resumable",
  "evals.ranking": "tasks.retrieval.metrics",
  "evals.recall_dialogue": "tasks.dialogue.recall",
  "evals.sight": "evaluation.visibility",
  "evals.span_metrics": "tasks.question_answering.metrics",
  "evals.stream": "tasks.language_modeling.perplexity",
  "evals.tasks": "tasks.synthetic.problems",
  "evals.tasks.word_s5": "tasks.synthetic.problems.word_problem",
  "evals.tfidf": "tasks.classification.tfidf",
  "evals.turns": "tasks.dialogue.turns",
  "evals.twin": "evaluation.long_text.full_attention",
  "evals.vectors": "tasks.retrieval.embed",
  "index": "tasks.retrieval.index",
  "jobs": "tasks",
  "jobs.asking": "evaluation.predict",
  "jobs.compression": "tasks.autoencoding.task",
  "jobs.dialogue": "tasks.dialogue.task",
  "jobs.forecasts": "tasks.forecasting.predict",
  "jobs.labels": "tasks.classification.task",
  "jobs.masked": "tasks.masked_lm.task",
  "jobs.pairs": "tasks.seq2seq.task",
  "jobs.passages": "tasks.retrieval.task",
  "jobs.series": "tasks.forecasting.task",
  "jobs.spans": "tasks.question_answering.task",
  "jobs.task": "tasks.synthetic.task",
  "jobs.text": "tasks.language_modeling.task",
  "kept": "training.workdir",
  "models.heads": "models.encoder",
  "modules": "mixers",
  "modules.attending": "layers.attention_heads",
  "modules.beside": "models.wrappers.sum",
  "modules.bidirectional": "models.wrappers.bidirectional",
  "modules.given": "layers.encoder_memory",
  "modules.heads": "models.encoder",
  "modules.layers": "layers.primitives",
  "modules.learned_start": "models.wrappers.learned_init",
  "modules.memory": "layers.mixer",
  "ops.cross_entropy": "ops.losses",
  "ops.diagonal": "ops.recurrence.linear_scan",
  "ops.start": "ops.recurrence.learned_init",
  "optim": "training.optimizer",
  "parallel.context": "parallel.apply",
  "parallel.cut": "parallel.sharded_timeline",
  "parallel.lifts": "parallel.sequence_parallel",
  "parallel.summaries": "parallel.transitions",
  "pretrained": "training.init_from",
  "program": "training.step",
  "report": "tasks.language_modeling.report",
  "starts": "models.state_init",
  "stop": "runtime.signals",
  "table": "evaluation.layer_table",
  "train": "training.trainer",
}


def table() -> dict[str, str]:
  """Returns old name -> new name, below `jaxmem`; files move with their package."""
  names = dict(_RENAMED)
  for old, new, files in _MOVED:  # "" is the root of the package: no dot before a file
    names |= {f"{old}.{file}".lstrip("."): f"{new}.{file}" for file in files.split()}
  return names


# A finder and not a stub file at every old place: imports of an old name must give the
# very module of the new one, or classes would exist twice and `isinstance` be False.
class Renamed(importlib.abc.MetaPathFinder):
  """Finds modules by their old names.

  Attributes:
    names: full old name -> (full old name as users know it, full new name).
  """

  def __init__(self, names: dict[str, tuple[str, str]]):
    self.names = names

  def find_spec(
    self,
    fullname: str,
    path: Any = None,
    target: ModuleType | None = None,
  ) -> importlib.machinery.ModuleSpec | None:
    """Returns the spec of an old name; None for any other."""
    names = self._current(fullname)
    if not names:
      return None
    old, new = names
    warnings.warn(
      f"{old} is now {new}: import that, the old name goes in 0.3",
      DeprecationWarning,
      stacklevel=2,  # Python skips its import machinery: the importing line is named
    )
    return importlib.machinery.ModuleSpec(fullname, _Loader(new))

  def _current(self, name: str) -> tuple[str, str] | None:
    """The old and the new name, for a module of an old package, too."""
    if not name.startswith("jaxmem."):
      return None
    head, rest = name, ""
    # the longest old name wins: a file may have moved apart from its package
    while head not in self.names:
      head, dot, last = head.rpartition(".")
      if not dot:
        return None
      rest = f".{last}{rest}"
    old, new = self.names[head]
    return old + rest, new + rest


class _Loader(importlib.abc.InspectLoader):
  """Gives the module of the new name in the place of one of the old name."""

  def __init__(self, new: str):
    self._new = new

  def create_module(self, spec: importlib.machinery.ModuleSpec) -> ModuleType:
    """Imports the module of the new name."""
    module = importlib.import_module(self._new)
    self._spec = module.__spec__  # Python sets that of the old name next
    return module

  def exec_module(self, module: ModuleType) -> None:
    """Restores the module's spec, which Python has just replaced; it has run before."""
    module.__spec__ = self._spec

  def get_code(self, fullname: str) -> CodeType | None:
    """Returns the code of the new module, for `python -m OLD_NAME`."""
    spec = importlib.util.find_spec(self._new)
    return spec.loader.get_code(self._new)

  def get_source(self, fullname: str) -> str | None:
    """Returns the source of the new module, for tracebacks and `inspect`."""
    spec = importlib.util.find_spec(self._new)
    return spec.loader.get_source(self._new)


def install() -> None:
  """Makes the old names importable; a second call changes nothing.

  One finder stands before Python's, which would find `jaxmem.modules.gru` in the folder
  of `jaxmem.mixers` and import it twice. One stands behind: `from jaxmem.modules import
  pattern` asks for `jaxmem.mixers.pattern`, since that is what the package is called.
  """
  if any(isinstance(finder, Renamed) for finder in sys.meta_path):
    return
  names = table()
  first, last = {}, {}  # what the two finders know
  for old, new in names.items():
    full = f"jaxmem.{old}", f"jaxmem.{new}"
    first[full[0]] = full
    package, _, file = old.rpartition(".")
    if package in names:
      last[f"jaxmem.{names[package]}.{file}"] = full
  sys.meta_path.insert(0, Renamed(first))
  sys.meta_path.append(Renamed(last))
