"""Equal records are never on both sides of a split, however they are stored."""

import dataclasses
import gzip
import json
import os
import re
import shutil

import numpy as np
import pytest

from jaxmem import data
from jaxmem.core.errors import UserError
from jaxmem.data import DataError, folds, leaks, sources
from jaxmem.models.encoder import EncoderConfig
from jaxmem.models.pattern import entry
from jaxmem.tasks.application import provenance
from jaxmem.tasks.base import TaskContext
from jaxmem.tasks.classification import data as labelled
from jaxmem.tasks.classification.augment import AugmentConfig
from jaxmem.tasks.classification.task import LabelsConfig
from jaxmem.tasks.dialogue import task
from jaxmem.tasks.dialogue.task import DialogueConfig
from jaxmem.tasks.question_answering.task import SpansConfig
from jaxmem.tasks.retrieval.task import PassagesConfig
from jaxmem.tasks.seq2seq import task as pairs
from jaxmem.tasks.seq2seq.task import PairsConfig
from jaxmem.training.config import Config
from support import runs


def lines(path, records):
  path.write_text("".join(json.dumps(r) + "\n" for r in records), encoding="utf-8")
  return str(path)


def tree(root, **files):
  """Files by their names, "__" between directories."""
  for name, text in files.items():
    path = root / name.replace("__", "/")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
  return str(root)


def texts(documents):
  return [document.read().decode() for document in documents]


def apart(parts):
  """Whether no document of text is on both sides."""
  return not set(texts(parts["train"])) & set(texts(parts["heldout"]))


# --- what is equal


@pytest.mark.parametrize(
  "first, second, equal",
  [
    ("a b", b" a b\r\n", True),
    ("a\nb", "a\r\nb", True),
    ("a\nb", "a\rb", True),
    ("\ufeffa", b"a", True),
    ("\u00e9", "e\u0301", True),
    (b"\xff\n", b"\xff", True),
    ("a b", "a  b", False),
    ("a", "A", False),
    (b"\xff", b"\xfe", False),
  ],
)
def test_keys_are_equal_where_contents_are(first, second, equal):
  assert (leaks.key(first) == leaks.key(second)) is equal


def test_texts_of_a_record_do_not_run_together_and_blank_ones_are_no_content():
  assert leaks.key("a", "b") != leaks.key("ab", "") != leaks.key("ab")
  assert leaks.key("a", "b") != leaks.key("b", "a")
  assert leaks.key(" \n", b"") is None
  assert leaks.key("\ud800") is not None


# --- text


def test_links_and_copies_between_groups_stand_on_one_side(tmp_path):
  for how in ("symlink", "link", "copy"):
    root = tmp_path / how
    tree(root, **{f"g{i:02}__own.txt": f"own {i} " * 50 for i in range(40)})
    make = {"symlink": os.symlink, "link": os.link, "copy": shutil.copy}[how]
    for i in range(0, 40, 2):
      make(root / f"g{i:02}/own.txt", root / f"g{i + 1:02}/other.md")

    parts = sources.split(str(root))

    assert apart(parts) and parts["heldout"] and parts.repeats.together == 20
    assert len(parts["train"]) + len(parts["heldout"]) == 60
    groups = [{document.group for document in side} for side in parts.values()]
    assert not groups[0] & groups[1]


def test_groups_all_linked_lose_the_copies_in_training(tmp_path):
  tree(tmp_path, **{f"g{i:02}__own.txt": f"own {i} " * 50 for i in range(12)})
  for i in range(12):
    other = tmp_path / f"g{(i + 1) % 12:02}/own.txt"
    os.symlink(other, tmp_path / f"g{i:02}/link.txt")

  parts = sources.split(str(tmp_path))

  assert apart(parts) and parts["heldout"]
  assert parts.repeats.left_out == 24 - len(parts["train"]) - len(parts["heldout"]) > 0


def test_versions_of_one_directory_are_read_once_and_cut(tmp_path):
  for i in range(12):
    tree(tmp_path / f"v{i}", a="a" * 500, b="b" * 500)

  parts = sources.split(str(tmp_path))

  assert "".join(texts(parts["train"] + parts["heldout"][:1])).count("b") == 500
  assert set("".join(texts(parts["heldout"]))) == {"b"}
  assert parts.repeats == leaks.Repeats(together=11, left_out=11)


