"""Latents and texts that a run answers records with."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from jaxmem.core.errors import UserError
from jaxmem.generation.sampling import Sampling
from jaxmem.models.vae import VAE
from jaxmem.tasks import fields
from jaxmem.tasks.autoencoding.config import CompressionConfig
from jaxmem.tasks.autoencoding.latent_text import LatentWriter
from jaxmem.tokenizers import Tokenizer, trained

# Texts on the way from one to another, both included.
STEPS = 5
# Samples that one record may ask for.
MOST = 1000


class CompressionPredictor:
  """Answers of three kinds; see `tasks.Predictor`.

  `{"text": LINE}` gets its latent and what is likeliest of it, {"latent", "text"}; `{
  "from": LINE, "to": LINE}` the texts on the way, {"texts"}; `{"samples": COUNT}`,
  perhaps with a "seed", draws from the prior, {"texts"}.
  """

  def __init__(self, config: CompressionConfig, model: VAE, params: Any, workdir: Path):
    """Args: see `tasks.Predictor`."""
    tokenizer = trained.kept(config.tokenizer, workdir)
    self._writer = writer(config, model, params, tokenizer)
    self._d_latent = model.config.d_latent

  def check(self, record: dict[str, Any]) -> None:
    """Raises UserError unless a record is of one of the kinds, and can be read."""
    keys = set(record)
    if "samples" in keys and keys <= {"samples", "seed"}:
      fields.whole(record, "samples", 0, 1, MOST)
      fields.whole(record, "seed", 0, 0, 2**31 - 1)
      return
    if keys not in ({"text"}, {"from", "to"}):
      raise UserError(
        'give "text", or "from" and "to", or "samples" and perhaps "seed"'
      )
    if not self._d_latent:
      raise UserError("the model has no latent (model.d_latent 0): only samples")
    for key in sorted(keys):
      text = fields.text(record, key)
      try:
        self._writer.check(text)
      except UserError as error:
        raise UserError(f'"{key}" cannot be read: {error}') from error

  def __call__(self, records: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """All lines are read at once, and all texts but samples written at once."""
    latents, given = self._writer, [_lines_of(record) for record in records]
    flat = [line.encode() for lines in given for line in lines]
    read = iter(latents.read(flat) if flat else ())
    ends = [[next(read) for _ in lines] for lines in given]
    latent = [latents.between(*two, STEPS) if len(two) > 1 else two for two in ends]
    every = [one for some in latent for one in some]
    greedy = Sampling(temperature=0.0)
    texts = iter(latents.write(np.stack(every), greedy) if every else ())
    written = [[next(texts) for _ in some] for some in latent]
    answers = []
    for record, own, some in zip(records, ends, written, strict=True):
      if "samples" in record:
        answers.append({"texts": self._samples(**record)})
      elif "text" in record:
        answers.append({"latent": own[0].tolist(), "text": some[0]})
      else:
        answers.append({"texts": some})
    return answers

  def _samples(self, samples: int, seed: int = 0) -> list[str]:
    latent = self._writer.prior(samples, seed)
    return self._writer.write(latent, Sampling(), seed)


def _lines_of(record: dict[str, Any]) -> list[str]:
  """What is to be read for a record."""
  return [record[key] for key in ("text", "from", "to") if key in record]


def writer(
  config: CompressionConfig, model: VAE, params: Any, tokenizer: Tokenizer
) -> LatentWriter:
  """Reads and writes texts of the length of the config."""
  return LatentWriter(model, params, tokenizer, config.segment_length)
