"""Questions about one paragraph among many others.

Source: Hsieh et al. 2024, arXiv:2404.06654, section 3 (question answering). There qa_1
is SQuAD and qa_2 HotpotQA; here the user names the files, in the form of either, so
that qa_1 and qa_2 of one file are two draws from the same questions.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from jaxmem.core.errors import DataError, UserError
from jaxmem.data import jsonl, opened
from jaxmem.evaluation.longbench import Draft, LongbenchTask
from jaxmem.evaluation.longbench.metrics import string_match_part
from jaxmem.evaluation.longbench.page import Page

GROUP = "ruler"
MAX_TOKENS = 32
_WHERE = (
  "SQuAD is at rajpurkar.github.io/SQuAD-explorer, XQuAD, the same in eleven "
  "languages, at github.com/google-deepmind/xquad, HotpotQA at hotpotqa.github.io"
)


class Question(NamedTuple):
  """A question about paragraphs of a paper.

  Attributes:
    text: the question itself.
    answers: texts of a paragraph, any of which is right.
    paragraphs: numbers of the paragraphs that hold the answer, or that lead to it.
  """

  text: str
  answers: tuple[str, ...]
  paragraphs: tuple[int, ...]


class Paper(NamedTuple):
  """A file of questions.

  Attributes:
    path: the path of the file.
    paragraphs: all paragraphs, each once.
    questions: the questions that have an answer.
  """

  path: str
  paragraphs: list[str]
  questions: list[Question]


def read(path: str) -> Paper:
  """Reads a JSON file in SQuAD's or HotpotQA's form, which may be compressed.

  Raises:
    DataError: if it cannot be read or holds no questions; the message says where such
      files are.
  """
  try:
    content = jsonl.whole(opened.Member(Path(path).expanduser()))
    paper = (
      _hotpot(path, content) if isinstance(content, list) else _squad(path, content)
    )
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


def _squad(path: str, content: dict[str, Any]) -> Paper:
  numbers: dict[str, int] = {}
  questions = []
  for article in content["data"]:
    for paragraph in article["paragraphs"]:
      number = numbers.setdefault(paragraph["context"], len(numbers))
      for item in paragraph["qas"]:
        answers = tuple(dict.fromkeys(a["text"] for a in item["answers"] if a["text"]))
        if answers:
          questions.append(Question(item["question"], answers, (number,)))
  return Paper(path, list(numbers), questions)


def _hotpot(path: str, content: list[dict[str, Any]]) -> Paper:
  numbers: dict[str, int] = {}
  questions = []
  for item in content:
    # titles are part of the text, since questions may name them
    texts = {title: f"{title}\n{''.join(parts)}" for title, parts in item["context"]}
    for text in texts.values():
      numbers.setdefault(text, len(numbers))
    titles = dict.fromkeys(title for title, _ in item["supporting_facts"])
    paragraphs = tuple(numbers[texts[title]] for title in titles if title in texts)
    if item["answer"]:  # test files hide the answers
      questions.append(Question(item["question"], (item["answer"],), paragraphs))
  return Paper(path, list(numbers), questions)


def _draw(page: Page, paper: Paper) -> Draft:
  rng = page.rng
  depths = rng.uniform(size=len(paper.paragraphs))
  order = rng.permutation(len(paper.paragraphs)).tolist()
  # the first question that fits; if none does, `fill` reports the length of the last
  for i in rng.permutation(len(paper.questions)).tolist():
    question = paper.questions[i]
    if page.fits(_ask(question, paper, depths, [], 0)):
      break
  distractors = [i for i in order if i not in question.paragraphs]
  words = [paper.paragraphs[i].split(" ") for i in distractors]

  def build(count: int) -> Draft:
    return _ask(question, paper, depths, words, count)

  total = sum(map(len, words))
  # a word is at least one token, so fewer words than the room may not fill it
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
  depths: np.ndarray,
  distractors: list[list[str]],
  count: int,
) -> Draft:
  """Returns a question after its own paragraphs and `count` words of distractors."""
  texts = _first(distractors, count)
  total = len(texts)  # of distractors: depths count these alone
  for i in sorted(question.paragraphs, key=lambda i: depths[i]):
    # depths are ascending, so that earlier insertions only shift those that follow
    texts.insert(round(depths[i] * total), paper.paragraphs[i])
  listed = "\n\n".join(f"Document {i}:\n{t}" for i, t in enumerate(texts, 1))
  prompt = (
    "One of the documents below answers a question. Give the answer alone, in the "
    f"words of the document.\n\n{listed}\n\nQuestion: {question.text}\nAnswer:"
  )
  return Draft(prompt, question.answers, question.text)


def _first(documents: Sequence[list[str]], count: int) -> list[str]:
  """Returns the first `count` words of documents; the last one may be cut."""
  texts = []
  for words in documents:
    if count <= 0:
      break
    texts.append(" ".join(words[:count]))
    count -= len(words)
  return texts


def _task(name: str) -> LongbenchTask:
  def draw(page: Page) -> Draft:
    if name not in page.material.papers:
      raise UserError(
        f"task {name!r} needs questions: give --qa FILE, JSON as SQuAD or HotpotQA has "
        f"it; {_WHERE}"
      )
    return _draw(page, page.material.papers[name])

  return LongbenchTask(draw, MAX_TOKENS, string_match_part)


TASKS = {name: _task(name) for name in ("qa_1", "qa_2")}
