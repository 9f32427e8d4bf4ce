"""The config of question answering: which questions are read, and how."""

import dataclasses
from typing import Literal

from jaxmem.core.ranges import affecting, number
from jaxmem.data import folds
from jaxmem.tasks import language as languages
from jaxmem.tasks.question_answering import data

HINT = (
  "give JSON of SQuAD's form; XQuAD is at https://github.com/google-deepmind/xquad, "
  "CMRC 2018 at https://github.com/ymcui/cmrc2018"
)


@dataclasses.dataclass(frozen=True)
class SpansConfig:
  """Which questions a run reads, and how it learns to answer them.

  Attributes:
    source: a JSON file of SQuAD's form, or JSON Lines; see `data`.
    fold: "1/5" tests on the first of five folds of the articles, chooses the checkpoint
      by the next one and trains on the others. Articles that share a text are in one
      fold, see `jaxmem.data.leaks`.
    question: the field of a record with the question, or a template of several, see
      `data.template`; files of SQuAD's form have fixed fields.
    context: the same for the text, such as "{title}\\n{body}".
    rule: how answers are compared, "squad", "cmrc" or "words", see
      `tasks.question_answering.metrics`; "auto" chooses by the language.
    tokenizer: see `LabelsConfig`, or "minilm".
    segment_length: T, tokens of a row: a question and a window of its text.
    question_length: the most tokens of a question; what follows them is not read.
    overlap: tokens that two neighbouring windows of a text share.
    answer_length: the most tokens of an answer.
    match: whether tokens of the text that are in the question too have a separate type
      (`model.types` of 3): Chen et al. 2017, arXiv:1704.00051, section 3.2.
    batch_size: rows of a step.
    language: the language of the texts, such as "es"; empty detects it, see
      `tasks.language`.
    bad_records: "stop" ends the run at a record that cannot be read, "skip" leaves such
      records out and says how many, and which came first.
  """

  source: str = "data/questions.json"
  fold: str = "1/5"
  question: str = data.FIELDS[0]
  context: str = data.FIELDS[1]
  rule: Literal["auto", "squad", "cmrc", "words"] = affecting("nothing", "auto")
  tokenizer: str = "words:8000"
  segment_length: int = number(256, at_least=1)
  question_length: int = number(48, at_least=1)
  overlap: int = number(64, at_least=0)
  answer_length: int = number(24, at_least=1)
  match: bool = False
  batch_size: int = number(16, at_least=1)
  language: str = affecting("nothing", "")
  bad_records: Literal["stop", "skip"] = "stop"

  def check_fields(self) -> None:
    """Raises ValueError if the fold or the language cannot be read."""
    folds.parse(self.fold, 3)
    languages.code(self.language)
