"""Every task reads its files through one reader, and refuses the same."""

import bz2
import gzip
import io
import json
import lzma
import os
import subprocess
import sys
import zipfile

import pytest

from jaxmem import tasks, tokenizers
from jaxmem.core import ranges
from jaxmem.core.errors import UserError
from jaxmem.data import (
  DataError,
  bad_records,
  corpora,
  records,
  sources,
  strict_json,
  template,
)
from jaxmem.data.file_slice import digest
from jaxmem.evaluation import predict as asking
from jaxmem.tasks.classification.augment import AugmentConfig, Augmenter
from jaxmem.tasks.classification.task import LabelsConfig
from jaxmem.tasks.dialogue import chat
from jaxmem.tasks.language_modeling import reader
from jaxmem.tasks.question_answering import data as squad
from jaxmem.tasks.retrieval import data as judged
from jaxmem.tasks.retrieval.task import PassagesConfig
from jaxmem.tasks.seq2seq import data as pairs
from jaxmem.training.config import DataConfig


def zipped(content: bytes) -> bytes:
  buffer = io.BytesIO()
  with zipfile.ZipFile(buffer, "w") as archive:
    archive.writestr("inside.jsonl", content)
  return buffer.getvalue()


PACKS = {
  "plain": lambda content: content,
  "gzip": gzip.compress,
  "xz": lzma.compress,
  "bzip2": bz2.compress,
  "zip": zipped,
  "mark": lambda content: b"\xef\xbb\xbf" + content,
  "utf-16": lambda content: content.decode().encode("utf-16"),
  "cr": lambda content: content.replace(b"\n", b"\r"),
  "cr lf": lambda content: content.replace(b"\n", b"\r\n"),
}


def labels(source):
  return [(e.label, *e.texts) for e in LabelsConfig().reader().read(source)]


def summaries(source):
  return [(p.source, p.targets) for p in pairs.read(source, ("source", "target"), "")]


def documents(source):
  return [(d.name, d.title, d.text) for d in judged.passages(source, "")]


def questions(source):
  return [(q.question, q.answers[0], q.start) for q in squad.read(source, "")]


def dialogues(source):
  return [[(m.role, m.content) for m in dialogue] for dialogue in chat.read(source)]


def text(source):
  return [piece.read().decode() for piece in sources.find(source)]


def wordings(source):
  table = Augmenter(AugmentConfig(copies=1.0, wordings=source), 0)._wordings
  return [*table.items()]


# A task, two records of it, and what it makes of them.
TASKS = [
  (
    labels,
    [{"label": "pos", "text": "gut é"}, {"label": 2, "text": "b"}],
    [("pos", "gut é"), ("2", "b")],
  ),
  (
    summaries,
    [{"source": "a", "target": "b"}, {"source": ["c", "d"], "target": ["e", "f"]}],
    [("a", ("b",)), ("c d", ("e", "f"))],
  ),
  (
    documents,
    [{"id": 1, "text": "a"}, {"_id": "x", "title": "only a title", "text": ""}],
    [("1", "", "a"), ("x", "only a title", "")],
  ),
  (
    questions,
    [
      {"question": "who?", "context": "it is Anna", "answers": "Anna"},
      {
        "question": "who?",
        "context": "Bo, Bo",
        "answers": {"text": ["Bo"], "answer_start": [4]},
      },
    ],
    [("who?", "Anna", 6), ("who?", "Bo", 4)],
  ),
  (
    dialogues,
    [
      {
        "messages": [
          {"role": "system", "content": "be\r\nkind"},
          {"role": "assistant", "content": [{"type": "text", "text": "a"}, "b"]},
        ]
      },
      {
        "conversations": [
          {"from": "human", "value": "x"},
          {"from": "gpt", "value": "y"},
        ]
      },
    ],
    [
      [("system", "be\nkind"), ("assistant", "a\nb")],
      [("user", "x"), ("assistant", "y")],
    ],
  ),
  (text, [{"text": "one é"}, {"text": "two\nlines"}], ["one é", "two\nlines"]),
  (wordings, [{"text": "a", "wordings": ["b", "c"]}], [("a", ["b", "c"])]),
]
NAMES = [task.__name__ for task, *_ in TASKS]


