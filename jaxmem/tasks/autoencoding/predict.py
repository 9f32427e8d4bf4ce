"""Answers records with latents and texts."""

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

# Texts of an interpolation, both ends included.
STEPS = 5
# Most samples of one record.
MOST = 1000


class CompressionPredictor:
  """Answers records of three kinds; see `tasks.Predictor`.

  - `{"text": LINE}` gets its latent and the greedy text of it, {"latent", "text"}.
  - `{"from": LINE, "to": LINE}` gets the texts of an interpolation, {"texts"}.
  - `{"samples": COUNT}`, perhaps with a "seed", gets draws from the prior, {"texts"}.
  """

  def __init__(self, config: CompressionConfig, model: VAE, params: Any, workdir: Path):
    """Loads the tokenizer; see `tasks.Predictor`.

    Args:
      config: the task's config.
      model: the autoencoder.
      params: its parameters.
      workdir: the work directory of the run.
    """
    tokenizer = trained.kept(config.tokenizer, workdir)
    self._writer = writer(config, model, params, tokenizer)
    self._d_latent = model.config.d_latent

  def check(self, record: dict[str, Any]) -> None:
    """Raises UserError unless a record is of one of the kinds and can be encoded."""
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
    """Returns the answers to records that were checked, in their order.

    All lines are encoded together, and all texts but samples decoded together: the
    records are flattened, and the results are taken in the same order again.
    """
    writer, lines_of = self._writer, [_lines_of(record) for record in records]
    flat = [line.encode() for lines in lines_of for line in lines]
    means = iter(writer.read(flat) if flat else ())
    ends = [[next(means) for _ in lines] for lines in lines_of]  # 0, 1 or 2 a record
    latents = [
      writer.between(pair[0], pair[1], STEPS) if len(pair) > 1 else pair
      for pair in ends
    ]
    flat_latents = [latent for rows in latents for latent in rows]
    # greedy, so that a text of a latent does not depend on a seed
    greedy = Sampling(temperature=0.0)
    texts = iter(writer.write(np.stack(flat_latents), greedy) if flat_latents else ())
    written = [[next(texts) for _ in rows] for rows in latents]
    answers = []
    for record, latent, record_texts in zip(records, ends, written, strict=True):
      if "samples" in record:
        answers.append({"texts": self._samples(**record)})
      elif "text" in record:
        answers.append({"latent": latent[0].tolist(), "text": record_texts[0]})
      else:
        answers.append({"texts": record_texts})
    return answers

  def _samples(self, samples: int, seed: int = 0) -> list[str]:
    latent = self._writer.prior(samples, seed)
    return self._writer.write(latent, Sampling(), seed)


def _lines_of(record: dict[str, Any]) -> list[str]:
  """Returns the lines of a record that are encoded."""
  return [record[key] for key in ("text", "from", "to") if key in record]


def writer(
  config: CompressionConfig, model: VAE, params: Any, tokenizer: Tokenizer
) -> LatentWriter:
  """Returns a `LatentWriter` for texts of the length of the config."""
  return LatentWriter(model, params, tokenizer, config.segment_length)
