"""Ten tiny experiments, with data, for each kind of model and of task."""

import json
import math
import random
from collections.abc import Callable
from pathlib import Path

from jaxmem.models.encoder import EncoderConfig
from jaxmem.models.encoder_decoder import EncoderDecoderConfig
from jaxmem.models.forecaster import ForecasterConfig
from jaxmem.models.lm import LMConfig
from jaxmem.models.pattern import entry
from jaxmem.models.vae import VAEConfig
from jaxmem.tasks.autoencoding.task import CompressionConfig
from jaxmem.tasks.classification.task import LabelsConfig
from jaxmem.tasks.dialogue.task import DialogueConfig
from jaxmem.tasks.forecasting.task import SeriesConfig
from jaxmem.tasks.masked_lm.task import MaskedConfig
from jaxmem.tasks.question_answering.task import SpansConfig
from jaxmem.tasks.retrieval.task import PassagesConfig
from jaxmem.tasks.seq2seq.task import PairsConfig
from jaxmem.training.config import Config, DataConfig, OptimConfig, ValidationConfig

STEPS, SAVED_AT = 10, 4
WORDS = "memory state reset lane token forget window carry segment decay".split()
NAMES = "Anna Ben Carla Dan Eve".split()
THINGS = "cat boat book drum lamp".split()


def _experiment(model, data, every=STEPS, **optim) -> Config:
  """Returns a config of ten steps that logs each loss and writes no report."""
  return Config(
    model=model,
    task=data,
    optim=OptimConfig(learning_rate=3e-3, warmup_steps=2, **optim),
    validation=ValidationConfig(every=every, num_bytes=512),
    steps=STEPS,
    log_every=1,
    save_every=STEPS,
    eval_bytes=0,
    sample_bytes=0,
  )


def _sentence(draw: random.Random, words=WORDS, low=4, high=12) -> str:
  return " ".join(draw.choice(words) for _ in range(draw.randint(low, high)))


def _jsonl(path: Path, records: list[dict]) -> str:
  path.write_text("".join(json.dumps(record) + "\n" for record in records))
  return str(path)


def _corpus(directory: Path) -> str:
  """Writes a directory of documents of different lengths; returns its path."""
  draw, folder = random.Random(0), directory / "corpus"
  folder.mkdir(parents=True)
  for i in range(24):
    lines = [_sentence(draw) for _ in range(4 + i % 5)]
    (folder / f"file{i:02}.txt").write_text("\n".join(lines) + "\n")
  return str(folder)


def text(directory: Path) -> Config:
  """A language model of bytes, with carried memory."""
  pattern = (entry("rglru", num_heads=2),)
  data = DataConfig(source=_corpus(directory), segment_length=16, batch_size=8)
  return _experiment(LMConfig(0, 16, 32, pattern, dtype="auto"), data)


def task(directory: Path) -> Config:
  """A synthetic task, with averaged weights and a best checkpoint."""
  pattern = (entry("attention", num_heads=2, capacity=40),)
  data = DataConfig(source="task:copy:vocab_size=8", segment_length=16, batch_size=8)
  return _experiment(LMConfig(0, 8, 16, pattern, dtype="auto"), data, SAVED_AT, ema=0.9)


def dialogue(directory: Path) -> Config:
  """Turns of two speakers; the model learns those of one."""
  draw = random.Random(1)
  records = []
  for _ in range(40):
    name, item = draw.choice(NAMES), draw.choice(THINGS)
    turns = [
      ("user", f"my {item} is called {name}. {_sentence(draw, low=1, high=4)}"),
      ("assistant", "I see."),
      ("user", f"what is my {item} called?"),
      ("assistant", name),
    ]
    records.append({"messages": [{"role": r, "content": c} for r, c in turns]})
  data = DialogueConfig(
    source=_jsonl(directory / "chat.jsonl", records),
    tokenizer="words:300",
    segment_length=16,
    batch_size=8,
  )
  pattern = (entry("gated_delta", num_heads=2, chunk_size=8),)
  return _experiment(LMConfig(0, 8, 16, pattern, dtype="auto"), data)


def labels(directory: Path) -> Config:
  """Classification of texts, with dropout."""
  draw = random.Random(2)
  records = [
    {
      "text": f"{_sentence(draw)} {'good' if i % 2 else 'bad'} {i}",
      "label": "yes" if i % 2 else "no",
    }
    for i in range(60)
  ]
  data = LabelsConfig(
    source=_jsonl(directory / "labelled.jsonl", records),
    tokenizer="words:300",
    segment_length=16,
    batch_size=8,
  )
  pattern = (entry("encoder_attention", num_heads=2),)
  return _experiment(
    EncoderConfig(0, 8, 16, pattern, 1, positions=16, dropout=0.1),
    data,
  )