def written(tmp_path, content: bytes, name: str) -> str:
  (tmp_path / name).write_bytes(content)
  return str(tmp_path / name)


def as_lines(objects: list) -> bytes:
  return b"".join(json.dumps(item).encode() + b"\n" for item in objects)


@pytest.mark.parametrize(("task", "objects", "expected"), TASKS, ids=NAMES)
@pytest.mark.parametrize("pack", PACKS)
def test_every_task_reads_every_packing(tmp_path, task, objects, expected, pack):
  packed = PACKS[pack](as_lines(objects))

  assert task(written(tmp_path, packed, "Some.JSONL")) == expected


@pytest.mark.parametrize(("task", "objects", "expected"), TASKS, ids=NAMES)
def test_every_task_reads_every_form_of_json(tmp_path, task, objects, expected):
  content = json.dumps(objects, indent=1).encode()
  forms = {
    "a.json": content,
    "a.jsonl": content,
    "b.json": as_lines(objects),
    "c.JSON": b'{"data": ' + content + b"}",
    "d.ndjson": as_lines(objects),
  }

  for name, content in forms.items():
    assert task(written(tmp_path, content, name)) == expected, name


@pytest.mark.parametrize(("task", "objects", "expected"), TASKS, ids=NAMES)
@pytest.mark.parametrize(
  ("content", "says"),
  [
    (b"PAR1\x15\x04\0\0", "is Parquet"),
    (b"\x04\x22\x4d\x1800000000", "is LZ4"),
    (gzip.compress(b"a" * 999)[:-9], "cannot read"),
    (b'{"text": "a"}\0\n', "binary bytes, the first NUL at byte 13"),
    (b'{"text": "a", "text": "b"}\n', "the key 'text' twice"),
    (b'{"text": NaN}\n', "NaN is no number of JSON"),
    (b'{"text": 1e999}\n', "1e999 is too large"),
    (b'{"text": ' + b"9" * 5000 + b"}\n", "5,000 digits"),
    (b'{"text": ' + b"[" * 99_999, "nested too deeply"),
    (b'{"text": "\xff"}\n', "not UTF-8 at byte 10 of the file"),
    (b'{"texts": "a"}\n', "no |expected"),
    (b"{}\n", "no |expected"),
    (b"[1]\n[2]\n", "is no JSON, nor JSON Lines"),
  ],
)
def test_every_task_refuses_the_same(tmp_path, task, objects, expected, content, says):
  del objects, expected
  with pytest.raises(DataError, match=says) as raised:
    task(written(tmp_path, content, "bad.jsonl"))

  assert "bad.jsonl" in str(raised.value) and "\n" not in str(raised.value)


@pytest.mark.parametrize(("task", "objects", "expected"), TASKS, ids=NAMES)
@pytest.mark.parametrize("value", [None, 3, True, ["\ud800"], "\ud800", "", {"a": 1}])
def test_a_value_that_is_no_text_is_refused_or_empty(
  tmp_path, task, objects, expected, value
):
  bad = {key: value for key in objects[0]}
  file = written(tmp_path, as_lines([*objects, bad]), "a.jsonl")

  if task is text and value == "":
    assert task(file) == expected  # as a blank line
    return
  with pytest.raises(UserError, match="a.jsonl line [23]"):
    task(file)


@pytest.mark.parametrize(("task", "objects", "expected"), TASKS, ids=NAMES)
def test_bad_records_are_skipped_and_counted(tmp_path, capsys, task, objects, expected):
  lines = as_lines(objects).splitlines(keepends=True)
  bad = [b"{\n", b'{"other": 1}\n', b'{"\xff": 1}\n', b"[]\n", b"7\n", b"null\n"]
  file = written(tmp_path, b"".join([lines[0], *bad, *lines[1:]]), "a.jsonl")

  with bad_records.policy("skip"):
    assert task(file) == expected
  stderr = capsys.readouterr().err
  assert f"6 bad records skipped, {len(objects)} read: line 2, line 3, line 4" in stderr
  assert "line 6, ...; the first: " in stderr and "line 2" in stderr.split("first: ")[1]

  with pytest.raises(DataError, match="line 2 .*--task.bad-records skip"):
    with bad_records.policy("stop"):
      task(file)
  with (
    pytest.raises(DataError, match="one of stop, skip"),
    bad_records.policy("ignore"),
  ):
    pass


