"""Long-context probes: each question can be answered from its text, and fits."""

import collections
import functools
import re

import numpy as np
import pytest

from jaxmem.core.errors import UserError
from jaxmem.data import DataError
from jaxmem.evaluation import longbench
from jaxmem.evaluation.longbench import haystack, metrics, needle, questions, wordlists
from jaxmem.evaluation.longbench.page import Material, sample
from jaxmem.tokenizers import ByteTokenizer
from support import reading

RULER = {
  *("niah_single_1", "niah_single_2", "niah_single_3", "niah_multikey_1"),
  *("niah_multikey_2", "niah_multikey_3", "niah_multivalue", "niah_multiquery"),
  *("vt", "cwe", "fwe", "qa_1", "qa_2"),
}


@pytest.fixture(scope="module")
def material(tmp_path_factory):
  directory = tmp_path_factory.mktemp("text")
  (directory / "hay").mkdir()
  (directory / "hay" / "a.txt").write_text(reading.prose(1500))
  (directory / "hay" / "b.txt").write_text(
    "\u00e9t\u00e9 " + reading.prose(1700)[-9000:]
  )

  @functools.cache
  def of(name: str) -> Material:
    tokenizer = reading.tokenizer(name)
    hay = haystack.Haystack(str(directory / "hay"), tokenizer)
    return Material(tokenizer, hay, reading.papers(directory))

  return of


def test_groups_are_those_of_the_papers():
  groups = longbench.groups()

  assert set(groups["ruler"]) == RULER
  assert groups["babilong"] == [f"babilong_qa{i}" for i in range(1, 11)]
  assert longbench.parse("ruler,needle,vt")[-1] == "needle"
  assert set(longbench.parse("all")) == {t for tasks in groups.values() for t in tasks}
  with pytest.raises(UserError, match="no task 'niah_singel_1'.*'niah_single_1'"):
    longbench.parse("ruler,niah_singel_1")


@pytest.mark.parametrize("name, length", [("byte", 2048), ("pieces", 1024)])
@pytest.mark.parametrize("task", longbench.tasks())
def test_answer_is_in_the_text_and_length_is_kept(material, task, name, length):
  hay, kind = material(name), longbench.tasks()[task]
  for index in range(6):
    found = sample(task, length, 0, index, hay)
    draft, prompt = found.draft, found.draft.prompt

    assert found.tokens == 1 + len(hay.tokenizer.encode(prompt.encode()))
    left = length - found.tokens - found.max_tokens
    # at most one needle, or a repeated word, is missing
    assert 0 <= left < (120 if name == "byte" else 90)
    answer = " " + reading.oracle(task, prompt)
    assert kind.score(answer, draft) == 1, (answer, draft.answers, prompt)
    assert kind.score("", draft) == 0 == kind.score("\n I give up.", draft)


@pytest.mark.parametrize("task", longbench.tasks())
def test_sample_is_fixed_by_its_name_alone(material, task):
  byte_material = material("byte")

  def draw(length, seed, index):
    return sample(task, length, seed, index, byte_material)

  first = [draw(2048, 0, i) for i in range(4)]
  redrawn = [draw(2048, 0, i) for i in (3, 1, 2, 0)]

  assert sorted(redrawn, key=lambda s: s.index) == first
  texts = {s.draft.prompt for s in [*first, draw(2048, 1, 0), draw(3000, 0, 0)]}
  assert len(texts) == 6
  fewer = sample(task, 2048, 0, 0, byte_material._replace(max_tokens=8))
  assert fewer.max_tokens == 8 and fewer.tokens > first[0].tokens - 120


