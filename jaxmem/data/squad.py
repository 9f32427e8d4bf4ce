"""Questions whose answers stand in a text: files of SQuAD's form, or JSON Lines.

A line has "question", "context" and "answers": texts, or SQuAD's {"text",
"answer_start"}, one or a list of them. A "title" says of which article it is; without
one, questions about the same text are of one article.
"""

import json
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Int

from jaxmem.data import records
from jaxmem.data.errors import DataError
from jaxmem.data.tokenizers import Tokenizer


class Question(NamedTuple):
  """A question, the text that answers it, and the answers.

  Attributes:
    question: asked.
    context: where the answers stand.
    answers: all that count as right, the one that is learned first.
    start: where that one begins, in characters.
    article: all questions of an article are in one fold.
    where: the file and the id.
  """

  question: str
  context: str
  answers: tuple[str, ...]
  start: int
  article: str
  where: str


def read(source: str, hint: str) -> list[Question]:
  """The questions of a file, `.jsonl` or of SQuAD's form, which may be gzipped.

  An answer that does not stand where the file says is taken where it stands next to it;
  one that stands nowhere in its text is an error.

  Raises:
    DataError: names the file, the question, and what is wrong.
  """
  path = Path(source).expanduser()
  if not source or not path.exists():
    raise DataError(f"no file {source!r}: {hint}")
  if path.with_suffix("" if path.suffix == ".gz" else path.suffix).suffix == ".jsonl":
    found = [_of_line(record) for record in records.read(source, hint)]
    if not found:
      raise DataError(f"{source} has no question")
    return found
  try:
    data = json.loads(records.decoded(records.content(path), source, "utf-8"))
    found = [
      _question(
        f"{source} question {asked.get('id', '?')}",
        str(article.get("title", i)),
        paragraph["context"],
        asked,
      )
      for i, article in enumerate(data["data"])
      for paragraph in article["paragraphs"]
      for asked in paragraph["qas"]
    ]
  except (ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
    if isinstance(error, DataError):
      raise
    raise DataError(f"{source} is not of SQuAD's form: {error!r}; {hint}") from error
  if not found:
    raise DataError(f"{source} has no question")
  return found


def _of_line(record: records.Record) -> Question:
  """The question of a line."""
  asked, context = record.text("question"), record.text("context")
  given = record.fields.get("answers")
  given = given if isinstance(given, list) else [given]
  answers = [{"text": a} if isinstance(a, str) else a for a in given]
  kinds = lambda a: (type(a.get("text")), type(a.get("answer_start", 0)))
  if not all(isinstance(a, dict) and kinds(a) == (str, int) for a in answers):
    raise DataError(
      f'{record.where}: "answers" is {record.fields.get("answers")!r}: a text, '
      '{"text", "answer_start"}, or a list of them expected'
    )
  answers = [{"answer_start": 0} | a for a in answers]
  article = str(record.fields.get("title") or context)
  asked = {"question": asked, "answers": answers}
  return _question(record.where, article, context, asked)


def _question(where: str, article: str, context: str, asked: Any) -> Question:
  question, answers = asked["question"], asked["answers"]
  if not question.strip() or not context.strip():
    raise DataError(f"{where}: the question or its text is empty: leave it out")
  if not answers or not all(a["text"].strip() for a in answers):
    raise DataError(f"{where} has no answer, or an empty one: leave it out")
  text, start = answers[0]["text"], int(answers[0]["answer_start"])
  if context[start : start + len(text)] != text:
    places = [i for i in range(len(context)) if context.startswith(text, i)]
    if not places:
      raise DataError(f"{where}: its answer {text!r} does not stand in its text")
    start = min(places, key=lambda i: abs(i - start))
  texts = tuple(a["text"] for a in answers)
  return Question(question.strip(), context, texts, start, article, where)


class Pieces(NamedTuple):
  """The tokens of a text and the characters that each stands for."""

  ids: Int[np.ndarray, " N"]
  begin: Int[np.ndarray, " N"]
  end: Int[np.ndarray, " N"]


def pieces(tokenizer: Tokenizer, text: str) -> Pieces:
  """A text as tokens, each with its place.

  Tokenizers that lose text say the places themselves (`offsets`); of the others every
  id gives back its bytes. A token that ends inside a character has it too.
  """
  if hasattr(tokenizer, "offsets"):
    return Pieces(*tokenizer.offsets(text))
  data = text.encode()
  ids = tokenizer.encode(data)
  ends = np.cumsum([len(tokenizer.decode(ids[i : i + 1])) for i in range(len(ids))])
  # the character that each byte is of
  of = np.repeat(np.arange(len(text)), [len(c.encode()) for c in text])
  begins = np.concatenate([[0], ends[:-1]]).astype(int)
  return Pieces(ids, of[begins], of[ends.astype(int) - 1] + 1)