def test_the_config_of_a_run_sets_the_policy(tmp_path, monkeypatch):
  seen = []

  class Module:
    @staticmethod
    def Task(config, context, model):  # noqa: N802
      seen.append(bad_records._policy.get())
      raise DataError("no data in this test")

  monkeypatch.setattr(tasks, "get", lambda kind: Module)
  for data in (LabelsConfig(bad_records="skip"), PassagesConfig(), DataConfig()):
    with pytest.raises(DataError, match="no data in this test"):
      tasks.make(data, tasks.TaskContext(), None)

  assert seen == ["skip", "stop", "stop"] and not bad_records._policy.get()


# --- labels


@pytest.mark.parametrize(
  ("name", "content", "expected"),
  [
    ("a.txt", b"\xef\xbb\xbfpos a b\nneg c\n\xef\xbb\xbfpos d\n", "pos neg pos"),
    ("a.txt", b"ham\tgo on\nspam\tfree\n", "ham spam"),
    ("a.txt", b'{"label": "x", "text": "a"}\n', "x"),
    ("a.TSV", b'text\tlabel\n"a\tx\nb"\ty\n', "x y"),
    ("a.csv", b'text;label\n"a;b";x\nc; y\n', "x y"),
    ("a.csv.gz", gzip.compress(b"label,text\nx,a\n"), "x"),
    ("a.csv", 'text,label\n"a\nb",x\n'.encode("utf-16"), "x"),
    ("a.csv", b"text,label\n" + b"a" * 200_000 + b",x\n", "x"),
  ],
)
def test_labels_are_those_of_the_file(tmp_path, name, content, expected):
  result = labels(written(tmp_path, content, name))

  assert [label for label, _ in result] == expected.split()


def test_columns_without_a_header_are_numbered(tmp_path):
  file = written(tmp_path, b'"3","Wall St.","Sellers"\n"4","b","c"\n', "news.csv")

  examples = LabelsConfig(label="1", text="{2}: {3}").reader().read(file)

  assert [(e.label, e.texts) for e in examples] == [
    ("3", ("Wall St.: Sellers",)),
    ("4", ("b: c",)),
  ]
  with pytest.raises(DataError, match="no field 'text', only 1, 2, 3"):
    LabelsConfig(label="1").reader().read(file)


def test_folders_are_labels_in_directories_and_archives(tmp_path):
  for name, content in {"pos/1.txt": b"a", "neg/2.txt.gz": gzip.compress(b"b")}.items():
    (tmp_path / "d" / name).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / "d" / name).write_bytes(content)
  (tmp_path / "d" / "README.txt").write_text("no label")
  with zipfile.ZipFile(tmp_path / "z.zip", "w") as archive:
    archive.writestr("d/neg/2.txt", "b")
    archive.writestr("d/pos/1.txt", "a")
    archive.writestr("__MACOSX/d/pos/._1.txt", b"\0")

  for name in ("d", "z.zip"):
    assert labels(str(tmp_path / name)) == [("neg", "b"), ("pos", "a")]
  (tmp_path / "d" / "dataset_info.json").write_text("{}")
  for task in (labels, text):
    with pytest.raises(DataError, match="a cache folder of Hugging Face datasets"):
      task(str(tmp_path / "d"))


def test_first_bytes_below_zero_are_refused():
  with pytest.raises(ValueError, match="first_bytes is -3: it must be at least 0"):
    ranges.check(LabelsConfig(first_bytes=-3))


