"""Dialogues: who counts, what a turn is, and that a forgotten turn costs its answer."""

import dataclasses
import json

import jax
import numpy as np
import pytest

from jaxmem import data
from jaxmem.core.errors import UserError
from jaxmem.models.lm import LM, LMConfig
from jaxmem.models.pattern import entry
from jaxmem.tasks.dialogue import chat, recall, turns
from jaxmem.tasks.dialogue.chat import Message
from jaxmem.tasks.dialogue.task import DialogueConfig, DialoguePredictor
from jaxmem.tokenizers import ByteTokenizer, trained
from jaxmem.training import task
from jaxmem.training.config import Config, OptimConfig
from jaxmem.training.step import resolve
from support import runs

BYTES = ByteTokenizer()
RECORD = {
  "messages": [
    {"role": "user", "content": "hi"},
    {"role": "assistant", "content": "ok", "weight": 0},
    {"role": "user", "content": "who?"},
    {"role": "assistant", "content": "Momo"},
  ]
}
CONFIG = Config(
  model=LMConfig(0, 16, 32, (entry("gru"),)),
  task=DialogueConfig(
    source="recall:facts=2:count=64", segment_length=16, batch_size=8
  ),
  optim=OptimConfig(warmup_steps=1),
  steps=2,
  eval_bytes=64,
)


def test_only_what_the_assistant_has_to_say_counts():
  stream = chat.stream([chat.dialogue(RECORD)] * 2, BYTES)
  assert BYTES.decode(stream.tokens[stream.counted]) == b" Momo\n Momo\n"
  whole = b"user: hi\nassistant: ok\nuser: who?\nassistant: Momo\n"
  assert BYTES.decode(stream.tokens[: stream.starts[1]]) == whole
  assert stream.num_bytes == 12 and stream.starts.tolist() == [0, 51, 102]


def test_a_batch_weighs_the_targets_that_count():
  stream = chat.stream([chat.dialogue(RECORD)] * 8, BYTES)
  lanes = data.Lanes(stream, batch_size=2, segment_length=51, seed=0)
  batch = lanes[0]
  said = batch["targets"][batch["weights"] > 0]
  assert BYTES.decode(said) == b" Momo\n" * 2
  assert batch["reset"].sum() == 2 and batch["weights"].sum() == 12


@pytest.mark.parametrize(
  "record, says",
  [
    ({}, "no list"),
    ({"messages": []}, "no list"),
    ({"messages": [{"role": "user"}]}, "message 0 has no texts"),
    ({"messages": [{"role": "user", "content": ""}]}, "empty"),
    ({"messages": [{"role": "a:b", "content": "a"}]}, "a colon ends a role"),
    ({"messages": [{"role": "a", "content": [{"type": "image_url"}]}]}, "'image_url'"),
    (
      {"messages": [{"role": "a", "content": [{"type": "text"}]}]},
      "part 0 has no text",
    ),
    ({"messages": [{"role": "a", "tool_calls": [1]}]}, "message 0 calls a tool"),
    ({"conversations": [{"from": "human"}]}, 'no texts "from" and "value"'),
    ({"messages": [{"role": "user", "content": "a", "weight": 2}]}, "weight 2"),
    ({"messages": [{"role": "user", "content": "\ud800"}]}, "surrogate"),
  ],
)
def test_what_is_no_dialogue_is_said_with_its_line(record, says, tmp_path):
  path = tmp_path / "chat.jsonl"
  path.write_text(json.dumps(RECORD) + "\n" + json.dumps(record) + "\n")
  with pytest.raises(data.DataError, match=f"line 2 is bad.*{says}"):
    chat.read(path)


def test_bytes_that_are_no_text_are_said_with_their_line(tmp_path):
  path = tmp_path / "chat.jsonl"
  path.write_bytes(b'{"messages": "\xff"}\n')
  with pytest.raises(
    data.DataError, match="line 1 is bad: it is not UTF-8 at byte 14 of the file"
  ):
    chat.read(path)


