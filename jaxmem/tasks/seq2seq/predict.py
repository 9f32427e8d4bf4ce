"""The texts that a run answers records with."""

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
  """`{"source": TEXT}` to `{"target": TEXT, "score": ...}`; see `tasks.Predictor`.

  The fields are named as in the training data; the score is log p over the penalty of
  the length. With a "temperature", and perhaps a "seed", the text is drawn, and has no
  score.
  """

  def __init__(
    self, config: PairsConfig, model: EncoderDecoder, params: Any, workdir: Path
  ):
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
    best = [record for record in records if "temperature" not in record]
    texts = [record[self._read] for record in best]
    written = iter(self._writer.write(texts) if texts else ())
    return [
      self._drawn(record) if "temperature" in record else self._best(next(written))
      for record in records
    ]

  def _best(self, found: Written) -> dict[str, Any]:
    return {self._write: found.text, "score": round(found.score, 4)}

  def _drawn(self, record: dict[str, Any]) -> dict[str, Any]:
    how = Sampling(temperature=float(record["temperature"]))
    texts = self._writer.sample([record[self._read]], how, record.get("seed", 0))
    return {self._write: texts[0]}


def writer(
  config: PairsConfig, model: EncoderDecoder, params: Any, tokenizer: Tokenizer
) -> PairWriter:
  """Writes texts by the beam search of the config."""
  c = config
  return PairWriter(model, params, tokenizer, c.segment_length, c.beams, c.alpha)


def reader(tokenizer: Tokenizer, c: PairsConfig) -> Tokenizer:
  """Reads what stands for hidden sentences, where there are any."""
  return MaskTokenizer(tokenizer) if c.gaps else tokenizer