def test_a_format_is_added_in_one_place(tmp_path, monkeypatch):
  file = written(tmp_path, b"PAR1\x15\x04\0\0", "a.txt")

  def read_parquet(file, encoding):
    yield records.Record(f"{file} row 1", {"text": "a"})

  monkeypatch.setitem(records.READERS, "Parquet", read_parquet)

  assert [r.fields for r in records.read(file, "")] == [{"text": "a"}]


# --- templates


def test_a_template_joins_fields_for_every_task_of_text(tmp_path):
  fields = {"title": "T", "body": "b {c}", "label": "x", "target": "t"}
  file = written(tmp_path, as_lines([fields]), "a.jsonl")
  spec = "{title}\\n{{{body}}}"
  joined = "T\n{b {c}}"

  assert LabelsConfig(text=spec).reader().read(file)[0].texts == (joined,)
  assert pairs.read(file, (spec, "target"), "")[0].source == joined
  assert text(f"{file}#{spec}") == [joined]
  assert records.Record("", fields).text("{title}\n{body}") == "T\nb {c}"


def test_a_template_joins_fields_of_documents_queries_and_questions(tmp_path):
  fields = {"id": 1, "title": "T", "body": "b", "ask": "who?", "answers": "b"}
  file = written(tmp_path, as_lines([fields]), "a.jsonl")
  spec = "{title}\\n{body}"
  (passage,) = judged.passages(file, "", text=spec)
  assert passage == ("1", "", "T\nb") and passage.full_text == "T\nb"
  (question,) = squad.read(file, "", ("ask", spec))
  # the answer stands where it is in the whole text
  assert (question.question, question.context, question.start) == ("who?", "T\nb", 2)

  qrels = written(tmp_path, b"1 0 1 1\n", "qrels")
  collection = judged.collection(file, file, qrels, False, "", ("body", "ask"))
  assert [p.full_text for p in (*collection.documents, *collection.queries)] == [
    "b",
    "who?",
  ]
  with pytest.raises(DataError, match="no field 'none', only id, title"):
    judged.passages(file, "", text="{none}")

  xml = written(tmp_path, b"<doc><docno>1</docno><text>a</text></doc>", "a.xml")
  with pytest.raises(DataError, match="is XML, which has no field 'body'"):
    judged.passages(xml, "", text="body")
  nested = {"data": [{"paragraphs": []}]}
  nested = written(tmp_path, json.dumps(nested).encode(), "n.json")
  with pytest.raises(DataError, match="leave task.question and task.context"):
    squad.read(nested, "", ("ask", "context"))
  with pytest.raises(ValueError, match="leave task.text empty"):
    ranges.check(PassagesConfig(pairs="titles", text=spec))


def test_an_id_that_repeats_is_one_bad_record(tmp_path, capsys):
  records = [{"id": 1, "text": "a"}, {"id": "1", "text": "b"}, {"id": 2, "text": "c"}]
  file = written(tmp_path, as_lines(records), "a.jsonl")
  with pytest.raises(DataError, match="line 2 has the id '1' more than once"):
    judged.passages(file, "")
  with bad_records.policy("skip"):
    assert documents(file) == [("1", "", "a"), ("2", "", "c")]


@pytest.mark.parametrize(
  ("spec", "says"),
  [
    ("{title", "template '{title': expected '}'"),
    ("title}", "Single '}'"),
    ("{}", "has {}, which names no field"),
    ("{title!r}", "has {title!r}"),
    ("{title:>9}", "has {title:>9}"),
    ("{{title}}", "names no field"),
    ("{none}", "has no field 'none', only label, text|no field 'none'"),
  ],
)
def test_a_bad_template_is_one_sentence(tmp_path, spec, says):
  file = written(tmp_path, as_lines([{"label": "x", "text": "a"}]), "a.jsonl")
  for read in (
    lambda: LabelsConfig(text=spec).reader().read(file),
    lambda: text(f"{file}#{spec}"),
  ):
    with pytest.raises(DataError, match=says):
      read()
  assert template.is_template(spec) and not template.is_template("text")


# --- parallel files, judgements, SQuAD, chat