def test_repeated_lines_stand_on_one_side_and_are_not_lost(tmp_path):
  path = lines(
    tmp_path / "a.jsonl", [{"text": f"line {i % 20} " * 5} for i in range(200)]
  )

  parts = sources.split(path)

  assert apart(parts) and parts["heldout"]
  assert len(parts["train"]) + len(parts["heldout"]) == 200
  assert parts.repeats.together == 180


def test_documents_that_share_lines_are_no_leak_and_splits_stay(tmp_path):
  files = {f"g{i:02}__x": "# The same head.\n" * 9 + f"{i}" * 40 for i in range(30)}
  files |= {f"g{i:02}__blank": " \n" for i in range(30)}
  root = tree(tmp_path, **files)

  parts = sources.split(root)

  assert len(parts["train"]) + len(parts["heldout"]) == 60
  assert parts.repeats == leaks.NONE
  assert 2 <= len({p.group for p in parts["heldout"]}) <= 3


def test_a_named_heldout_source_of_another_kind_leaves_training(tmp_path):
  root = tree(tmp_path / "t", a="one\r\n", b="two", c__d="three", e="four\n")
  heldout = lines(
    tmp_path / "h.jsonl", [{"text": "one"}, {"text": "three\n"}, {"text": "5"}]
  )

  parts = sources.split(root, heldout)
  swapped = sources.split(heldout, root)

  assert texts(parts["train"]) == ["two", "four\n"] and len(parts["heldout"]) == 3
  assert parts.repeats.left_out == 2
  assert texts(swapped["train"]) == ["5"] and len(swapped["heldout"]) == 4


@pytest.mark.parametrize("how", ["symlink", "link", "directory"])
def test_one_file_is_not_two_sources(tmp_path, how):
  root = tree(tmp_path / "t", a="one", b="two")
  tree(tmp_path / "h", x="three")
  if how == "directory":
    os.symlink(tmp_path / "t", tmp_path / "linked")
    heldout = str(tmp_path / "linked" / "a")
  else:
    make = os.symlink if how == "symlink" else os.link
    make(tmp_path / "t" / "a", tmp_path / "h" / "y")
    heldout = str(tmp_path / "h")
  with pytest.raises(DataError, match="1 files stand in both .* first is "):
    sources.split(root, heldout)


def test_a_copy_of_all_there_is_is_refused(tmp_path):
  root = tree(tmp_path / "t", a="one", b="two")
  shutil.copytree(root, tmp_path / "h")
  with pytest.raises(DataError, match="all 2 documents .* copied perhaps"):
    sources.split(root, str(tmp_path / "h"))


def test_components_of_a_mixture_share_nothing(tmp_path):
  for name, first in (("a", 0), ("b", 20)):
    files = {f"{name}{i:02}": f"document {i} " * 4 for i in range(first, first + 40)}
    tree(tmp_path / name, **files)
  heldout = tree(tmp_path / "held", x="document 25 " * 4, y="else")
  source = f"mix:1*{tmp_path}/a,1*{tmp_path}/b"

  parts, shares = sources.mixed(source)
  named, named_shares = sources.mixed(source, heldout)

  assert apart(parts) and parts.repeats.left_out > 0
  assert sum(share.documents for share in shares) == len(parts["train"])
  assert apart(named) and named.repeats.left_out == 2
  assert [share.documents for share in named_shares] == [39, 39]
  assert [p.name for p in named["heldout"]] == ["0/x", "0/y"]


def test_a_link_between_components_is_refused(tmp_path):
  for name in ("a", "b"):
    files = {f"{i:02}": f"{name} {i} " * 4 for i in range(40)}
    tree(tmp_path / name, **files)
  path = sources.split(str(tmp_path / "a"))["heldout"][0].path
  os.link(path, tmp_path / "b" / "00link")
  source = f"mix:1*{tmp_path}/a,1*{tmp_path}/b"
  with pytest.raises(DataError, match="training in one component"):
    sources.mixed(source)


