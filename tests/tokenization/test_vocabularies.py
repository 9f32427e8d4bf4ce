"""Tokenizers that a run makes of its training text, from the sample to the answer."""

import dataclasses
import shutil

import numpy as np
import pytest

from jaxmem import tasks
from jaxmem.core.errors import ConfigError, NotUTF8
from jaxmem.data import DataError, TokenStream, prepare, samples
from jaxmem.models.encoder import EncoderConfig
from jaxmem.models.lm import LM, LMConfig
from jaxmem.models.pattern import entry
from jaxmem.models.vae import VAEConfig
from jaxmem.tokenizers import is_exact, trained
from jaxmem.training import load, resume, run_task, trainer
from jaxmem.training.step import resolve
from support import runs

NAMES = ["words:300", "sp:300"]
MODEL = LMConfig(vocab_size=0, d_model=16, pattern=(entry("gru"),))


def write(directory, **texts):
  directory.mkdir(parents=True, exist_ok=True)
  for name, text in texts.items():
    (directory / f"{name}.txt").write_bytes(text)
  return str(directory)


def config(source, tokenizer, **changes):
  base = runs.config(source, model=MODEL, steps=4, eval_bytes=256)
  data = dataclasses.replace(base.task, tokenizer=tokenizer, **changes)
  return dataclasses.replace(base, task=data)


@pytest.fixture(scope="module")
def source(tmp_path_factory):
  root = tmp_path_factory.mktemp("source")
  words = {
    f"f{i:02}": f"caf\u00e9 no. {i} has the tea of \u4e2d\u6587\n".encode() * 20
    for i in range(20)
  }
  return write(root / "train", **words), write(root / "held", h=b"heldout zebra " * 50)


def test_a_language_model_makes_keeps_and_reads_its_tokenizer(source, tmp_path):
  train_, heldout = source
  config_ = config(
    train_, "words:300", heldout=heldout, data_dir=str(tmp_path / "data")
  )
  config_ = dataclasses.replace(config_, eval_bytes=0, sample_bytes=0)
  assert trainer.train(config_, tmp_path / "run") == 0
  tokenizer = trained.kept("words:300", tmp_path / "run")

  # neither the data nor the place of the run is needed to read it
  shutil.rmtree(tmp_path / "data")
  moved = shutil.move(tmp_path / "run", tmp_path / "moved")
  loaded = load.load_model(moved)
  assert loaded.tokenizer.fingerprint == tokenizer.fingerprint
  assert loaded.config.model.vocab_size == 320
  # `jaxmem eval` makes a task of this config
  assert load.run_config(moved).task.tokenizer == str(moved / "tokenizer.json")
  # a run that continues does so with the tokenizer that it began with
  resumed = resume.with_tokenizer(config_, moved, "auto")
  assert resumed.task.tokenizer == str(moved / "tokenizer.json")
  other_task = dataclasses.replace(config_.task, tokenizer="words:301")
  for fresh in (config_, dataclasses.replace(config_, task=other_task)):
    how = "never" if fresh is config_ else "auto"
    assert resume.with_tokenizer(fresh, moved, how) is fresh
  assert resume.with_tokenizer(config_, tmp_path / "new", "auto") is config_


@pytest.mark.parametrize("name", NAMES)
def test_a_vocabulary_is_of_training_text_alone(name, source, tmp_path):
  corpus = prepare(*source, data_dir=tmp_path)
  tokenizer = samples.tokenizer_of(name, corpus, exact=True)
  assert (
    len(tokenizer.encode("caf\u00e9".encode())) < 5 < len(tokenizer.encode(b" zebra"))
  )


@pytest.mark.parametrize(
  "kind, name",
  [(kind, name) for kind in ("text", "compression", "masked") for name in NAMES]
  + [("dialogue", "words:300")],
)
def test_every_job_of_text_takes_a_tokenizer_that_it_makes(
  kind, name, source, tmp_path
):
  job_config = tasks.get(kind).Config
  models_ = {
    "text": MODEL,
    "dialogue": MODEL,
    "compression": VAEConfig(pattern=MODEL.pattern, encoder=MODEL.pattern, d_model=16),
    "masked": EncoderConfig(d_model=16),
  }
  fields = {"tokenizer": name, "segment_length": 16, "batch_size": 2}
  if kind == "dialogue":
    fields |= {"source": "recall:facts=2:count=64"}
  else:
    fields |= {"source": source[0], "heldout": source[1], "data_dir": str(tmp_path)}
  base = runs.config(tmp_path, steps=4)
  config_ = dataclasses.replace(base, task=job_config(**fields), model=models_[kind])
  config_ = resolve(config_)
  task = runs.task(config_)
  task.save_assets(tmp_path)
  tokenizer = trained.kept(name, tmp_path)
  assert tokenizer.fingerprint == task.rows.tokenizer
  assert tokenizer.vocab_size <= config_.model.vocab_size
  assert is_exact(tokenizer) or kind == "masked"


@pytest.mark.parametrize("name", NAMES)
def test_bits_per_byte_count_every_byte(name, source, tmp_path):
  corpus = prepare(*source, data_dir=tmp_path)
  tokenizer = samples.tokenizer_of(name, corpus, exact=True)
  for split in ("train", "heldout"):
    stream = TokenStream.from_corpus(corpus, tokenizer, split)
    texts = [document.text for document in getattr(corpus, split)]
    assert stream.num_bytes == sum(map(len, texts))
    assert tokenizer.decode(np.array(stream.tokens)) == b"".join(texts)


