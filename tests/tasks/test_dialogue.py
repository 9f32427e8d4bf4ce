"""Dialogues: which messages count, what a turn is, and what forgetting costs."""

import dataclasses
import hashlib
import json

import jax
import numpy as np
import pytest

from jaxmem import data
from jaxmem.core.errors import UserError
from jaxmem.models.lm import LM, LMConfig
from jaxmem.models.pattern import entry
from jaxmem.tasks.dialogue import chat, recall, transcript, turns
from jaxmem.tasks.dialogue.chat import Message
from jaxmem.tasks.dialogue.task import DialogueConfig, DialoguePredictor
from jaxmem.tokenizers import ByteTokenizer, trained
from jaxmem.training import run_task
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


def test_only_messages_that_the_assistant_learns_count():
  stream = chat.stream([chat.dialogue(RECORD)] * 2, BYTES)
  assert BYTES.decode(stream.tokens[stream.counted]) == b" Momo\n Momo\n"
  text = b"user: hi\nassistant: ok\nuser: who?\nassistant: Momo\n"
  assert BYTES.decode(stream.tokens[: stream.starts[1]]) == text
  assert stream.num_bytes == 12 and stream.starts.tolist() == [0, 51, 102]


def test_a_batch_weighs_the_targets_that_count():
  stream = chat.stream([chat.dialogue(RECORD)] * 8, BYTES)
  lanes = data.Lanes(stream, batch_size=2, segment_length=51, seed=0)
  batch = lanes[0]
  counted = batch["targets"][batch["weights"] > 0]
  assert BYTES.decode(counted) == b" Momo\n" * 2
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
def test_a_record_that_is_no_dialogue_is_reported_with_its_line(record, says, tmp_path):
  path = tmp_path / "chat.jsonl"
  path.write_text(json.dumps(RECORD) + "\n" + json.dumps(record) + "\n")
  with pytest.raises(data.DataError, match=f"line 2 is bad.*{says}"):
    chat.read(path)


def test_bytes_that_are_no_text_are_reported_with_their_line(tmp_path):
  path = tmp_path / "chat.jsonl"
  path.write_bytes(b'{"messages": "\xff"}\n')
  with pytest.raises(
    data.DataError, match="line 1 is bad: it is not UTF-8 at byte 14 of the file"
  ):
    chat.read(path)


def test_a_file_without_answers_or_no_file_is_refused(tmp_path):
  path = tmp_path / "chat.jsonl"
  path.write_text(json.dumps({"messages": RECORD["messages"][:2]}) + "\n")
  heldout_path = tmp_path / "other.jsonl"
  heldout_path.write_text(path.read_text().replace("hi", "hello"))
  for source, heldout in ((path, ""), (path, heldout_path)):
    changed = DialogueConfig(str(source), str(heldout), segment_length=16)
    config = resolve(dataclasses.replace(CONFIG, task=changed))
    with pytest.raises(data.DataError, match="one dialogue|no answer of the assistant"):
      run_task.make(config, LM(config.model))
  with pytest.raises(data.DataError, match="no file .*none.jsonl"):
    chat.read(tmp_path / "none.jsonl")


def test_every_question_is_answered_by_an_earlier_turn():
  for dialogue in recall.dialogues("train", facts=4, count=200):
    for i, message in enumerate(dialogue):
      if message.counts:
        noun = dialogue[i - 1].content.removeprefix("what is my ").split()[0]
        statements = [
          m.content for m in dialogue[: i - 1] if f"my {noun} is called" in m.content
        ]
        assert statements == [f"my {noun} is called {message.content}."]


def test_each_thing_is_asked_for_asks_times():
  for dialogue in recall.dialogues("train", facts=3, count=50, asks=2):
    questions = [m.content for m in dialogue if m.content.startswith("what is my")]
    nouns = {m.content.split()[1] for m in dialogue if "is called" in m.content}
    assert sorted(questions) == sorted([f"what is my {t} called?" for t in nouns] * 2)


def test_unbound_is_the_share_of_a_guess_counted_by_hand():
  def tell(noun, name):
    message = Message("user", f"my {noun} is called {name}.", False)
    return message, Message("assistant", "ok.", False)

  def ask(noun, name):
    message = Message("user", f"what is my {noun} called?", False)
    return message, Message("assistant", name, True)

  dialogue = tell("cat", "Momo") + tell("dog", "Ida")
  dialogue += ask("cat", "Momo") + ask("dog", "Ida")
  np.testing.assert_allclose(recall.unbound([dialogue]), (1 / 2 + 1) / 2)
  np.testing.assert_allclose(recall.unbound([dialogue], asks=2), 1 / 2)


def test_train_and_held_out_share_no_dialogue_whatever_the_seed():
  dialogues = [
    recall.dialogues(split, seed, facts=1, count=500)
    for split in recall.SPLITS
    for seed in (0, 1)
  ]
  train, heldout = set(dialogues[0] + dialogues[1]), set(dialogues[2] + dialogues[3])
  assert train and heldout and not train & heldout