def pairs(directory: Path) -> Config:
  """Pairs of a text to read and a text to write."""
  draw = random.Random(3)
  lines = [f"{_sentence(draw, WORDS[:4], 1, 2)} {i}" for i in range(60)]
  read, written = directory / "train.low", directory / "train.up"
  directory.mkdir(parents=True, exist_ok=True)
  read.write_text("\n".join(lines) + "\n")
  written.write_text("\n".join(line.upper() for line in lines) + "\n")
  data = PairsConfig(
    source=f"{read},{written}",
    tokenizer="byte",
    segment_length=24,
    batch_size=8,
    beams=1,
  )
  model = EncoderDecoderConfig(
    d_model=8,
    encoder=(entry("gru"),),
    pattern=(
      entry("gru"),
      entry("cross_attention", num_heads=2),
    ),
    num_groups=1,
  )
  return _experiment(model, data)


def spans(directory: Path) -> Config:
  """Questions whose answers are spans of a text."""
  draw, articles = random.Random(4), []
  for i in range(40):
    names, items = draw.sample(NAMES, 3), draw.sample(THINGS, 3)
    parts = [f"{n} has the {t}." for n, t in zip(names, items, strict=True)]
    context, k = " ".join([*parts, f"It is day {i}."]), draw.randrange(3)
    answer = {"text": names[k], "answer_start": context.index(names[k])}
    question = f"who has the {items[k]}?"
    qa = {"id": str(i), "question": question, "answers": [answer]}
    paragraph = {"context": context, "qas": [qa]}
    articles.append({"title": f"a{i}", "paragraphs": [paragraph]})
  path = directory / "questions.json"
  path.write_text(json.dumps({"data": articles}))
  data = SpansConfig(
    source=str(path),
    tokenizer="words:300",
    segment_length=32,
    question_length=8,
    overlap=8,
    answer_length=3,
    batch_size=8,
  )
  pattern = (entry("gru"),)
  return _experiment(
    EncoderConfig(d_model=8, pattern=pattern, num_groups=1, types=2),
    data,
  )


def passages(directory: Path) -> Config:
  """Queries and their relevant documents, in two accumulated parts of a batch."""
  draw, documents, queries, relevant = random.Random(5), [], [], []
  for i in range(40):
    documents.append({"id": f"d{i}", "text": f"{_sentence(draw)} {THINGS[i % 5]} {i}"})
    queries.append({"id": f"q{i}", "text": f"{NAMES[i % 5]} {_sentence(draw)}"})
    relevant += [f"q{i} 0 d{j} 1" for j in range(i % 5, 40, 5)]
  (directory / "relevant.txt").write_text("\n".join(relevant) + "\n")
  data = PassagesConfig(
    source=_jsonl(directory / "documents.jsonl", documents),
    queries=_jsonl(directory / "queries.jsonl", queries),
    relevant=str(directory / "relevant.txt"),
    tokenizer="words:300",
    segment_length=16,
    batch_size=16,
  )
  model = EncoderConfig(d_model=8, pattern=(entry("lru"),), num_groups=1, block="post")
  return _experiment(model, data, accumulate=2)


def masked(directory: Path) -> Config:
  """Masked language modelling."""
  data = MaskedConfig(
    source=_corpus(directory), tokenizer="byte", segment_length=32, batch_size=8
  )
  pattern = (entry("mamba2", num_heads=2, state_dim=4, chunk_size=8),)
  return _experiment(EncoderConfig(d_model=8, pattern=pattern, num_groups=1), data)


def series(directory: Path) -> Config:
  """A table over time, forecast as a distribution."""
  draw, path = random.Random(6), directory / "table.csv"
  rows = [
    f"{40 + 3 * math.sin(i / 3):.4f},{draw.gauss(40, 9):.4f}\n" for i in range(120)
  ]
  path.write_text("a,b\n" + "".join(rows))
  data = SeriesConfig(
    source=str(path), rows="60,30,30", segment_length=16, batch_size=8, season=3
  )
  model = ForecasterConfig(
    horizon=4, patch=4, head="gaussian", d_model=8, pattern=(entry("lstm"),)
  )
  return _experiment(model, data)


def compression(directory: Path) -> Config:
  """Short texts through a latent, with an annealed KL."""
  draw = random.Random(7)
  for name in ("train", "held"):
    lines = [f"{_sentence(draw, THINGS, 1, 2)} {name} {i}" for i in range(40)]
    (directory / f"{name}.txt").write_text("\n".join(lines) + "\n")
  data = CompressionConfig(
    source=str(directory / "train.txt"),
    heldout=str(directory / "held.txt"),
    segment_length=24,
    batch_size=8,
    kl_steps=4,
  )
  window = entry("window", window_size=4, num_heads=2)
  model = VAEConfig(d_latent=3, d_model=8, encoder=(entry("gru"),), pattern=(window,))
  return _experiment(model, data)


# Name -> function that writes the data into an existing directory, and returns the
# experiment's config.
CASES: dict[str, Callable[[Path], Config]] = {
  make.__name__: make
  for make in (
    text, task, dialogue, labels, pairs, spans, passages, masked, series, compression,
  )
}  # fmt: skip