def test_parallel_files_may_be_packed_and_skip_bad_lines(tmp_path, capsys):
  a = written(tmp_path, lzma.compress(b"\xef\xbb\xbfone\r\n\r\nthree\n"), "a.de.xz")
  b = written(tmp_path, "eins\nzwei\ndrei\u2028x\n".encode("utf-16"), "a.en")
  with pytest.raises(DataError, match="line 2 is empty"):
    pairs.read(f"{a},{b}", ("", ""), "")
  (tmp_path / "a.de").write_bytes(b"one\n\nthree\n")
  with bad_records.policy("skip"):
    result = pairs.read(f"{tmp_path / 'a.de'},{b}", ("", ""), "")

  assert [(p.source, p.targets) for p in result] == [
    ("one", ("eins",)),
    ("three", ("drei\u2028x",)),
  ]
  assert "1 bad records skipped, 2 read: line 2" in capsys.readouterr().err


@pytest.mark.parametrize(
  ("content", "expected"),
  [
    (
      "q1 0 d1 2\nq1 0 d2 0\nq1 0 d3 -1\nq2 Q0 d1 1\n",
      {"q1": {"d1": 2}, "q2": {"d1": 1}},
    ),
    (
      "query-id\tcorpus-id\tscore\nq1\td1\t3\nq1\td 2\t1.0\n",
      {"q1": {"d1": 3, "d 2": 1}},
    ),
    ("\ufeffq1  d1  1\r\nq1 d1 1\r\n", {"q1": {"d1": 1}}),
    ("q1 d1 1.5\n", "line 1 is 'q1 d1 1.5'"),
    ("q1 0 d1 1\nq1 0 d1 ten\n", "line 2 is"),
    (
      "q1 0 d1 1\nq1 0 d1 2\n",
      "line 2 grades document 'd1' of query 'q1' 2, an",
    ),
    ("q1 d1\n", "line 1 is"),
    ("q1 d1 １\n", "line 1 is"),
  ],
)
def test_judgements_have_grades(tmp_path, content, expected):
  file = written(tmp_path, content.encode(), "qrels.tsv")
  if isinstance(expected, dict):
    assert judged.judgements(file, "") == expected
    return
  with pytest.raises(DataError, match=expected):
    judged.judgements(file, "")


def test_a_collection_keeps_what_is_judged_and_missing(tmp_path):
  documents = written(tmp_path, b"0\tfirst\n1\tsecond\n", "collection.tsv")
  queries = written(tmp_path, as_lines([{"_id": "7", "text": "q"}]), "queries.jsonl")
  grades = written(tmp_path, b"7 0 1 3\n7 0 99 2\n7 0 0 0\n", "qrels")

  collection = judged.collection(documents, queries, grades, False, "")

  assert [(d.name, d.text) for d in collection.documents] == [
    ("0", "first"),
    ("1", "second"),
  ]
  assert collection.relevant == {"7": {"1": 3, "99": 2}}


def test_an_entry_of_xml_that_is_not_closed_is_refused(tmp_path):
  file = written(tmp_path, b"<doc><docno>1</docno><text>a</text>", "a.xml")
  with pytest.raises(DataError, match="never closed"):
    judged.passages(file, "")


def test_files_of_squad_s_form_are_read_packed_and_skip_bad_questions(tmp_path, capsys):
  good = {"id": "1", "question": "who?", "answers": [{"text": "A", "answer_start": 0}]}
  bad = [{"id": "2"}, {"id": "3", "question": 7, "answers": []}, None]
  paragraph = {"context": "A or B", "qas": [good, *bad]}
  content = json.dumps(
    {"version": "1", "data": [{"title": "t", "paragraphs": [paragraph]}]}
  )
  file = written(tmp_path, gzip.compress(content.encode()), "dev")
  with pytest.raises(DataError, match="question 2 is not of SQuAD's form"):
    squad.read(file, "")
  with bad_records.policy("skip"):
    assert questions(file) == [("who?", "A", 0)]
  assert "3 bad records skipped, 1 read" in capsys.readouterr().err


