"""Memory for long-context sequence models: `y, state = f(x, state, reset)`.

    import jaxmem

    layer = jaxmem.layers.GatedDelta(d_model=64, num_heads=2)
    model = jaxmem.LM(jaxmem.LMConfig(256, pattern=jaxmem.parse("rglru,window")))
    jaxmem.check_laws(layer)
    jaxmem.load("runs/quickstart").generate("def main")

Public names are imported when they are first used, so that `import jaxmem` is light.
"""

import importlib
import sys
import types
from typing import Any

from jaxmem.core import renamed

__version__ = "0.2.0"

# Maps a public name to its module, with `:NAME` if it has another name there.
_PUBLIC = {
  "LM": "models.lm",
  "LMConfig": "models.lm",
  "Encoder": "models.encoder",
  "EncoderConfig": "models.encoder",
  "Classifier": "tasks.classification.model",
  "SpanReader": "tasks.question_answering.model",
  "TextEmbedder": "tasks.retrieval.model",
  "MaskedLM": "tasks.masked_lm.model",
  "EncoderDecoder": "models.encoder_decoder",
  "EncoderDecoderConfig": "models.encoder_decoder",
  "Forecaster": "models.forecaster",
  "ForecasterConfig": "models.forecaster",
  "VAE": "models.vae",
  "VAEConfig": "models.vae",
  "entry": "models.pattern",
  "parse": "models.pattern",
  "Config": "training.config",
  "DataConfig": "data.config",
  "OptimConfig": "training.optim_config",
  "ValidationConfig": "training.config",
  "MeshConfig": "parallel.mesh",
  "train": "training.trainer",
  "load": "evaluation.load",
  "TrainedModel": "evaluation.trained_model",
  "load_run": "training.load",
  "generate": "generation.text",
  "Sampling": "generation.sampling",
  "check_laws": "testing",
  "load_plugin": "core.kinds:load",
  "UserError": "core.errors",
}
_PACKAGES = ("layers", "mixers", "models", "ops", "tasks", "testing", "tokenizers")
__all__ = ["__version__", *_PACKAGES, *_PUBLIC]


def __getattr__(name: str) -> Any:
  """Returns a public name, imported from the module that defines it."""
  if name in _PACKAGES:
    return importlib.import_module(f"jaxmem.{name}")
  if name not in _PUBLIC:
    raise AttributeError(f"module 'jaxmem' has no attribute {name!r}")
  module, _, attribute = _PUBLIC[name].partition(":")
  return getattr(importlib.import_module(f"jaxmem.{module}"), attribute or name)


def __dir__() -> list[str]:
  return sorted(__all__)


class _Package(types.ModuleType):
  """The type of this module, which keeps its functions from being replaced by modules.

  `jaxmem.train` is a former name of `jaxmem.training.trainer`: after an import of it
  Python sets the attribute `train` of this package, a function, to that module.
  """

  def __setattr__(self, name: str, value: Any) -> None:
    if not (name in _PUBLIC and isinstance(value, types.ModuleType)):
      super().__setattr__(name, value)


# A module can define `__getattr__`, but `__setattr__` only through its class.
sys.modules[__name__].__class__ = _Package
renamed.install()