def test_a_file_without_answers_or_no_file_is_refused(tmp_path):
  path = tmp_path / "chat.jsonl"
  path.write_text(json.dumps({"messages": RECORD["messages"][:2]}) + "\n")
  other = tmp_path / "other.jsonl"
  other.write_text(path.read_text().replace("hi", "hello"))
  for source, heldout in ((path, ""), (path, other)):
    changed = DialogueConfig(str(source), str(heldout), segment_length=16)
    config = resolve(dataclasses.replace(CONFIG, task=changed))
    with pytest.raises(data.DataError, match="one dialogue|no answer of the assistant"):
      task.make(config, LM(config.model))
  with pytest.raises(data.DataError, match="no file .*none.jsonl"):
    chat.read(tmp_path / "none.jsonl")


def test_every_question_is_answered_by_an_earlier_turn():
  for one in recall.dialogues("train", facts=4, count=200):
    for i, message in enumerate(one):
      if message.counts:
        thing = one[i - 1].content.removeprefix("what is my ").split()[0]
        told = [m.content for m in one[: i - 1] if f"my {thing} is called" in m.content]
        assert told == [f"my {thing} is called {message.content}."]


def test_each_thing_is_asked_as_often_as_wanted():
  for one in recall.dialogues("train", facts=3, count=50, asks=2):
    asked = [m.content for m in one if m.content.startswith("what is my")]
    told = {m.content.split()[1] for m in one if "is called" in m.content}
    assert sorted(asked) == sorted([f"what is my {t} called?" for t in told] * 2)


def test_a_guess_among_the_names_told_by_hand():
  tell = lambda thing, name: [
    Message("user", f"my {thing} is called {name}.", False),
    Message("assistant", "ok.", False),
  ]
  ask = lambda thing, name: [
    Message("user", f"what is my {thing} called?", False),
    Message("assistant", name, True),
  ]
  one = (*tell("cat", "Momo"), *tell("dog", "Ida"), *ask("cat", "Momo"))
  one += (*ask("dog", "Ida"),)
  np.testing.assert_allclose(recall.unbound([one]), (1 / 2 + 1) / 2)
  np.testing.assert_allclose(recall.unbound([one], asks=2), 1 / 2)


def test_train_and_held_out_share_no_dialogue_whatever_the_seed():
  drawn = [
    recall.dialogues(split, seed, facts=1, count=500)
    for split in recall.SPLITS
    for seed in (0, 1)
  ]
  train, heldout = set(drawn[0] + drawn[1]), set(drawn[2] + drawn[3])
  assert train and heldout and not train & heldout


class Parrot:
  """A model that knows the last name it read since the last reset, and no other."""

  def init_state(self, rows):
    return np.zeros((rows, 257), np.float32)

  def apply(self, params, tokens, state, reset):
    """Logits for a token seen before, the last one most: enough to tell ways apart."""
    seen = jax.nn.one_hot(tokens, 257)

    def step(state, now):
      token, forget = now
      state = jax.numpy.where(forget[:, None], 0, state) * 0.5 + token
      return state, state

    swap = lambda a: jax.numpy.swapaxes(a, 0, 1)
    state, logits = jax.lax.scan(step, state, (swap(seen), swap(reset)))
    return 50 * swap(logits), state


def test_ways_differ_by_what_is_read_between_turns():
  """What was read lately is likelier, unless it was before a reset."""
  record = {
    "messages": [
      {"role": "user", "content": "x"},
      {"role": "assistant", "content": " "},
      {"role": "user", "content": "y"},
      {"role": "assistant", "content": " "},
    ]
  }
  listener = turns.Listener(Parrot(), length=8, rows=2)
  found = listener.listen({}, [chat.dialogue(record)], BYTES)
  carried, reset = found["carried"], found["reset"]
  assert list(carried) == list(reset) == [1, 2]
  assert carried[1] == reset[1]  # nothing stands before the first turn
  assert carried[2].bits != reset[2].bits
  assert carried[1].num_bytes == 3 and turns.total(carried).answers == 2


def test_cuts_do_not_change_what_is_found():
  model = resolve(CONFIG)
  program = runs.program(CONFIG)
  params = program.init().params
  some = recall.dialogues("heldout", facts=2, count=40)[:5]
  found = [
    turns.Listener(program.model, length, rows=4).listen(params, some, BYTES)
    for length in (16, 64)
  ]
  one, other = (
    [t for way in f.values() for turn in way.values() for t in turn] for f in found
  )
  np.testing.assert_allclose(one, other, rtol=1e-4)
  assert model.model.vocab_size == 320


