"""Questions whose answers stand in a text: files of SQuAD's form, or any records.

A record has "question", "context" and "answers": texts, or SQuAD's {"text",
"answer_start"}, one or a list of them, or Hugging Face's lists of both. A "title" says
of which article it is; without one, questions about the same text are of one article.
"""

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


# Fields of a record with the question and with the text that answers it.
FIELDS = "question", "context"


def read(source: str, hint: str, fields: tuple[str, str] = FIELDS) -> list[Question]:
  """The questions of a file of SQuAD's form, or of records, see `data.records`.

  An answer that does not stand where the file says is taken where it stands next to it;
  one that stands nowhere in its text is an error.

  Args:
    source: the file.
    hint: where such data can be had.
    fields: of a record, the question and the text; templates of several fields too.

  Raises:
    DataError: names the file, the question, and what is wrong.
  """
  file = records.single(source, hint)
  data = _of_squad(file)
  if data is None:
    make = lambda record: _of_record(record, fields)
    found = records.collect(source, make, hint)
  elif fields != FIELDS:
    raise DataError(
      f"{source} is of SQuAD's form, whose fields are {' and '.join(FIELDS)}, not "
      f"{' and '.join(fields)}: leave task.question and task.context as they are"
    )
  else:
    found = _questions(data, source, hint)
  if not found:
    raise DataError(f"{source} has no question")
  return found


def _of_squad(file: opened.Member | None) -> Any:
  """What a file of SQuAD's form holds, None if it is of records."""
  suffix = file and opened.suffix(file.name or file.path)
  if not file or suffix in (".csv", ".tsv", *jsonl.SUFFIXES):
    return None
  with opened.stream(file) as data:
    if jsonl.has_lines(data, suffix):
      return None
  value = jsonl.whole(file)
  articles = value.get("data") if isinstance(value, dict) else value
  flat = isinstance(articles, list) and all(
    isinstance(one, dict) and "paragraphs" not in one for one in articles
  )
  return None if flat else value


def _questions(data: Any, source: str, hint: str) -> list[Question]:
  """The questions of a file of SQuAD's form."""
  found, tally = [], Tally(source)
  for where, article, paragraph, asked in _asked(data, source, hint):
    try:
      found.append(_of_asked(where, article, paragraph, asked, hint))
    except DataError as error:
      tally.bad(where, error)
      continue
    tally.good()
  tally.close()
  return found


def _asked(data: Any, source: str, hint: str) -> Iterator[tuple[str, str, Any, Any]]:
  """Where each question stands, its article, its paragraph, and itself.

  Of an article or a paragraph without any there is one entry, which is None.
  """
  articles = data.get("data") if isinstance(data, dict) else None
  if not isinstance(articles, list):
    raise DataError(f'{source} is not of SQuAD\'s form: no list "data"; {hint}')
  listed = lambda value, key: value.get(key) if isinstance(value, dict) else None
  for i, article in enumerate(articles):
    title = str(listed(article, "title") or i)
    paragraphs = listed(article, "paragraphs")
    if not isinstance(paragraphs, list):
      yield f"{source} article {i}", title, None, None
      continue
    for j, paragraph in enumerate(paragraphs):
      every = listed(paragraph, "qas")
      if not isinstance(every, list):
        yield f"{source} article {i} paragraph {j}", title, None, None
        continue
      for n, asked in enumerate(every):
        name = listed(asked, "id") or f"{n} of article {i} paragraph {j}"
        yield f"{source} question {name}", title, paragraph, asked


def _of_asked(
  where: str, article: str, paragraph: Any, asked: Any, hint: str
) -> Question:
  if paragraph is None:
    key = "qas" if " paragraph " in where else "paragraphs"
    raise DataError(f'{where} is not of SQuAD\'s form: no list "{key}"; {hint}')
  for name, holder in (("question", asked), ("context", paragraph)):
    if isinstance(holder, dict) and name not in holder:
      raise DataError(f"{where} is not of SQuAD's form: no {name!r}; {hint}")
  answers = asked.get("answers") if isinstance(asked, dict) else None
  is_answer = lambda a: (
    isinstance(a, dict) and isinstance(a.get("text"), str) and "answer_start" in a
  )
  if not isinstance(answers, list) or not all(map(is_answer, answers)):
    raise DataError(
      f'{where} is not of SQuAD\'s form: no list "answers" of '
      f'{{"text", "answer_start"}}: leave it out; {hint}'
    )
  try:
    return _question(where, article, paragraph["context"], asked)
  except DataError:
    raise
  except (TypeError, ValueError, OverflowError) as error:
    raise DataError(
      f'{where} is not of SQuAD\'s form: "answer_start" is no number; {hint}'
    ) from error


def _of_record(record: records.Record, fields: tuple[str, str]) -> Question:
  """The question of a record."""
  asked, context = map(record.text, fields)
  given = record.fields.get("answers")
  answers = _pairs_of(given) if isinstance(given, dict) else given
  answers = answers if isinstance(answers, list) else [answers]
  answers = [{"text": a} if isinstance(a, str) else a for a in answers]
  kinds = lambda a: (type(a.get("text")), type(a.get("answer_start", 0)))
  if not all(isinstance(a, dict) and kinds(a) == (str, int) for a in answers):
    raise DataError(
      f'{record.where}: "answers" is {given!r}: a text, '
      '{"text", "answer_start"}, or a list of them expected'
    )
  answers = [{"answer_start": 0} | a for a in answers]
  article = str(record.fields.get("title") or context)
  asked = {"question": asked, "answers": answers}
  return _question(record.where, article, context, asked)


def _pairs_of(given: dict[str, Any]) -> Any:
  """{"text": [...], "answer_start": [...]}, as Hugging Face has it, as a list."""
  texts, starts = given.get("text"), given.get("answer_start")
  if not isinstance(texts, list):
    return given
  if not isinstance(starts, list) or len(starts) != len(texts):
    return given
  return [{"text": t, "answer_start": s} for t, s in zip(texts, starts, strict=True)]


def _question(where: str, article: str, context: str, asked: Any) -> Question:
  question, answers = asked["question"], asked["answers"]
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