def test_an_article_of_another_form_is_one_bad_record(tmp_path, capsys):
  question = {"question": "who?", "answers": [{"text": "A", "answer_start": 0}]}
  empty = question | {"question": " "}
  article = {"paragraphs": [{"context": "A or B", "qas": [question, empty]}]}
  bad = [{"title": "u"}, "no article", {"paragraphs": [{"context": "A"}, 3]}]
  content = json.dumps({"data": [*bad, article]})
  file = written(tmp_path, content.encode(), "dev.json")
  with pytest.raises(DataError, match="article 0 is not of SQuAD's form: no list"):
    squad.read(file, "")
  with bad_records.policy("skip"):
    assert questions(file) == [("who?", "A", 0)]
  assert "5 bad records skipped, 1 read" in capsys.readouterr().err


@pytest.mark.parametrize(
  "content",
  ["a", " a ", "a\nb", "\na\n\nb\n", "a\r\nb\rc", "\t", "é\u2028\x85", "a: b"],
)
def test_what_a_message_says_comes_back(content):
  record = {"messages": [{"role": "user", "content": content}] * 2}
  messages = chat.dialogue(record)
  text = b"".join(chat.text_lines([messages]))

  lines = text.removesuffix(b"\n").split(b"\n")
  assert len(lines) == 2 and all(line.startswith(b"user:") for line in lines)
  normal = content.replace("\r\n", "\n").replace("\r", "\n")
  for message, line in zip(messages, lines, strict=True):
    assert message.content == normal
    assert chat.content(line.removeprefix(b"user:") + b"\n") == normal


# --- language models


def test_documents_of_archives_and_encodings(tmp_path):
  with zipfile.ZipFile(tmp_path / "books.zip", "w") as archive:
    archive.writestr("one/a.txt", "first")
    archive.writestr("two/b.txt", b"\xef\xbb\xbfsecond")
  (tmp_path / "wide.txt").write_bytes("wide é".encode("utf-16"))
  (tmp_path / "marked.txt").write_bytes(b"\xef\xbb\xbfmarked")

  contents = {p.name: p.read() for p in sources.find(str(tmp_path))}
  alone = [p.name for p in sources.find(str(tmp_path / "books.zip"))]

  assert contents == {
    "books.zip/one/a.txt": b"first",
    "books.zip/two/b.txt": b"second",
    "wide.txt": "wide é".encode(),
    "marked.txt": b"marked",
  }
  assert alone == ["one/a.txt", "two/b.txt"]
  for piece in sources.find(str(tmp_path)):
    assert (
      piece.part(2, 3) == piece.read()[2:5] and piece.part(3, 99) == piece.read()[3:]
    )


@pytest.mark.parametrize("name", ["a.jsonl", "a.jsonl.gz", "a.json"])
def test_evaluations_read_the_text_of_records(tmp_path, monkeypatch, name):
  monkeypatch.setattr(reader, "READ_BYTES", 32)
  texts = ["a line\n" * 30 + "x" * 100, "é" * 50]
  objects = [{"id": i, "text": text} for i, text in enumerate(texts)]
  content = json.dumps(objects).encode() if name == "a.json" else as_lines(objects)
  packed = gzip.compress(content) if name.endswith("gz") else content
  pieces = sources.find(written(tmp_path, packed, name))
  row = reader.Reader(pieces, tokenizers.get("byte")).lanes[0]

  ids = []
  while (part := row._next()) is not None:
    ids += part.tolist()

  expected = [256, *texts[0].encode(), 256, *texts[1].encode(), 256]
  assert ids == expected
  first = digest(pieces)
  longer = as_lines([objects[0], objects[1] | {"text": "é" * 49 + "e"}])
  assert digest(sources.find(written(tmp_path, longer, "a.jsonl"))) != first


def test_a_name_that_no_file_can_have_is_refused():
  for name in ("a" * 5000, "a/" * 5000, "a\0b"):
    for task in (text, labels):
      with pytest.raises(DataError, match="does not exist|cannot be looked|no file"):
        task(name)