def test_a_run_reports_by_turn_and_replies(tmp_path, capsys):
  from jaxmem.training.load import load_run
  from jaxmem.training.trainer import train

  own = dataclasses.replace(CONFIG.task, tokenizer="sp:320")
  assert train(dataclasses.replace(CONFIG, task=own), tmp_path / "run") == 0
  report = json.loads((tmp_path / "run" / "report.json").read_text())
  about = {"test_split", "chose_checkpoint", "equal_records"}
  scores = {"carried", "reset", "unbound", "compressors"}
  assert scores | about <= set(report)
  assert report["carried"]["by_turn"] and "| turn |" in capsys.readouterr().out
  assert (tmp_path / "run" / "turns.png").stat().st_size > 1000
  run = load_run(tmp_path / "run")
  predict = DialoguePredictor(run.config.task, run.model, run.params, tmp_path / "run")
  record = {"messages": RECORD["messages"][:3]}
  predict.check(record)
  both = predict([record, record])
  assert isinstance(both[0]["reply"], str) and len(both) == 2
  with pytest.raises(UserError, match="nothing is to be answered"):
    predict.check(RECORD)


def test_a_dialogue_that_waits_is_read_as_it_was_learned():
  one = chat.dialogue(RECORD)
  said = [m.content.encode() for m in one] * 9
  letters = " ".join(a + b for a in "abcdefgh" for b in "ijklmnop").encode()
  tokenizer = trained.make("sp:320", [*said, letters])
  learned = chat.stream([one], tokenizer)
  waiting = chat.waiting(one[:3], tokenizer)
  answer = tokenizer.encode(f" {one[3].content}\n".encode())
  whole = np.concatenate([[tokenizer.eos_id], waiting, answer])
  np.testing.assert_array_equal(whole, learned.tokens[: len(whole)])
  assert learned.counted[len(whole) - 1] and not learned.counted[len(waiting)]


def test_a_name_is_the_same_piece_told_and_answered():
  some = recall.dialogues("train", count=500)
  tokenizer = trained.make("sp:512", chat.written(some))
  momo = {"user": "my cat is called Momo.", "assistant": "Momo"}
  one = tuple(Message(role, words, True) for role, words in momo.items())
  told, answered = (line.ids.tolist() for line in chat.lines(one, tokenizer))
  name = [tokenizer.decode(np.array([i])) for i in answered].index(b" Momo")
  assert told.count(answered[name]) == 1


def test_a_dialogue_longer_than_a_memory_is_one_bad_record(tmp_path):
  model = dataclasses.replace(CONFIG.model, pattern=(entry("attention", capacity=300),))
  config = resolve(dataclasses.replace(CONFIG, model=model))
  predict = DialoguePredictor(config.task, LM(config.model), {}, tmp_path)
  asked = lambda words: {"messages": [{"role": "user", "content": words}]}
  predict.check(asked("who?"))
  with pytest.raises(UserError, match="holds 300 tokens"):
    predict.check(asked("who? " * 20))


@pytest.mark.parametrize(
  "source, heldout, says",
  [
    ("recall:fact=2", "", "did you mean 'facts'"),
    ("recall:facts=0", "", "facts is 0"),
    ("recall:asks=0", "", "asks is 0"),
    ("recall:count=1", "", "no answer of the assistant"),
    ("recall", "x.jsonl", "generated dialogues have it"),
    ("nowhere.jsonl", "", "no file 'nowhere.jsonl': give JSONL"),
  ],
)
def test_what_cannot_be_read_is_said_before_device_work(source, heldout, says):
  data_ = dataclasses.replace(CONFIG.task, source=source, heldout=heldout)
  with pytest.raises(UserError, match=says):
    config = resolve(dataclasses.replace(CONFIG, task=data_))
    task.make(config, LM(config.model))


def test_a_tokenizer_that_loses_text_is_refused(tmp_path):
  trained.keep(trained.make("words:300", [b"a b"]), tmp_path)
  lossy = str(tmp_path / "tokenizer.json")
  data_ = dataclasses.replace(CONFIG.task, tokenizer=lossy)
  with pytest.raises(UserError, match="loses text.*take byte, sp:N"):
    resolve(dataclasses.replace(CONFIG, task=data_))
