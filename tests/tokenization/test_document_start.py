"""What stands before a document: the EOS token, a token of its own, or nothing."""

import functools
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxmem import data, tokenizers
from jaxmem.core.errors import UserError
from jaxmem.data.excerpts import Excerpt
from jaxmem.evaluation import text_score
from jaxmem.generation.generate import Writer
from jaxmem.generation.sampling import Sampling
from jaxmem.generation.session import first_session
from jaxmem.generation.text_stream import TextStream
from jaxmem.models import pattern
from jaxmem.models.lm import LM, LMConfig
from jaxmem.models.loaded import Loaded
from jaxmem.tasks.dialogue import chat
from jaxmem.tasks.language_modeling import reader
from jaxmem.tasks.language_modeling.reader import Reader
from jaxmem.tokenizers import folder

FOLDERS = Path(__file__).parent / "folders"
# The first has EOS before a document, the second a token of its own, the third nothing.
NAMES = ["gpt2", "llama3", "qwen"]
TEXTS = [b"import this\nand that", b"x", b"def main():\n  return 0\n" * 3, b""]


@functools.cache
def load(name):
  return folder.load(FOLDERS / name)


@functools.cache
def model(vocab_size):
  model = LM(LMConfig(vocab_size, d_model=16, pattern=pattern.parse("gru")))
  params = model.init(
    jax.random.key(0), jnp.zeros((1, 2), jnp.int32), model.init_state(1)
  )["params"]
  # larger weights, so that a text is more than one token again and again
  return model, jax.tree.map(lambda a: 8 * a, params)


def expected(tokenizer, text, whole):
  """What a document alone reads, and what it predicts."""
  ids = tokenizer.encode(text).tolist()
  line = tokenizers.start_ids(tokenizer) + ids
  if whole and line:
    line = [*line, tokenizer.eos_id]
  return line[:-1], line[1:]


@pytest.mark.parametrize("length", [1, 5, 64])
@pytest.mark.parametrize("whole", [True, False])
@pytest.mark.parametrize("name", NAMES)
def test_a_document_in_a_lane_is_read_as_alone(name, whole, length):
  tokenizer = load(name)
  documents = [Excerpt(str(i), text, whole) for i, text in enumerate(TEXTS)]
  lane = Reader(documents, tokenizer)
  read, counts = [], lane.counts
  while (filled := lane.fill(length))[3].max() >= 0:
    tokens, targets, reset, position = (a[0] for a in filled)
    for at in np.flatnonzero(position >= 0):
      if reset[at]:
        assert position[at] == 0
        read.append(([], []))
      read[-1][0].append(int(tokens[at]))
      read[-1][1].append(int(targets[at]))
      assert position[at] == len(read[-1][0]) - 1
  alone = [expected(tokenizer, text, whole) for text in TEXTS]
  assert read == [each for each in alone if each[1]]
  assert counts["tokens"] == sum(len(targets) for _, targets in read)
  predicted = [[i for i in t if i != tokenizer.eos_id] for _, t in alone]
  bytes_ = [tokenizer.decode(np.array(ids, int)) for ids in predicted]
  assert counts["bytes"] == sum(map(len, bytes_))
  assert counts["documents"] == len(TEXTS)


@pytest.mark.parametrize("name", [*NAMES, "llama2"])
def test_a_document_that_is_read_in_pieces_has_one_beginning(name, monkeypatch):
  monkeypatch.setattr(reader, "READ_BYTES", 10)
  tokenizer = load(name)
  text = b"a line\nof words \xe4\xb8\xad\xe6\x96\x87\n  and more of them"
  lane = Reader([Excerpt("a", text, True)], tokenizer)
  tokens, targets, _, position = (a[0] for a in lane.fill(200))
  ids = np.r_[tokens[:1], targets[position >= 0]]
  assert tokenizer.decode(ids) == text
  again = Reader([Excerpt("a", text, True)], tokenizer)
  parts = []
  for _ in range(200):  # stopped and continued after every token
    other = Reader([Excerpt("a", text, True)], tokenizer)
    other.restore(*again.state())
    again = other
    parts.append([a[0, 0] for a in again.fill(1)])
  kept = [part for part in parts if part[3] >= 0]
  assert [part[1] for part in kept] == targets[position >= 0].tolist()
  assert again.counts == lane.counts