def test_a_vocabulary_is_made_once_and_is_the_same_everywhere(
  source, tmp_path, monkeypatch
):
  corpora = [prepare(*source, data_dir=tmp_path / name) for name in "ab"]
  first, second = (samples.tokenizer_of("sp:300", c) for c in corpora)
  assert first.fingerprint == second.fingerprint
  # lossy and exact words are not mistaken for each other
  exact = samples.tokenizer_of("words:300", corpora[0], exact=True)
  assert samples.tokenizer_of("words:300", corpora[0]).fingerprint != exact.fingerprint
  monkeypatch.setattr(trained, "make", None)  # made before: read
  assert samples.tokenizer_of("sp:300", corpora[0]).fingerprint == first.fingerprint


def test_a_sample_is_bounded_and_of_the_corpus_alone(source, tmp_path):
  corpus = prepare(*source, data_dir=tmp_path)
  texts = [document.text for document in corpus.train]
  assert [*samples.sample(corpus)] == texts
  sample = [*samples.sample(corpus, 1000)]
  assert sample == [*samples.sample(corpus, 1000)]
  assert 990 <= sum(map(len, sample)) <= 1000
  assert all(any(text.startswith(part) for text in texts) for part in sample)
  for part in sample:
    part.decode()  # cut between characters


def test_of_a_mixture_every_component_has_its_share(tmp_path):
  many = write(tmp_path / "many", **{f"m{i}": b"many " * 100 for i in range(40)})
  few = write(tmp_path / "few", **{f"f{i}": b"few, " * 100 for i in range(40)})
  heldout = write(tmp_path / "held", h=b"x" * 100)
  corpus = prepare(f"mix:0.8*{many},0.2*{few}", heldout, data_dir=tmp_path / "data")
  text = b"".join(samples.sample(corpus, 5000))
  assert text.count(b"many ") == 800 and text.count(b"few, ") == 200


def test_a_tokenizer_that_loses_text_is_refused_where_bits_per_byte_are_measured(
  tmp_path,
):
  lossy = trained.make("words:300", [b"a b c"])
  trained.keep(lossy, tmp_path)
  for kind in (runs.config(tmp_path), config(tmp_path, "byte")):
    data = dataclasses.replace(kind.task, tokenizer=str(tmp_path / "tokenizer.json"))
    with pytest.raises(ConfigError, match="loses text.*take byte, sp:N, words:N"):
      resolve(dataclasses.replace(kind, task=data))


@pytest.mark.parametrize(
  "name, says",
  [
    ("words:3", "at least 300"),
    ("sp:261", "at least 262"),
    ("sp:", "sp:N"),
    ("sp:-5", "sp:N"),
    ("sp:1e4", "sp:N"),
    ("words:99999999999999999999", "at most 10,000,000"),
    ("spm:300", "no tokenizer 'spm:300'"),
  ],
)
def test_what_cannot_be_made_is_said_before_any_text_is_read(name, says):
  with pytest.raises(ConfigError, match=says):
    resolve(config("/nowhere", name))


def test_a_task_has_no_text_for_a_tokenizer(tmp_path):
  config_ = config(tmp_path, "sp:300")
  data = dataclasses.replace(config_.task, source="task:copy:length=4")
  with pytest.raises(ConfigError, match="task.tokenizer is 'sp:300'.*leave it out"):
    resolve(dataclasses.replace(config_, task=data))


def test_text_too_short_for_its_vocabulary_is_told_how_large_one_may_be(tmp_path):
  root = write(tmp_path / "s", a=b"abab" * 30, b=b"baba" * 30)
  config_ = resolve(config(root, "sp:5000", data_dir=str(tmp_path / "data")))
  with pytest.raises(
    DataError, match="'sp:5000' cannot be made: .* at most 2[0-9][0-9]"
  ):
    run_task.make(config_, LM(config_.model))
  binary = write(tmp_path / "b", a=b"\xff\xfa" * 30, b=b"\x80" * 30)
  config_ = resolve(config(binary, "sp:300", data_dir=str(tmp_path / "data")))
  with pytest.raises(DataError, match="not UTF-8"):
    run_task.make(config_, LM(config_.model))


def test_a_tokenizer_given_by_its_path_is_kept_beside_the_run(source, tmp_path):
  tokenizer = trained.make("sp:280", [b"the tea of the house \n" * 50])
  (tmp_path / "x.model").write_bytes(tokenizer.kept[1])
  name = str(tmp_path / "x.model")
  trained.keep(trained.get(name), tmp_path)
  (tmp_path / "x.model").unlink()
  assert trained.kept(name, tmp_path).fingerprint == tokenizer.fingerprint
  assert trained.kept_name(name, tmp_path) == str(tmp_path / "tokenizer.model")
  assert trained.kept_name("byte", tmp_path) == "byte"
  with pytest.raises(DataError, match="tokenizer.json is missing.*train the run again"):
    trained.kept("words:300", tmp_path)


def test_documents_that_are_no_text_are_refused_by_what_is_made_of_text():
  for name in ("sp:300", "words:300"):
    with pytest.raises(NotUTF8):
      trained.make(name, [b"caf\xe9"])
