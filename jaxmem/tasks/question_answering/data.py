"""Questions whose answers are parts of a text: files of SQuAD's form, or any records.

A record has "question", "context" and "answers". Answers are texts, or SQuAD's {"text",
"answer_start"}, one or a list of them, or Hugging Face's lists of both. A "title" names
the article; without one, questions about the same text are of one article.
"""

import functools
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Int

from jaxmem.core.errors import DataError
from jaxmem.data import jsonl, opened, records
from jaxmem.data.bad_records import Tally
from jaxmem.tokenizers import Tokenizer


class Question(NamedTuple):
  """A question, the text that answers it, and the answers.

  Attributes:
    question: the question.
    context: the text that has the answers.
    answers: all right answers; the first one is learned.
    start: the character of the context at which the first answer begins.
    article: the name of the article; all its questions are in one fold.
    where: the file and the id, for messages.
  """

  question: str
  context: str
  answers: tuple[str, ...]
  start: int
  article: str
  where: str


# The fields of a record with the question and with the text that answers it.
FIELDS = "question", "context"


def read(source: str, hint: str, fields: tuple[str, str] = FIELDS) -> list[Question]:
  """Reads the questions of a file of SQuAD's form, or of records, see `data.records`.

  An answer that is not at the position that the file states is taken at its nearest
  occurrence; an answer that does not occur in its text is an error.

  Args:
    source: the file.
    hint: where such data can be had, for messages.
    fields: the fields of a record with the question and the text, or templates.

  Raises:
    DataError: names the file, the question, and what is wrong.
  """
  file = records.single(source, hint)
  data = _of_squad(file)
  if data is None:
    make = functools.partial(_of_record, fields=fields)
    questions = records.collect(source, make, hint)
  elif fields != FIELDS:
    raise DataError(
      f"{source} is of SQuAD's form, whose fields are {' and '.join(FIELDS)}, not "
      f"{' and '.join(fields)}: leave task.question and task.context as they are"
    )
  else:
    questions = _questions(data, source, hint)
  if not questions:
    raise DataError(f"{source} has no question")
  return questions


def _of_squad(file: opened.Member | None) -> Any:
  """Returns the JSON of a file of SQuAD's form, None if the file has records."""
  suffix = file and opened.suffix(file.name or file.path)
  # tables and JSON Lines have records
  if not file or suffix in (".csv", ".tsv", *jsonl.SUFFIXES):
    return None
  with opened.stream(file) as data:
    if jsonl.has_lines(data, suffix):
      return None
  value = jsonl.whole(file)
  articles = value.get("data") if isinstance(value, dict) else value
  # a list of questions without paragraphs is of records
  flat = isinstance(articles, list) and all(
    isinstance(article, dict) and "paragraphs" not in article for article in articles
  )
  return None if flat else value


def _questions(data: Any, source: str, hint: str) -> list[Question]:
  """Returns the questions of the JSON of a file of SQuAD's form."""
  questions, tally = [], Tally(source)
  for where, article, paragraph, entry in _entries(data, source, hint):
    try:
      questions.append(_of_entry(where, article, paragraph, entry, hint))
    except DataError as error:
      tally.bad(where, error)
      continue
    tally.good()
  tally.close()
  return questions


def _entries(data: Any, source: str, hint: str) -> Iterator[tuple[str, str, Any, Any]]:
  """Yields the name of each question, its article, its paragraph, and its entry.

  For an article or a paragraph without questions it yields None once, so that the
  caller can count it as a bad record.
  """
  articles = data.get("data") if isinstance(data, dict) else None
  if not isinstance(articles, list):
    raise DataError(f'{source} is not of SQuAD\'s form: no list "data"; {hint}')

  def value(holder: Any, key: str) -> Any:
    return holder.get(key) if isinstance(holder, dict) else None

  for i, article in enumerate(articles):
    title = str(value(article, "title") or i)
    paragraphs = value(article, "paragraphs")
    if not isinstance(paragraphs, list):
      yield f"{source} article {i}", title, None, None
      continue
    for j, paragraph in enumerate(paragraphs):
      entries = value(paragraph, "qas")
      if not isinstance(entries, list):
        yield f"{source} article {i} paragraph {j}", title, None, None
        continue
      for n, entry in enumerate(entries):
        name = value(entry, "id") or f"{n} of article {i} paragraph {j}"
        yield f"{source} question {name}", title, paragraph, entry