class Parrot:
  """A model that predicts the tokens since the last reset, the latest one most."""

  def init_state(self, rows):
    return np.zeros((rows, 257), np.float32)

  def apply(self, params, tokens, state, reset):
    """Returns logits of decayed counts of the tokens since the last reset."""
    one_hot = jax.nn.one_hot(tokens, 257)

    def step(state, inputs):
      token, forget = inputs
      state = jax.numpy.where(forget[:, None], 0, state) * 0.5 + token
      return state, state

    state, logits = jax.lax.scan(step, state, (one_hot.swapaxes(0, 1), reset.T))
    return 50 * logits.swapaxes(0, 1), state


def test_ways_differ_after_the_first_turn():
  """Recent tokens are likelier, unless a reset followed them."""
  record = {
    "messages": [
      {"role": "user", "content": "x"},
      {"role": "assistant", "content": " "},
      {"role": "user", "content": "y"},
      {"role": "assistant", "content": " "},
    ]
  }
  listener = turns.Listener(Parrot(), length=8, rows=2)
  turns_by_way = listener.listen({}, [chat.dialogue(record)], BYTES)
  carried, reset = turns_by_way["carried"], turns_by_way["reset"]
  assert list(carried) == list(reset) == [1, 2]
  assert carried[1] == reset[1]  # nothing precedes the first turn
  assert carried[2].bits != reset[2].bits
  assert carried[1].num_bytes == 3 and turns.total(carried).answers == 2


def test_the_length_of_a_call_does_not_change_the_scores():
  model = resolve(CONFIG)
  program = runs.program(CONFIG)
  params = program.init().params
  dialogues = recall.dialogues("heldout", facts=2, count=40)[:5]
  scores = [
    turns.Listener(program.model, length, rows=4).listen(params, dialogues, BYTES)
    for length in (16, 64)
  ]
  short, long = (
    [t for way in f.values() for turn in way.values() for t in turn] for f in scores
  )
  np.testing.assert_allclose(short, long, rtol=1e-4)
  assert model.model.vocab_size == 320


def test_a_run_reports_by_turn_and_replies(tmp_path, capsys):
  from jaxmem.training.load import load_run
  from jaxmem.training.trainer import train

  config = dataclasses.replace(CONFIG.task, tokenizer="sp:320")
  assert train(dataclasses.replace(CONFIG, task=config), tmp_path / "run") == 0
  report = json.loads((tmp_path / "run" / "report.json").read_text())
  about = {"test_split", "chose_checkpoint", "equal_records"}
  scores = {"carried", "reset", "unbound", "compressors"}
  assert scores | about <= set(report)
  assert (
    report["carried"]["by_turn"]
    and "| name said, turns ago |" in capsys.readouterr().out
  )
  assert (tmp_path / "run" / "turns.png").stat().st_size > 1000
  run = load_run(tmp_path / "run")
  predict = DialoguePredictor(run.config.task, run.model, run.params, tmp_path / "run")
  record = {"messages": RECORD["messages"][:3]}
  predict.check(record)
  replies = predict([record, record])
  assert isinstance(replies[0]["reply"], str) and len(replies) == 2
  with pytest.raises(UserError, match="nothing is to be answered"):
    predict.check(RECORD)


def test_a_dialogue_to_be_answered_is_encoded_as_in_training():
  dialogue = chat.dialogue(RECORD)
  contents = [m.content.encode() for m in dialogue] * 9
  letters = " ".join(a + b for a in "abcdefgh" for b in "ijklmnop").encode()
  tokenizer = trained.make("sp:320", [*contents, letters])
  learned = chat.stream([dialogue], tokenizer)
  waiting = chat.reply_prompt(dialogue[:3], tokenizer)
  answer = tokenizer.encode(f" {dialogue[3].content}\n".encode())
  ids = np.concatenate([[tokenizer.eos_id], waiting, answer])
  np.testing.assert_array_equal(ids, learned.tokens[: len(ids)])
  assert learned.counted[len(ids) - 1] and not learned.counted[len(waiting)]


def test_a_name_is_the_same_piece_in_a_line_and_in_an_answer():
  dialogues = recall.dialogues("train", count=500)
  tokenizer = trained.make("sp:512", chat.text_lines(dialogues))
  momo = {"user": "my cat is called Momo.", "assistant": "Momo"}
  messages = tuple(Message(role, words, True) for role, words in momo.items())
  line_ids, answer_ids = (line.ids.tolist() for line in chat.lines(messages, tokenizer))
  name = [tokenizer.decode(np.array([i])) for i in answer_ids].index(b" Momo")
  assert line_ids.count(answer_ids[name]) == 1