def test_what_leaves_training_changes_the_corpus(tmp_path):
  root = tree(tmp_path / "t", a="one", b="two", c="three")
  less = tree(tmp_path / "less", a="one", b="two")
  heldout = tree(tmp_path / "h", x="three\n")
  options = dict(data_dir=tmp_path / "cache")

  corpus = data.prepare(root, heldout, **options)

  assert corpus.fingerprint == data.prepare(less, heldout, **options).fingerprint
  assert corpus.repeats == leaks.Repeats(left_out=1)
  assert " (1 documents left out of training" in corpus.repeats.words("documents")


# --- labels


def split_labels(source, fold="", seed=0, **options):
  config = LabelsConfig(source=source, fold=fold, **options)
  parted = labelled.splits(config.reader(), config.files(), config.folds(), seed)
  return parted, {
    name: {split: [e.texts for e in parts[split]] for split in parts}
    for name, parts in parted.items()
  }


def labels(path, rows):
  return lines(path, [{"text": text, "label": label} for text, label in rows])


@pytest.mark.parametrize("fold", ["", "1/5", "5/5"])
def test_repeated_texts_stand_on_one_side_whatever_their_label(tmp_path, fold):
  rows = [(f"text {i % 40}", "ab"[i // 40 % 2]) for i in range(200)]
  parted, texts = split_labels(labels(tmp_path / "x.jsonl", rows), fold)
  train, scored = {*texts[""]["train"]}, {*texts[""]["heldout"], *texts[""]["test"]}
  assert train and scored and not train & scored
  assert not fold or not {*texts[""]["heldout"]} & {*texts[""]["test"]}
  assert parted.repeats.together == 160 and not parted.heldout_is_test


def test_a_split_without_repeats_is_as_it_was(tmp_path):
  source = labels(tmp_path / "x.jsonl", [(f"text {i}", "ab"[i % 2]) for i in range(40)])
  parted, texts = split_labels(source)
  heldout = [text for (text,) in texts[""]["heldout"]]
  assert heldout == ["text 0", "text 1", "text 20", "text 21"]
  assert parted.repeats == leaks.NONE


def test_named_splits_keep_what_is_tested(tmp_path):
  train = [(f"text {i}", "ab"[i % 2]) for i in range(20)]
  source = labels(tmp_path / "x.jsonl", train)
  heldout = labels(tmp_path / "h.jsonl", [(" text 3\n", "b"), ("h", "a"), ("t", "a")])
  (tmp_path / "t.csv").write_text("label,text\na,text 4\nb,t\n", encoding="utf-8")
  parted, texts = split_labels(source, heldout=heldout, test=str(tmp_path / "t.csv"))
  assert [len(texts[""][split]) for split in texts[""]] == [18, 2, 2]
  assert parted.repeats == leaks.Repeats(0, left_out=2, left_out_of_heldout=1)


@pytest.mark.parametrize("split", ["heldout", "test"])
def test_one_file_of_labels_is_not_two_splits(tmp_path, split):
  source = labels(tmp_path / "x.jsonl", [(f"text {i}", "ab"[i % 2]) for i in range(20)])
  for make in (os.symlink, os.link):
    make(source, tmp_path / make.__name__)
    link = str(tmp_path / f"{make.__name__}.jsonl")
    os.rename(tmp_path / make.__name__, link)
    with pytest.raises(
      DataError, match=f"task.{split} is trained on too .as .*x.jsonl"
    ):
      split_labels(source, **{split: link})
  (tmp_path / "y.jsonl.gz").write_bytes(
    gzip.compress((tmp_path / "x.jsonl").read_bytes())
  )
  with pytest.raises(DataError, match="all [0-9]+ texts .* copied perhaps"):
    split_labels(source, **{split: str(tmp_path / "y.jsonl.gz")})


def test_tasks_do_not_train_on_what_another_is_scored_on(tmp_path):
  first = labels(tmp_path / "x.jsonl", [(f"text {i}", "ab"[i % 2]) for i in range(40)])
  second = labels(
    tmp_path / "y.jsonl", [(f"text {i}", "cd"[i % 2]) for i in range(5, 50)]
  )
  parted, texts = split_labels(f"x={first},y={second}")
  trained = {*texts["x"]["train"], *texts["y"]["train"]}
  scored = {*texts["x"]["heldout"], *texts["y"]["heldout"]}
  assert not trained & scored and parted.repeats.left_out > 0


def test_a_class_of_one_text_is_trained_on_and_the_run_says_so(tmp_path):
  rows = [(f"text {i}", "ab"[i % 2]) for i in range(20)] + [("alone", "c")]
  source = labels(tmp_path / "x.jsonl", rows)
  task = make_task(LabelsConfig(source, tokenizer="words:300"))
  assert task._model.classes == 3
  assert "c" in {e.label for e in task._splits[""]["train"]}
  assert task.describe().endswith(" (no heldout text of class 'c')")
  with pytest.raises(DataError, match="no class with two different texts"):
    split_labels(labels(tmp_path / "y.jsonl", [("x", "a"), ("y", "b")]))
  with pytest.raises(DataError, match="fold 3/5 .* has 0 texts"):
    split_labels(labels(tmp_path / "y.jsonl", [("x", "a"), ("y", "b")]), "3/5")


def test_a_wording_of_a_training_text_is_no_held_out_text(tmp_path):
  source = labels(tmp_path / "x.jsonl", [(f"text {i}", "ab"[i % 2]) for i in range(20)])
  heldout = labels(tmp_path / "h.jsonl", [("seen", "a"), ("other", "b")])
  wordings = [
    {"text": "text 1", "wordings": ["seen ", "words"]},
    {"text": "text 2", "wordings": ["other"]},
  ]
  augment = AugmentConfig(copies=1.0, wordings=lines(tmp_path / "w.jsonl", wordings))
  task = make_task(
    LabelsConfig(source, heldout, tokenizer="words:300", augment=augment)
  )
  draw = np.random.default_rng(0)
  augmenter = task.rows.collate.augmenter
  assert {augmenter.text("text 1", draw) for _ in range(9)} == {"words"}
  assert augmenter.text("text 2", draw) == "text 2"
  assert task.repeats == leaks.Repeats(left_out=2)


# --- pairs, dialogue, questions, retrieval


def make_task(data):
  model = EncoderConfig(d_model=8, pattern=(entry("gru"),), num_groups=1)
  return runs.task(Config(model=model, task=data))


def sides(parted):
  return {name: {p.source for p in examples} for name, examples in parted.items()}


def test_pairs_share_no_text_to_read(tmp_path):
  rows = [{"source": f"s {i % 20}", "target": f"t {i}"} for i in range(60)]
  source = lines(tmp_path / "x.jsonl", rows)
  test = lines(tmp_path / "t.jsonl", [{"source": "s 3 ", "target": "u"}])

  split = pairs._splits(PairsConfig(source))
  named = pairs._splits(PairsConfig(source, heldout=test, test=test))
  tested = pairs._splits(PairsConfig(source, test=test))

  texts = sides(split)
  assert texts["heldout"] == {"s 0", "s 10"} and not texts["train"] & texts["heldout"]
  assert split.repeats == leaks.Repeats(together=40)
  assert named.heldout_is_test and named.repeats.left_out == 3
  assert not tested.heldout_is_test and "s 3" not in sides(tested)["train"]
  with pytest.raises(UserError, match="trained on too"):
    pairs._splits(PairsConfig(source, test=source))


def test_texts_with_gaps_are_equal_as_they_were_whole(tmp_path):
  text = "The cat sat on mat {0}. The cat saw a dog {0}. It rained."
  rows = [{"source": text.format(i % 15)} for i in range(45)]
  parted = pairs._splits(PairsConfig(lines(tmp_path / "x.jsonl", rows), gaps=0.3))
  texts = sides(parted)
  assert texts["heldout"] and not texts["train"] & texts["heldout"]
  assert parted.repeats.together == 30


def said(*contents):
  roles = ("user", "assistant")
  return {
    "messages": [
      {"role": roles[i % 2], "content": content} for i, content in enumerate(contents)
    ]
  }


def test_dialogues_are_compared_whole(tmp_path):
  rows = [said("hi", f"answer {i % 15}") for i in range(45)]
  source = lines(tmp_path / "x.jsonl", rows)
  heldout = lines(tmp_path / "h.jsonl", [said("hi", "answer 2"), said("hi", "new")])

  split = task._dialogues(DialogueConfig(source), 0)
  named = task._dialogues(DialogueConfig(source, heldout), 0)

  assert split["heldout"] and not {*split["train"]} & {*split["heldout"]}
  assert split.repeats == leaks.Repeats(together=30)
  assert len(named["train"]) == 42 and named.repeats.left_out == 3
  with pytest.raises(DataError, match="one dialogue 9 times"):
    again = lines(tmp_path / "y.jsonl", rows[:1] * 9)
    task._dialogues(DialogueConfig(again), 0)
  with pytest.raises(DataError, match="task.heldout is trained on too"):
    task._dialogues(DialogueConfig(source, source), 0)


def test_articles_with_one_text_are_in_one_fold(tmp_path):
  rows = [
    {
      "title": f"title {i}",
      "question": f"who is {i}?",
      "context": f"Ann {i % 12} met Ben.",
      "answers": ["Ben"],
    }
    for i in range(24)
  ]
  config = SpansConfig(
    lines(tmp_path / "q.jsonl", rows),
    fold="2/4",
    tokenizer="byte",
    segment_length=64,
    question_length=16,
    overlap=8,
  )
  task = make_task(config)
  contexts = [{q.context for q in questions} for questions in task._splits.values()]
  assert [len(questions) for questions in contexts] == [6, 3, 3]
  assert len(set.union(*contexts)) == 12 and task.repeats.together == 12
  assert "12 repeated articles" in task.describe()
  with pytest.raises(DataError, match="12 articles of different content and 13 folds"):
    make_task(dataclasses.replace(config, fold="1/13"))


@pytest.mark.parametrize("kind", ["judged", "titles"])
def test_queries_are_in_one_fold_and_their_titles_not_trained_on(tmp_path, kind):
  queries = [{"id": f"q{i}", "text": f"ask {i % 10}"} for i in range(30)]
  documents = [
    {"id": f"d{i}", "title": f"ask {i}", "text": f"answer {i % 20}"} for i in range(40)
  ]
  relevant = tmp_path / "relevant"
  relevant.write_text("".join(f"q{i} 0 d{i} 1\n" for i in range(30)), encoding="utf-8")
  task = make_task(
    PassagesConfig(
      lines(tmp_path / "d.jsonl", documents),
      lines(tmp_path / "q.jsonl", queries),
      str(relevant),
      pairs=kind,
      tokenizer="byte",
      segment_length=16,
      batch_size=4,
    )
  )
  queries_of = [{q.text for q in queries} for queries in task._splits.values()]
  assert [len(queries) for queries in queries_of] == [6, 2, 2]
  assert len(set.union(*queries_of)) == 10
  if kind == "titles":
    train, heldout = (task._titles(split) for split in ("train", "heldout"))
    assert not {t for _, t, *_ in train} & {t for _, t, *_ in heldout}
    assert not {t for t, *_ in train} & (queries_of[1] | queries_of[2])
    assert len(heldout) == 4
  assert "repeated queries" in task.describe()


def test_folds_without_a_key_are_as_they_were():
  plain = folds.split([*range(10)], 1, 5, str, "numbers")
  keyed = folds.split([*range(10)], 1, 5, str, "numbers", lambda n: leaks.key(str(n)))
  assert (
    plain == keyed == {"train": [2, 3, 4, 7, 8, 9], "heldout": [1, 6], "test": [0, 5]}
  )


# --- what a report says


@pytest.mark.parametrize(
  "split, tested, validate_every, says, chose",
  [
    ("test", True, 5, "", False),
    ("train", False, 5, "", False),
    (
      "test",
      False,
      5,
      "No separate test split .* this is .* which chose the best checkpoint",
      True,
    ),
    (
      "heldout",
      False,
      5,
      "No separate test split .* this is .* which chose the best checkpoint",
      True,
    ),
    (
      "heldout",
      True,
      5,
      "^This is the score of the held-out part, which chose the best",
      True,
    ),
    ("test", False, 0, "which chose no checkpoint: validation.every is 0", False),
    ("heldout", False, 50, "validation.every is 50, beyond the run", False),
  ],
)
def test_a_report_says_whether_its_part_chose(
  split, tested, validate_every, says, chose
):
  context = TaskContext(validate_every=validate_every, steps=10)
  repeats = leaks.Repeats(1, 2, 3)
  note, numbers = provenance(context, split, tested, repeats)
  assert len(note) == bool(says) and all(re.search(says, line) for line in note)
  assert numbers["chose_checkpoint"] is chose and numbers["test_split"] is tested
  assert numbers["equal_records"]["left_out"] == 2