def _of_entry(
  where: str, article: str, paragraph: Any, entry: Any, hint: str
) -> Question:
  """Makes the question of an entry of SQuAD's form."""
  if paragraph is None:
    key = "qas" if " paragraph " in where else "paragraphs"
    raise DataError(f'{where} is not of SQuAD\'s form: no list "{key}"; {hint}')
  for name, holder in (("question", entry), ("context", paragraph)):
    if isinstance(holder, dict) and name not in holder:
      raise DataError(f"{where} is not of SQuAD's form: no {name!r}; {hint}")
  answers = entry.get("answers") if isinstance(entry, dict) else None
  if not isinstance(answers, list) or not all(
    isinstance(a, dict) and isinstance(a.get("text"), str) and "answer_start" in a
    for a in answers
  ):
    raise DataError(
      f'{where} is not of SQuAD\'s form: no list "answers" of '
      f'{{"text", "answer_start"}}: leave it out; {hint}'
    )
  try:
    return _question(where, article, paragraph["context"], entry)
  except DataError:
    raise
  except (TypeError, ValueError, OverflowError) as error:
    raise DataError(
      f'{where} is not of SQuAD\'s form: "answer_start" is no number; {hint}'
    ) from error


def _of_record(record: records.Record, fields: tuple[str, str]) -> Question:
  """Makes the question of a record."""
  question, context = map(record.text, fields)
  value = record.fields.get("answers")
  answers = _pairs_of(value) if isinstance(value, dict) else value
  answers = answers if isinstance(answers, list) else [answers]
  answers = [{"text": a} if isinstance(a, str) else a for a in answers]
  if not all(
    isinstance(a, dict)
    and type(a.get("text")) is str
    and type(a.get("answer_start", 0)) is int  # not bool
    for a in answers
  ):
    raise DataError(
      f'{record.where}: "answers" is {value!r}: a text, '
      '{"text", "answer_start"}, or a list of them expected'
    )
  answers = [{"answer_start": 0} | a for a in answers]
  article = str(record.fields.get("title") or context)
  entry = {"question": question, "answers": answers}
  return _question(record.where, article, context, entry)


def _pairs_of(answers: dict[str, Any]) -> Any:
  """Turns Hugging Face's {"text": [...], "answer_start": [...]} into SQuAD's list."""
  texts, starts = answers.get("text"), answers.get("answer_start")
  if not isinstance(texts, list):
    return answers
  if not isinstance(starts, list) or len(starts) != len(texts):
    return answers
  return [{"text": t, "answer_start": s} for t, s in zip(texts, starts, strict=True)]


def _question(where: str, article: str, context: str, entry: Any) -> Question:
  """Checks a question and its answers, and finds the first answer in the text."""
  question, answers = entry["question"], entry["answers"]
  records.checked(question, f"{where}: its question")
  records.checked(context, f"{where}: its text")
  for answer in answers:
    records.checked(answer["text"], f"{where}: an answer")
  if not question.strip() or not context.strip():
    raise DataError(f"{where}: the question or its text is empty: leave it out")
  if not answers or not all(a["text"].strip() for a in answers):
    raise DataError(f"{where} has no answer, or an empty one: leave it out")
  text, start = answers[0]["text"], int(answers[0]["answer_start"])
  if context[start : start + len(text)] != text:
    # the stated start is a hint: it may count bytes, or be of another edition
    positions = [i for i in range(len(context)) if context.startswith(text, i)]
    if not positions:
      raise DataError(f"{where}: its answer {text!r} does not occur in its text")
    start = min(positions, key=lambda i: abs(i - start))
  texts = tuple(a["text"] for a in answers)
  return Question(question.strip(), context, texts, start, article, where)


class Pieces(NamedTuple):
  """The tokens of a text and the range of characters of each.

  Attributes:
    ids: the tokens.
    begin: the first character of each token.
    end: one behind the last character of each token.
  """

  ids: Int[np.ndarray, " N"]
  begin: Int[np.ndarray, " N"]
  end: Int[np.ndarray, " N"]


def pieces(tokenizer: Tokenizer, text: str) -> Pieces:
  """Tokenizes a text and finds the characters of each token.

  Tokenizers that lose text have a method `offsets`; with the others every id decodes to
  its bytes. A token that ends inside a character covers the whole character.

  Args:
    tokenizer: the tokenizer.
    text: the text.
  """
  if hasattr(tokenizer, "offsets"):
    return Pieces(*tokenizer.offsets(text))
  data = text.encode()
  ids = tokenizer.encode(data)
  sizes = [len(tokenizer.decode(ids[i : i + 1])) for i in range(len(ids))]
  ends = np.cumsum(sizes).astype(int)  # in bytes, [N]
  begins = np.concatenate([[0], ends[:-1]]).astype(int)
  # the character of each byte
  char = np.repeat(np.arange(len(text)), [len(c.encode()) for c in text])
  return Pieces(ids, char[begins], char[ends - 1] + 1)