@pytest.mark.parametrize("name", NAMES)
def test_training_predicts_each_token_of_a_document_and_its_end(name, tmp_path):
  tokenizer = load(name)
  for i, text in enumerate(TEXTS[:3] * 8):
    (tmp_path / f"{i:02}.txt").write_bytes(text + b" %d" % i)
  corpus = data.prepare(str(tmp_path), data_dir=str(tmp_path / "data"))
  stream = data.TokenStream.from_corpus(corpus, tokenizer, "train")
  lanes = data.Lanes(stream, 1, len(stream.tokens) - 1, seed=0)
  batch = {key: value[0] for key, value in lanes[0].items() if key != "rows"}
  begins = np.flatnonzero(batch["reset"])
  assert len(begins) == stream.num_documents
  start = tokenizers.start_id(tokenizer)
  texts = []
  for begin, end in zip(begins, [*begins[1:], None], strict=True):
    tokens, targets, weights = (
      batch[k][begin:end] for k in ("tokens", "targets", "weights")
    )
    assert start is None or tokens[0] == start
    counted = targets[weights > 0]
    if end is not None:
      assert counted[-1] == tokenizer.eos_id
      # nothing of the next document is predicted but that this one ends
      assert len(counted) == len(tokens) - (start != tokenizer.eos_id)
    else:  # the last target is the last token
      tokens = np.r_[tokens, targets[-1:]]
    texts.append(tokenizer.decode(tokens))
  assert sorted(texts) == sorted(d.text for d in corpus.train)


@pytest.mark.parametrize("name", NAMES)
def test_dialogues_begin_as_documents_do(name):
  tokenizer = load(name)
  messages = [{"role": r, "content": r * 2} for r in ("user", "assistant", "user")]
  dialogue = chat.dialogue({"messages": messages})
  ids = np.concatenate([line.ids for line in chat.lines(dialogue, tokenizer)])
  start = tokenizers.start_ids(tokenizer)
  assert ids[: len(start)].tolist() == start
  text = b"user: useruser\nassistant: assistantassistant\nuser: useruser\n"
  assert tokenizer.decode(ids) == text
  prompt = chat.reply_prompt(dialogue, tokenizer)
  assert tokenizer.decode(prompt) == text + b"assistant:"
  assert prompt[: len(ids) - len(start)].tolist() == ids[len(start) :].tolist()


@pytest.mark.parametrize("name", NAMES)
def test_generation_begins_with_it_once_and_refuses_an_empty_beginning(name):
  tokenizer = load(name)
  lm, params = model(tokenizer.vocab_size)
  ids, start = tokenizer.encode(b"import this"), tokenizers.start_ids(tokenizer)
  texts = []
  for given in (b"import this", ids, np.r_[start, ids].astype(np.int32)):
    writer = Writer(lm, params, tokenizer, first_session(lm, 1))
    writer.read([given], seed=0)
    assert writer.length == len(start) + len(ids)
    chunks = [*writer.write(Sampling(temperature=0.0), 12)]
    texts.append(b"".join(chunk.text[0] for chunk in chunks))
  assert texts[0] == texts[1] == texts[2]
  stream = TextStream(Loaded(None, lm, params, tokenizer, 0))
  if start:
    assert "".join(stream.write(3, Sampling(temperature=0.0))) is not None
    assert 1 <= stream.length <= 4
  else:
    with pytest.raises(UserError, match="give a prompt"):
      stream.write(3)


def test_each_of_the_ids_that_end_a_text_ends_it():
  tokenizer = folder.load(FOLDERS / "llama3")
  lm, params = model(tokenizer.vocab_size)

  def written():
    writer = Writer(lm, params, tokenizer, first_session(lm, 2))
    writer.read([b"import", b"def main"], seed=0)
    chunks = [*writer.write(Sampling(temperature=0.0), 12, piece_size=5)]
    return [[int(t) for c in chunks for t in c.tokens[row]] for row in range(2)]

  free = written()
  at = next(i for i in range(2, 12) if free[0][i] not in free[0][:i])
  tokenizer.end_ids = (tokenizer.eos_id, free[0][at])
  cut = written()
  assert cut[0] == free[0][:at]
  ends = free[0][at]
  assert cut[1] == (free[1][: free[1].index(ends)] if ends in free[1] else free[1])


def test_the_score_of_a_text_counts_what_is_predicted():
  text = b"import this\nand that\n" * 3
  for name in NAMES:
    tokenizer = load(name)
    lm, params = model(tokenizer.vocab_size)
    loaded = Loaded(None, lm, params, tokenizer, 0)
    score = text_score.score(loaded, [text])
    inputs, targets = expected(tokenizer, text, True)
    logits, _ = lm.apply({"params": params}, jnp.array([inputs]), lm.init_state(1))
    logp = jax.nn.log_softmax(logits[0])[np.arange(len(targets)), targets]
    first = (
      0
      if tokenizers.start_ids(tokenizer)
      else len(tokenizer.decode(np.array(inputs[:1])))
    )
    assert score.num_bytes == len(text) - first
    assert score.num_tokens == len(targets)
    bits = -float(logp.sum()) / np.log(2)
    assert score.bits_per_byte == pytest.approx(bits / score.num_bytes, rel=1e-4)
  with pytest.raises(UserError, match="give a longer text"):
    text_score.score(loaded, ["x"])
  with pytest.raises(UserError, match="the tokenizer changes text 0"):
    text_score.score(loaded, ["e\u0301"])  # which Qwen composes