def test_kinds_of_needles_are_those_of_ruler(material):
  uuid, number = r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", r"\d{7}"
  fact = re.compile(r"A special magic \w+ of (\S+) is (\S+)\.")
  for task, (keys, values, num_answers, value) in {
    "niah_single_1": (1, 1, 1, number),
    "niah_single_3": (1, 1, 1, uuid),
    "niah_multikey_1": (4, 1, 1, number),
    "niah_multivalue": (1, 4, 4, number),
    "niah_multiquery": (4, 1, 4, number),
  }.items():
    draft = sample(task, 2048, 0, 0, material("byte")).draft
    facts = fact.findall(draft.prompt)
    assert len(facts) == len(set(facts)) == keys * values
    assert len({key for key, _ in facts}) == keys
    assert len(draft.answers) == num_answers
    assert all(re.fullmatch(value, answer) for answer in draft.answers)
  for task, key in {"niah_multikey_2": r"[a-z-]+", "niah_multikey_3": uuid}.items():
    prompt = sample(task, 2048, 0, 0, material("byte")).draft.prompt
    facts = fact.findall(prompt)
    assert len(facts) > 10 and len(dict(facts)) == len(facts)
    assert all(re.fullmatch(key, k) for k, _ in facts)
    hay = prompt.split("\n\n")[1]
    assert not fact.sub("", hay).strip()  # nothing but needles


def test_needle_is_at_its_depth(material):
  five_depths = material("byte")._replace(depths=5)
  depths = set()
  for task, start in {"needle": "The watchword", "niah_single_2": "A special"}.items():
    for index in range(10):
      draft = sample(task, 4096, 0, index, five_depths).draft
      text = draft.prompt.rpartition("\n\nQuestion:")[0]
      text = text if task == "needle" else text.split("\n\n", 1)[1]
      head, _, tail = text.partition(start)
      tail = tail.partition(".")[2]
      depth = len(head.split()) / len((head + tail).split())
      assert depth == pytest.approx(draft.depth, abs=12 / len(text.split()) + 0.01)
      depths |= {draft.depth} if task == "needle" else set()
  assert sorted(depths) == needle.depths(5) == [0, 0.25, 0.5, 0.75, 1]


def test_facts_of_a_story_are_spread_in_their_order(material):
  draft = sample("babilong_qa2", 4096, 0, 0, material("byte")).draft
  text = draft.prompt[draft.prompt.rindex("\nText:") :]
  positions = [m.start() / len(text) for m in reading.SENTENCE.finditer(text)]

  assert len(positions) >= 5 and max(positions) - min(positions) > 0.5
  between = [b - a for a, b in zip(positions, positions[1:], strict=False)]
  assert max(between) > 0.1


def test_haystack_is_a_ring_that_repeats_nothing(tmp_path):
  (tmp_path / "a").write_text(reading.prose(40))
  (tmp_path / "b").write_text(reading.prose(80)[-2000:])
  hay = haystack.Haystack(str(tmp_path), ByteTokenizer())
  ring = reading.prose(40) + "\n" + reading.prose(80)[-2000:] + "\n"
  size = len(ring)

  begins = set()
  for seed in range(20):
    text = hay.text(np.random.default_rng(seed), size - 200)
    text_read = "".join(text.words)
    assert size - 200 <= len(text_read) <= size
    doubled = " ".join((ring + ring).split())
    assert " ".join(text_read.split()) in doubled or _parted(text_read, doubled)
    begins.add(text_read[:20])
  assert len(begins) > 15
  with pytest.raises(UserError, match=r"has [\d,]+ tokens, .* room for 9,999"):
    hay.text(np.random.default_rng(0), 9_999)


def _parted(text: str, doubled: str) -> bool:
  """Returns whether the text is of the ring, but for its last word, which is cut."""
  return " ".join(text.split()[:-1]) in doubled


def test_sentences_are_inserted_at_borders_in_their_order():
  text = haystack.split("One two three. Four five. Six seven eight nine. Ten")
  assert text.borders == [0, 3, 5, 9]
  sentences = [(1.0, "END."), (0.0, "A."), (0.31, "B."), (0.32, "C.")]
  assert haystack.put(text, 10, sentences) == (
    "A. One two three. B. C. Four five. Six seven eight nine. Ten END."
  )
  assert haystack.put(text, 4, [(0.6, "A.")]) == "One two three. A. Four"
  assert haystack.put(text, 0, [(0.5, "A.")]) == "A."
  lines = "\n".join(["word"] * 60)
  assert haystack.split(lines).borders == [0, 20, 40]
  assert haystack.split("word " * 90).borders == [0, 40, 80]


def _draft(*answers, question=""):
  return longbench.Draft("", answers, question)


