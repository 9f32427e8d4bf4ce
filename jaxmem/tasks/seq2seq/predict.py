"""Answers records with the texts that a run writes."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from jaxmem.generation.sampling import Sampling
from jaxmem.models.encoder_decoder import EncoderDecoder
from jaxmem.tasks import fields
from jaxmem.tasks.seq2seq.config import PairsConfig
from jaxmem.tasks.seq2seq.data import references
from jaxmem.tasks.seq2seq.writing import PairWriter, Written
from jaxmem.tokenizers import Tokenizer, trained
from jaxmem.tokenizers.trained import MaskTokenizer


class PairsPredictor:
  """Answers `{"source": TEXT}` by `{"target": TEXT, "score": ...}`.

  The fields are named as in the training data. The score is log p over the length
  penalty. A record with a "temperature", and perhaps a "seed", gets a sampled text
  without a score. See `tasks.Predictor`.
  """

  def __init__(
    self, config: PairsConfig, model: EncoderDecoder, params: Any, workdir: Path
  ):
    """Loads the tokenizer; see `tasks.Predictor`.

    Args:
      config: the task's config.
      model: the encoder-decoder.
      params: its parameters.
      workdir: the work directory of the run.
    """
    tokenizer = reader(trained.kept(config.tokenizer, workdir), config)
    self._writer = writer(config, model, params, tokenizer)
    self._read, self._write = config.read, references(config.write)[0]

  def check(self, record: dict[str, Any]) -> None:
    """Raises UserError unless a record has a text that fits, and numbers in range."""
    text = fields.text(record, self._read)
    fields.whole(record, "seed", 0, 0, 2**31 - 1)
    if "temperature" in record:
      Sampling(temperature=fields.number(record, "temperature", 0.0)).check()
    self._writer.check(text)

  def __call__(self, records: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Returns the answers to records that were checked, in their order."""
    # beam search takes all records at once; those that are sampled have other settings
    best = [record for record in records if "temperature" not in record]
    texts = [record[self._read] for record in best]
    # `best` is a subsequence of the records: its texts are taken in order
    written = iter(self._writer.write(texts) if texts else ())
    return [
      self._drawn(record) if "temperature" in record else self._best(next(written))
      for record in records
    ]

  def _best(self, written: Written) -> dict[str, Any]:
    return {self._write: written.text, "score": round(written.score, 4)}

  def _drawn(self, record: dict[str, Any]) -> dict[str, Any]:
    how = Sampling(temperature=float(record["temperature"]))
    texts = self._writer.sample([record[self._read]], how, record.get("seed", 0))
    return {self._write: texts[0]}


def writer(
  config: PairsConfig, model: EncoderDecoder, params: Any, tokenizer: Tokenizer
) -> PairWriter:
  """Returns a `PairWriter` with the beam search of the config."""
  c = config
  return PairWriter(model, params, tokenizer, c.segment_length, c.beams, c.alpha)


def reader(tokenizer: Tokenizer, c: PairsConfig) -> Tokenizer:
  """Returns a tokenizer that also reads the marks of hidden sentences, if needed."""
  return MaskTokenizer(tokenizer) if c.gaps else tokenizer
