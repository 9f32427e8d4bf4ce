"""The public names, as type checkers and editors see them; generated."""

from jaxmem import layers as layers
from jaxmem import mixers as mixers
from jaxmem import models as models
from jaxmem import ops as ops
from jaxmem import tasks as tasks
from jaxmem import testing as testing
from jaxmem import tokenizers as tokenizers
from jaxmem.core.errors import UserError as UserError
from jaxmem.core.kinds import load as load_plugin
from jaxmem.data.config import DataConfig as DataConfig
from jaxmem.evaluation.load import load as load
from jaxmem.evaluation.trained_model import TrainedModel as TrainedModel
from jaxmem.generation.sampling import Sampling as Sampling
from jaxmem.generation.text import generate as generate
from jaxmem.models.encoder import Encoder as Encoder
from jaxmem.models.encoder import EncoderConfig as EncoderConfig
from jaxmem.models.encoder_decoder import EncoderDecoder as EncoderDecoder
from jaxmem.models.encoder_decoder import EncoderDecoderConfig as EncoderDecoderConfig
from jaxmem.models.forecaster import Forecaster as Forecaster
from jaxmem.models.forecaster import ForecasterConfig as ForecasterConfig
from jaxmem.models.lm import LM as LM
from jaxmem.models.lm import LMConfig as LMConfig
from jaxmem.models.pattern import entry as entry
from jaxmem.models.pattern import parse as parse
from jaxmem.models.vae import VAE as VAE
from jaxmem.models.vae import VAEConfig as VAEConfig
from jaxmem.parallel.mesh import MeshConfig as MeshConfig
from jaxmem.tasks.classification.model import Classifier as Classifier
from jaxmem.tasks.masked_lm.model import MaskedLM as MaskedLM
from jaxmem.tasks.question_answering.model import SpanReader as SpanReader
from jaxmem.tasks.retrieval.model import TextEmbedder as TextEmbedder
from jaxmem.testing import check_laws as check_laws
from jaxmem.training.config import Config as Config
from jaxmem.training.config import ValidationConfig as ValidationConfig
from jaxmem.training.load import load_run as load_run
from jaxmem.training.optim_config import OptimConfig as OptimConfig
from jaxmem.training.trainer import train as train

__version__: str
__all__ = [
  "__version__",
  "layers",
  "mixers",
  "models",
  "ops",
  "tasks",
  "testing",
  "tokenizers",
  "LM",
  "LMConfig",
  "Encoder",
  "EncoderConfig",
  "Classifier",
  "SpanReader",
  "TextEmbedder",
  "MaskedLM",
  "EncoderDecoder",
  "EncoderDecoderConfig",
  "Forecaster",
  "ForecasterConfig",
  "VAE",
  "VAEConfig",
  "entry",
  "parse",
  "Config",
  "DataConfig",
  "OptimConfig",
  "ValidationConfig",
  "MeshConfig",
  "train",
  "load",
  "TrainedModel",
  "load_run",
  "generate",
  "Sampling",
  "check_laws",
  "load_plugin",
  "UserError",
]
