"""Questions about a paragraph that stands among many others.

Source: Hsieh et al. 2024, arXiv:2404.06654, section 3 (question answering). There qa_1
is SQuAD and qa_2 HotpotQA; here they are the files that are given, in the form of
either, so that qa_1 and qa_2 of one file are two draws from the same questions.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from jaxmem.core.errors import DataError, UserError
from jaxmem.data import jsonl, opened
from jaxmem.evaluation.longbench import Draft, Task
from jaxmem.evaluation.longbench.metrics import string_match_part
from jaxmem.evaluation.longbench.page import Page

GROUP = "ruler"
MAX_TOKENS = 32
_WHERE = (
  "SQuAD is at rajpurkar.github.io/SQuAD-explorer, XQuAD, the same in eleven "
  "languages, at github.com/google-deepmind/xquad, HotpotQA at hotpotqa.github.io"
)


class Question(NamedTuple):
  """A question.

  Attributes:
    text: what is asked.
    answers: any of which is right, as they stand in a paragraph.
    paragraphs: numbers of those that hold the answer, or that lead to it.
  """

  text: str
  answers: tuple[str, ...]
  paragraphs: tuple[int, ...]


class Paper(NamedTuple):
  """A file of questions.

  Attributes:
    path: of the file.
    paragraphs: all of them, each once.
    questions: those that have an answer.
  """

  path: str
  paragraphs: list[str]
  questions: list[Question]


def read(path: str) -> Paper:
  """A file in SQuAD's or HotpotQA's form, JSON, perhaps packed.

  Raises:
    DataError: if it cannot be read or holds no questions; says where such files are.
  """
  try:
    found = jsonl.whole(opened.Member(Path(path).expanduser()))
    paper = _hotpot(path, found) if isinstance(found, list) else _squad(path, found)
  except DataError as error:
    raise DataError(f"cannot read the questions {path}: {error}; {_WHERE}") from error
  except (ValueError, LookupError, TypeError, AttributeError) as error:
    raise DataError(
      f"{path} is no JSON of questions as SQuAD or HotpotQA has it ({error!r}): "
      f"{_WHERE}"
    ) from error
  if not paper.questions:
    raise DataError(f"{path} holds no question that has an answer: {_WHERE}")
  return paper


def _squad(path: str, found: dict[str, Any]) -> Paper:
  numbers: dict[str, int] = {}
  questions = []
  for article in found["data"]:
    for paragraph in article["paragraphs"]:
      number = numbers.setdefault(paragraph["context"], len(numbers))
      for one in paragraph["qas"]:
        answers = tuple(dict.fromkeys(a["text"] for a in one["answers"] if a["text"]))
        if answers:
          questions.append(Question(one["question"], answers, (number,)))
  return Paper(path, list(numbers), questions)


def _hotpot(path: str, found: list[dict[str, Any]]) -> Paper:
  numbers: dict[str, int] = {}
  questions = []
  for one in found:
    texts = {title: f"{title}\n{''.join(parts)}" for title, parts in one["context"]}
    for text in texts.values():
      numbers.setdefault(text, len(numbers))
    titles = dict.fromkeys(title for title, _ in one["supporting_facts"])
    own = tuple(numbers[texts[title]] for title in titles if title in texts)
    if one["answer"]:
      questions.append(Question(one["question"], (one["answer"],), own))
  return Paper(path, list(numbers), questions)


def _draw(page: Page, paper: Paper) -> Draft:
  rng = page.rng
  places = rng.uniform(size=len(paper.paragraphs))
  order = rng.permutation(len(paper.paragraphs)).tolist()
  # the first that fits; where none does, `fill` says what the last one needs
  for i in rng.permutation(len(paper.questions)).tolist():
    question = paper.questions[i]
    if page.fits(_ask(question, paper, places, [], 0)):
      break
  others = [i for i in order if i not in question.paragraphs]
  words = [paper.paragraphs[i].split(" ") for i in others]
  build = lambda count: _ask(question, paper, places, words, count)
  total = sum(map(len, words))
  # no word is shorter than a token
  if total < page.room and page.fits(build(total)):
    raise UserError(
      f"all the paragraphs of {paper.path} make a prompt of "
      f"{page.count(build(total).prompt):,} tokens, and there is room for "
      f"{page.room:,}: give --qa a larger file, or shorter --lengths"
    )
  return page.fill(build, 0, min(total, page.room))


def _ask(
  question: Question,
  paper: Paper,
  places: np.ndarray,
  others: list[list[str]],
  count: int,
) -> Draft:
  """The question behind its own paragraphs and `count` words of others."""
  texts = _first(others, count)
  total = len(texts)
  for i in sorted(question.paragraphs, key=lambda i: places[i]):
    texts.insert(round(places[i] * total), paper.paragraphs[i])
  listed = "\n\n".join(f"Document {i}:\n{t}" for i, t in enumerate(texts, 1))
  prompt = (
    "One of the documents below answers a question. Give the answer alone, in the "
    f"words of the document.\n\n{listed}\n\nQuestion: {question.text}\nAnswer:"
  )
  return Draft(prompt, question.answers, question.text)


def _first(documents: Sequence[list[str]], count: int) -> list[str]:
  """The first `count` words of documents, the last perhaps not whole."""
  texts = []
  for words in documents:
    if count <= 0:
      break
    texts.append(" ".join(words[:count]))
    count -= len(words)
  return texts


def _task(name: str) -> Task:
  def draw(page: Page) -> Draft:
    if name not in page.material.papers:
      raise UserError(
        f"task {name!r} needs questions: give --qa FILE, JSON as SQuAD or HotpotQA has "
        f"it; {_WHERE}"
      )
    return _draw(page, page.material.papers[name])

  return Task(draw, MAX_TOKENS, string_match_part)


TASKS = {name: _task(name) for name in ("qa_1", "qa_2")}
