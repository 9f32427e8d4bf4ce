"""The config of sequence to sequence: pairs of texts, and how texts are written."""

import dataclasses
from typing import Literal

from jaxmem.core.ranges import affecting, number
from jaxmem.tasks import language as languages


@dataclasses.dataclass(frozen=True)
class PairsConfig:
  """The config of a sequence-to-sequence task: pairs of texts.

  Attributes:
    source: the training pairs: "A,B", two files with as many lines ("A,B,C" has more
      references), or one file with the fields below, see `data.records`.
    heldout: the pairs that choose the checkpoint; empty holds out a tenth. Sources that
      are in two splits follow the rule of `jaxmem.data.leaks`.
    test: the pairs that are scored at the end; empty takes those that are held out.
    read: the field with the text to read, or a template of several: "{title}\\n{body}",
      see `data.template`.
    write: the field with the text, or the texts, to write; several fields separated by
      commas are references, of which the first is learned.
    gaps: the share of the sentences of the text to read that are hidden there and are
      the text to write. 0 writes `write`. See `tasks.seq2seq.gap_sentences`.
    encoding: encoding of the files.
    tokenizer: tokenizer of both sides: "sp:N" or "words:N", trained on the training
      texts, or see `DataConfig`.
    segment_length: T, tokens of a side; longer pairs are left out of training, and
      longer texts are truncated.
    batch_size: pairs of a step.
    metric: "bleu" or "rouge".
    beams: beams of the beam search; 1 is greedy.
    alpha: exponent of its length penalty; 0 is none.
    extract: "minilm" also reports the sentence of the source that the packaged encoder
      finds nearest to the whole source.
    language: language of the targets, such as "ja", which decides how the metric cuts
      words; empty is decided by the references, see `tasks.language`.
    bad_records: "stop" ends the run at a record that cannot be read, "skip" leaves such
      records out and reports how many there are, and which came first.
  """

  source: str = "data/train.de,data/train.en"
  heldout: str = ""
  test: str = ""
  read: str = "source"
  write: str = "target"
  gaps: float = number(0.0, at_least=0, below=1)
  encoding: str = "utf-8"
  tokenizer: str = "sp:4000"
  segment_length: int = number(64, at_least=4)
  batch_size: int = number(64, at_least=1)
  metric: Literal["bleu", "rouge"] = "bleu"
  beams: int = number(5, at_least=1, at_most=1000)
  alpha: float = number(1.0, at_least=0)
  extract: Literal["none", "minilm"] = "none"
  language: str = affecting("nothing", "")
  bad_records: Literal["stop", "skip"] = "stop"

  def check_fields(self) -> None:
    """Raises ValueError if the language cannot be read."""
    languages.code(self.language)
