"""What pairs of texts are read, and how the others are written."""

import dataclasses
from typing import Literal

from jaxmem.core.ranges import number


@dataclasses.dataclass(frozen=True)
class PairsConfig:
  """Pairs of texts.

  Attributes:
    source: to train on: "A,B", two files of as many lines ("A,B,C" has references in
      several), or a file with the fields below, see `data.records`.
    heldout: to choose by; empty holds out a tenth. Texts to read that stand in two
      splits follow the rule of `jaxmem.data.leaks`.
    test: to score at the end; empty is what is held out.
    read: the field with the text to read, or a template of several: "{title}\\n{body}",
      see `data.template`.
    write: the field with the text, or the texts, to write; several apart by commas are
      references, of which the first is learned.
    gaps: the share of the sentences of the text to read that are hidden there, to be
      written; no other text is. 0 writes `write`. See `tasks.seq2seq.gap_sentences`.
    encoding: of the files.
    tokenizer: of both sides, "sp:N" or "words:N", made of the training texts, or see
      `DataConfig`.
    segment_length: T, tokens of a side; longer pairs are left out of training, and
      longer texts read to there.
    batch_size: pairs of a step.
    metric: "bleu" or "rouge".
    beams: of the beam search; 1 is greedy.
    alpha: of its length penalty; 0 is none.
    extract: "minilm" reports beside it the sentence of the source that the packaged
      encoder finds nearest to the whole.
    language: of what is written, such as "ja": decides the metric's words; empty is
      decided by the references, see `tasks.language`.
    bad_records: "stop" ends the run at a record that cannot be read, "skip" leaves such
      records out and says how many, and which came first.
  """

  source: str = "data/train.de,data/train.en"
  heldout: str = ""
  test: str = ""
  read: str = "source"
  write: str = "target"
  gaps: float = number(0.0, at_least=0, below=1)
  encoding: str = "utf-8"
  tokenizer: str = "sp:4000"
  segment_length: int = number(64, at_least=1)
  batch_size: int = number(64, at_least=1)
  metric: Literal["bleu", "rouge"] = "bleu"
  beams: int = number(5, at_least=1, at_most=1000)
  alpha: float = number(1.0, at_least=0)
  extract: Literal["none", "minilm"] = "none"
  language: str = ""
  bad_records: Literal["stop", "skip"] = "stop"