def test_string_matches_are_those_of_ruler():
  match_all, match_part = metrics.string_match_all, metrics.string_match_part
  draft = _draft("Alpha", "12", "uuid-9", "x y")

  assert match_all("alpha, 3123 and UUID-9", draft) == 0.75
  assert match_part("it was ALPHA", draft) == 1 and match_part("nothing", draft) == 0
  assert match_all("x\ty", _draft("x\ny")) == 1  # control characters are new lines
  assert metrics.mean([0.75, 0.25]) == 50


def test_exact_match_takes_the_first_word():
  for output, score in {
    " 12345. And": 1,
    '"12345"': 1,
    "123456": 0,
    "is 12345": 0,
    "": 0,
  }.items():
    assert metrics.exact_match(output, _draft("12345")) == score


@pytest.mark.parametrize(
  "output, answer, labels, question, score",
  [
    ("The Kitchen.", "kitchen", ("kitchen", "office"), "", 1),
    ("kitchen or office.", "kitchen", ("kitchen", "office"), "", 0),
    ("kitchen. Not the office", "kitchen", ("kitchen", "office"), "", 1),
    ("not the office, the kitchen", "kitchen", ("kitchen", "office"), "an Office?", 1),
    ("office", "kitchen", ("kitchen", "office"), "", 0),
    ("a map,a rope", "rope,map", ("map", "rope", "bell"), "", 1),
    ("a map", "rope,map", ("map", "rope", "bell"), "", 0),
    ("none", "none", ("none", "one", "two"), "", 1),
    ("one", "none", ("none", "one", "two"), "", 0),
    ("I know", "no", ("yes", "no"), "", 1),  # found anywhere, as there
    ("kitchen<example>office", "kitchen", ("kitchen", "office"), "", 1),
  ],
)
def test_label_match_is_that_of_babilong(output, answer, labels, question, score):
  draft = _draft(answer, question=question)
  assert metrics.label_match(output, draft, labels) == score


def test_effective_length_ends_at_the_first_that_fails():
  of = metrics.effective_length
  assert of({512: 90.0, 2048: 80.0, 1024: 85.6, 4096: 99.0}, 85.6) == 1024
  assert of({512: 85.5, 1024: 100.0}, 85.6) == 0 and of({8: 1.0, 9: 2.0}, 0.0) == 9


def test_coded_words_follow_a_zipf_law(material):
  prompt = sample("fwe", 16_384, 0, 0, material("byte")).draft.prompt
  counts = collections.Counter(prompt.split("\n\n")[1].split()).most_common(6)

  assert counts[0][0] == "..."
  for rank, (_, count) in enumerate(counts, 1):
    assert count == pytest.approx(counts[0][1] / rank**2, abs=1)


def test_words_are_distinct_and_none_contains_another():
  words = [*wordlists.ADJECTIVES, *wordlists.NOUNS]
  assert len(set(words)) == len(words)
  assert not [(a, b) for a in words for b in words if a != b and a in b]
  rng = np.random.default_rng(0)
  names = [n for n, _ in zip(wordlists.names(rng), range(9_000), strict=False)]
  assert len(set(names)) == 9_000


def test_unreadable_questions_say_where_to_get_them(tmp_path):
  (tmp_path / "bad.json").write_text('{"no": []}')
  (tmp_path / "none.json").write_text('{"data": []}')
  for name, words in {
    "gone.json": "cannot read",
    "bad.json": "is no JSON of questions",
    "none.json": "holds no question",
  }.items():
    with pytest.raises(DataError, match=rf"{words}[\s\S]*SQuAD-explorer"):
      questions.read(str(tmp_path / name))


def test_a_task_that_does_not_fit_names_the_length_that_does(material):
  byte_material = material("byte")
  with pytest.raises(UserError, match="'vt' does not fit 300 tokens.* at least (\\d+)"):
    sample("vt", 300, 0, 0, byte_material)
  length = 788
  assert sample("vt", length, 0, 0, byte_material).tokens <= length - 30
  with pytest.raises(UserError, match="needs questions: give --qa FILE"):
    sample("qa_1", 2048, 0, 0, byte_material._replace(papers={}))
  with pytest.raises(UserError, match=r"all the paragraphs of .*: give --qa a larger"):
    sample("qa_1", 60_000, 0, 0, byte_material)