def test_a_dialogue_longer_than_a_memory_is_one_bad_record(tmp_path):
  model = dataclasses.replace(CONFIG.model, pattern=(entry("attention", capacity=300),))
  config = resolve(dataclasses.replace(CONFIG, model=model))
  predict = DialoguePredictor(config.task, LM(config.model), {}, tmp_path)

  def record(content):
    return {"messages": [{"role": "user", "content": content}]}

  predict.check(record("who?"))
  with pytest.raises(UserError, match="holds 300 tokens"):
    predict.check(record("who? " * 20))


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
def test_unreadable_sources_are_reported_before_device_work(source, heldout, says):
  data_ = dataclasses.replace(CONFIG.task, source=source, heldout=heldout)
  with pytest.raises(UserError, match=says):
    config = resolve(dataclasses.replace(CONFIG, task=data_))
    run_task.make(config, LM(config.model))


def test_a_tokenizer_that_loses_text_is_refused(tmp_path):
  trained.keep(trained.make("words:300", [b"a b"]), tmp_path)
  lossy = str(tmp_path / "tokenizer.json")
  data_ = dataclasses.replace(CONFIG.task, tokenizer=lossy)
  with pytest.raises(UserError, match="loses text.*take byte, sp:N"):
    resolve(dataclasses.replace(CONFIG, task=data_))


def test_no_draw_has_changed_for_dialogues_without_talk():
  contents = [m.content for d in recall.dialogues("train", count=200) for m in d]
  digest = hashlib.sha256("\n".join(contents).encode()).hexdigest()
  assert digest[:16] == "cdf69b9f7b50cd90"


def test_talk_stands_in_a_row_between_a_fact_and_a_question():
  rows = []
  for dialogue in recall.dialogues("train", facts=2, count=300, talk=30):
    words = "".join("t" if recall.is_talk(m) else "-" for m in dialogue[::2])
    assert words.strip("t").count("-") >= 2
    rows.append(max(map(len, words.split("-"))))
  assert 20 < max(rows) <= 30 + 5 and min(rows) <= 2  # talk is drawn beside the row too
  short = sum(row < 6 for row in rows) / len(rows)
  assert 0.3 < short < 0.7


def _told_and_asked(talk):
  def exchange(content, answer, counts=False):
    return Message("user", content, False), Message("assistant", answer, counts)

  cat = exchange("what is my cat called?", "Momo", True)
  return (
    *exchange("my cat is called Momo.", "ok."),
    *exchange("my dog is called Ida.", "ok."),
    *(message for _ in range(talk) for message in exchange(recall.TALK[0], "ok.")),
    *cat,
    *exchange("what is my dog called?", "Ida", True),
    *cat,
  )


def test_a_delay_is_counted_from_the_turn_that_said_the_name_last():
  assert recall.delays(_told_and_asked(5)) == {8: 7, 9: 7, 10: 2}


def test_answers_are_summed_by_the_delay_of_their_names():
  dialogues = [_told_and_asked(5), _told_and_asked(1)]  # delays 7, 7, 2 and 3, 3, 2
  listener = turns.Listener(Parrot(), length=8, rows=2)
  answers = listener.answers({}, dialogues, BYTES, ("carried",))
  by_delay = transcript.by_delay(answers, dialogues)["carried"]
  assert {k: turn.answers for k, turn in by_delay.items()} == {2: 4, 4: 2}
  by_turn = listener.listen({}, dialogues, BYTES, ("carried",))["carried"]
  total, expected = turns.total(by_delay), turns.total(by_turn)
  assert total._replace(bits=0) == expected._replace(bits=0)
  np.testing.assert_allclose(total.bits, expected.bits)


def test_a_transcript_asks_with_the_dialogue_so_far_and_with_the_question_alone(
  monkeypatch,
):
  def answer_from_prompts(model, params, tokenizer, prompts):
    texts = [tokenizer.decode(prompt).decode() for prompt in prompts]
    assert all(text.endswith("called?\nassistant:") for text in texts)
    return ["Momo" if "is called Momo." in text else "Rolf" for text in texts]

  monkeypatch.setattr(transcript, "replies", answer_from_prompts)
  dialogues = [_told_and_asked(3), _told_and_asked(9), _told_and_asked(6)]
  dialogue, model = transcript.longest(dialogues), LM(CONFIG.model)
  assert dialogue == dialogues[1]
  lines = [line.strip() for line in transcript.lines(dialogue, model, {}, BYTES)]
  size = len(f"user: {recall.TALK[0]}\nassistant: ok.\n")
  assert lines[4] == f"... 9 turns of other talk, {9 * size:,} bytes ..."
  assert lines[5:8] == [
    "user: what is my cat called?",
    "assistant, memory carried: Momo",
    "assistant, memory emptied: Rolf   (wrong: Momo)",
  ]
  assert lines[9] == "assistant, memory carried: Momo   (wrong: Ida)"


@pytest.mark.full
def test_the_config_recall_remembers_and_without_memory_only_guesses(tmp_path):
  from jaxmem.commands.train import load_config
  from jaxmem.training.trainer import train

  assert train(load_config("recall"), tmp_path) == 0
  report = json.loads((tmp_path / "report.json").read_text())
  assert report["carried"]["exact"] > 0.9 > 0.15 > report["reset"]["exact"]