def test_json_without_the_field_is_a_document(tmp_path):
  file = written(tmp_path, b'{"a":\n [1]}', "a.json")

  assert text(file) == ['{"a":\n [1]}']
  with pytest.raises(DataError, match="is one JSON object with the fields a"):
    text(f"{file}#text")
  table = written(tmp_path, b"text\na\n", "a.csv")
  with pytest.raises(DataError, match="names the field 'text' of .*a.csv, which"):
    text(f"{table}#text")


def test_a_corpus_of_a_packed_file_is_that_of_the_file(tmp_path):
  lines = as_lines([{"text": f"{i} some text"} for i in range(40)])
  plain = written(tmp_path, lines, "a.jsonl")
  packed = written(tmp_path, gzip.compress(lines), "a.jsonl.gz")

  a, b = (
    corpora.prepare(file, data_dir=tmp_path / "cache") for file in (plain, packed)
  )

  texts = [sorted(d.text for d in (*c.train, *c.heldout)) for c in (a, b)]
  assert texts[0] == texts[1] and len(texts[0]) == 40 and len(b.heldout) > 0


def test_reading_files_imports_no_tfds(tmp_path):
  labelled_file = written(tmp_path, b"pos a\nneg b\n", "a.txt")
  text_file = written(tmp_path, b"some text", "b.txt")
  program = f"""
import sys
from jaxmem.data import records, sources, tables, opened
list(records.read({labelled_file!r}, "")); sources.find({text_file!r})
heavy = {{"tensorflow_datasets", "tensorflow", "grain", "pyarrow", "pandas", "jax"}}
assert not heavy & set(sys.modules), heavy & set(sys.modules)
from jaxmem.tasks.dialogue import chat
from jaxmem.tasks.question_answering import data
from jaxmem.tasks.retrieval import data
from jaxmem.tasks.seq2seq import data
heavy -= {{"jax"}}
assert not heavy & set(sys.modules), heavy & set(sys.modules)
"""
  environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
  done = subprocess.run(
    [sys.executable, "-c", program], capture_output=True, text=True, env=environment
  )
  assert (done.returncode, done.stderr) == (0, "")


def test_a_number_of_json_keeps_its_value():
  assert strict_json.parse(b'{"a": 1.5, "b": -3}') == {"a": 1.5, "b": -3}


class Lengths:
  """Answers a record by the length of its text."""

  def check(self, record):
    record["text"].encode()

  def __call__(self, records):
    return [{"length": len(record["text"])} for record in records]


@pytest.mark.parametrize("pack", [name for name in PACKS if name != "zip"])
def test_records_to_be_answered_may_be_packed_in_files_and_pipes(tmp_path, pack):
  packed = PACKS[pack](as_lines([{"text": "é\u2028"}, {"text": "a"}]))
  expected = [{"length": 2}, {"length": 1}]

  with open(written(tmp_path, packed, "a"), "rb") as file:
    assert list(asking.answers(file, Lengths(), 1)) == expected
  source, sink = os.pipe()
  os.write(sink, packed)
  os.close(sink)
  with os.fdopen(source, "rb") as pipe:
    assert list(asking.answers(pipe, Lengths(), 1)) == expected


def test_a_pipe_is_answered_line_by_line():
  source, sink = os.pipe()
  with os.fdopen(source, "rb") as pipe:
    answers = asking.answers(pipe, Lengths(), 1)
    for text in ("a", "bb"):
      os.write(sink, as_lines([{"text": text}]))
      assert next(answers) == {"length": len(text)}  # the pipe is still open
    os.close(sink)
    assert list(answers) == []


def test_records_to_be_answered_fill_the_templates_of_the_run():
  class Echo:
    def check(self, record):
      record["{title}: {body}"].encode()

    def __call__(self, records):
      return [{"said": record["{title}: {body}"]} for record in records]

  predict = asking.Filling(Echo(), ("{title}: {body}",))
  lines = as_lines([{"title": "T", "body": "b"}, {"title": "T"}, {"body": 1}])

  answers = list(asking.answers(io.BytesIO(lines), predict, 2))

  assert answers[0] == {"said": "T: b"}
  assert "no field 'body', only title" in answers[1]["error"]
  assert "no field 'title', only body" in answers[2]["error"]
