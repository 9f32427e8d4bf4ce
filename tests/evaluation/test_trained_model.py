"""`jaxmem.load` returns a trained model of any kind."""

import inspect
import json
import math

import numpy as np
import pytest

import jaxmem
from guard import observed
from jaxmem import cli
from jaxmem.core.errors import DataError, UserError
from jaxmem.evaluation import load as doors
from jaxmem.generation.generate import Chunk
from jaxmem.generation.sampling import Sampling
from jaxmem.generation.session import SessionError
from jaxmem.models.capacity import CapacityError
from jaxmem.models.encoder import EncoderConfig
from jaxmem.models.loaded import Loaded
from jaxmem.models.pattern import entry
from jaxmem.tasks.retrieval.task import PassagesConfig
from jaxmem.training.config import DataConfig
from jaxmem.training.load import load_model
from support import gguf_files, runs

TEXT = "memory state lane token reset"
METHODS = {
  "generate": ("prompt", "generates no text"),
  "score": ("text", "scores no text"),
  "stream": ("prompt", "streams no text"),
  "conversation": ("state", "holds no conversation"),
  "encode": ("texts", "encodes no texts"),
  "predict": ("records", "answers no records"),
}


@pytest.fixture(scope="module")
def text_run(tmp_path_factory):
  return runs.first_checkpoint(tmp_path_factory.mktemp("text"), model=runs.SMALL)


@pytest.fixture(scope="module")
def reader(text_run):
  return jaxmem.load(str(text_run))


@pytest.fixture(scope="module")
def encoder(tmp_path_factory):
  directory = tmp_path_factory.mktemp("vectors")
  model = EncoderConfig(0, 8, pattern=(entry("gru"),), num_groups=1)
  task = PassagesConfig("none.jsonl", tokenizer="byte", segment_length=16, batch_size=8)
  return jaxmem.load(runs.first_checkpoint(directory, model=model, task=task))


@pytest.fixture(scope="module")
def speaker(tmp_path_factory):
  """Returns a run that learned dialogues."""
  return jaxmem.load(observed.unpacked("dialogue", tmp_path_factory.mktemp("talk")))


@pytest.fixture(scope="module")
def puzzle(tmp_path_factory):
  """Returns a run that no method of texts fits."""
  task = DataConfig("task:copy:vocab_size=8", segment_length=16, batch_size=8)
  directory = tmp_path_factory.mktemp("puzzle")
  return jaxmem.load(runs.first_checkpoint(directory, model=runs.SMALL, task=task))


def test_it_has_all_fields_of_a_loaded_language_model(text_run, reader):
  loaded = load_model(text_run)
  assert set(Loaded._fields) <= set(vars(reader))
  assert (reader.config, reader.step) == (loaded.config, loaded.step)
  assert reader.model == loaded.model and reader.tokenizer == loaded.tokenizer
  np.testing.assert_array_equal(reader.params["embedding"], loaded.params["embedding"])


def test_one_prompt_gives_a_text_and_several_give_a_list(reader):
  prompts = [b"memory", b"lane"]
  expected = jaxmem.generate(
    reader.model, reader.params, reader.tokenizer, prompts, max_tokens=8, seed=3
  )
  assert reader.generate(prompts, max_tokens=8, seed=3) == expected
  assert reader.generate(b"memory", max_tokens=8, seed=3) == expected[0]
  as_text = expected[0].decode(errors="replace")
  assert reader.generate("memory", max_tokens=8, seed=3) == as_text
  assert reader.generate([]) == []
  with pytest.raises(UserError, match="half of a surrogate pair"):
    reader.generate("\ud800")


def test_a_score_is_that_of_the_eval_command(text_run, reader, tmp_path, capsys):
  text, out = tmp_path / "a.txt", tmp_path / "out.json"
  text.write_text(TEXT)
  flags = ["--workdir", str(text_run), "--text", str(text), "--out", str(out)]
  assert cli.run(["eval", *flags, "--length", "32"]) == 0
  numbers = json.loads(out.read_text())
  score = reader.score(TEXT)
  assert score.bits_per_byte == pytest.approx(numbers["bits_per_byte"]["carried"])
  assert (score.num_bytes, score.num_tokens) == (numbers["bytes"], numbers["tokens"])
  bits = score.bits_per_byte * score.num_bytes / score.num_tokens
  assert score.perplexity == pytest.approx(2**bits)
  twice = reader.score([TEXT.encode(), TEXT])
  assert twice.num_bytes == 2 * score.num_bytes
  assert twice.bits_per_byte == pytest.approx(score.bits_per_byte)
  with pytest.raises(UserError, match="the text is empty"):
    reader.score("")


def test_a_stream_carries_its_memory(reader, tmp_path):
  """A stream writes the text of `generate`, and a saved stream continues alike."""
  greedy = Sampling(temperature=0.0)
  stream = reader.stream("memory")
  first = "".join(stream.write(20, greedy))
  assert first == reader.generate("memory", 20, greedy)
  stream.read(" and then")
  assert stream.length == 1 + len(b"memory") + 20 + len(b" and then")
  stream.save(tmp_path / "a.state")
  resumed = reader.stream(state=str(tmp_path / "a.state"))
  assert resumed.length == stream.length
  assert [*resumed.write(8, greedy)] == [*stream.write(8, greedy)]
  assert "".join(reader.stream().write(4)) == reader.generate("", 4)


def test_a_stream_does_not_split_characters(reader, monkeypatch):
  chunks = [Chunk([text], [False]) for text in (b"a\xe2", b"\x82\xac", b"b\xff")]
  stream = reader.stream("memory")
  monkeypatch.setattr(stream._writer, "write", lambda *_: iter(chunks))
  assert [*stream.write()] == ["a", "€", "b�"]


def test_a_session_of_two_texts_is_no_stream(text_run, reader, tmp_path, capsysbinary):
  state = str(tmp_path / "two.state")
  flags = ["--workdir", str(text_run), "--max-tokens", "1", "--save-state", state]
  assert cli.run(["generate", *flags, "--prompt", "a", "--prompt", "b"]) == 0
  with pytest.raises(SessionError, match="holds 2 texts, and a stream is one"):
    reader.stream(state=state)


def test_a_conversation_replies_as_predict_does(speaker, tmp_path):
  """Messages that are read one by one, or from a saved state on, get its reply."""
  told = [("user", "my cat is called Anna."), ("assistant", "I see.")]
  asked = ("user", "what is my cat called?")
  record = [{"role": role, "content": content} for role, content in [*told, asked]]
  expected = speaker.predict({"messages": record})["reply"]
  talk = speaker.conversation()
  for message in told:
    talk.read(*message)
  talk.save(tmp_path / "told.state")
  length = talk.length
  talk.read(*asked)
  assert talk.reply() == expected
  resumed = speaker.conversation(tmp_path / "told.state")
  assert resumed.length == length
  resumed.read(*asked)
  assert resumed.reply() == expected and resumed.length == talk.length
  # the reply and the end of its line are part of what is read next
  talk.read(*asked)
  record += [{"role": "assistant", "content": expected}, record[-1]]
  assert talk.reply() == speaker.predict({"messages": record})["reply"]
  assert "use m.conversation() or m.predict(records)" in repr(speaker)


def test_a_message_that_is_no_text_changes_no_conversation(speaker, reader, tmp_path):
  talk = speaker.conversation()
  talk.read("user", "hi")
  length = talk.length
  for role, content in [("user", ""), ("a:b", "hi"), ("user", "\ud800")]:
    with pytest.raises(DataError):
      talk.read(role, content)
  assert talk.length == length
  reader.stream("memory").save(tmp_path / "other.state")
  with pytest.raises(SessionError, match="was saved with"):
    speaker.conversation(tmp_path / "other.state")


def test_texts_have_vectors(encoder):
  vectors = encoder.encode(["memory state", "lane"])
  assert vectors.shape == (2, 8)
  np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, rtol=1e-5)
  np.testing.assert_allclose(encoder.encode("lane"), vectors[1], atol=1e-6)


def test_records_have_answers(encoder):
  records = [{"text": f"lane {i}"} for i in range(17)]
  answers = encoder.predict(records)
  vectors = encoder.encode([record["text"] for record in records])
  np.testing.assert_allclose([a["vector"] for a in answers], vectors, atol=1e-5)
  assert encoder.predict(records[3]) == answers[3] and encoder.predict([]) == []
  with pytest.raises(UserError, match='^record 1: "text" is 5'):
    encoder.predict([records[0], {"text": 5}])


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("model", ["reader", "encoder", "puzzle"])
def test_a_method_that_does_not_fit_names_those_that_do(model, method, request):
  kind, fits = {
    "reader": ("language_modeling", ["generate", "score", "stream"]),
    "encoder": ("retrieval", ["encode", "predict"]),
    "puzzle": ("synthetic", []),
  }[model]
  loaded, (argument, cannot) = request.getfixturevalue(model), METHODS[method]
  assert [*inspect.signature(getattr(loaded, method)).parameters][0] == argument
  if method in fits:
    return
  with pytest.raises(UserError) as error:
    getattr(loaded, method)({"text": "lane"} if method == "predict" else "lane")
  says = str(error.value)
  assert says.startswith(f"the {kind} run in {loaded.workdir} {cannot}: ")
  assert all(f"m.{fit}({METHODS[fit][0]})" in says for fit in fits)
  assert fits or says.endswith("apply m.model to m.params")
  assert str(loaded.workdir) in repr(loaded) and "array" not in repr(loaded)


def test_models_that_do_not_exist_are_reported():
  with pytest.raises(UserError, match="no checkpoint of a run in nowhere"):
    jaxmem.load("nowhere")
  with pytest.raises(UserError, match="memory 'window' is for a pretrained model"):
    jaxmem.load("nowhere", memory="window")
  with pytest.raises(UserError, match="read with attention or with window"):
    jaxmem.load("smollm2", memory="gru")


@pytest.fixture(scope="module")
def gguf_file(tmp_path_factory):
  pytest.importorskip("gguf", reason="needs the package gguf")
  return gguf_files.write(tmp_path_factory.mktemp("gguf") / "a.gguf", "llama")


def test_a_gguf_file_is_a_language_model(gguf_file):
  m = jaxmem.load(gguf_file)
  short = jaxmem.load(gguf_file, memory="window:window_size=64", dtype="bfloat16")

  text = m.generate("a lane", 4, Sampling(0.0))
  assert text and text == "".join(m.stream("a lane").write(4, Sampling(0.0)))
  assert math.isfinite(m.score("some words.").bits_per_byte)
  assert "window:" in str(short.model.config.pattern[0])
  assert short.params["embedding"].dtype == "bfloat16"
  with pytest.raises(UserError, match="^the language model .*gguf answers no records"):
    m.predict([])
  # the model allows 64 tokens
  with pytest.raises(CapacityError, match="holds 64 tokens.*--memory attention:cap"):
    m.generate("a lane", 64)
  longer = jaxmem.load(gguf_file, memory="attention:capacity=100")
  assert len(longer.generate("a lane", 64, Sampling(0.0))) > len(text)


@pytest.mark.needs("weights")
def test_the_packaged_encoder_encodes():
  from jaxmem.tasks.retrieval import embed

  m = jaxmem.load("minilm")
  np.testing.assert_array_equal(m.encode(["a cat"]), embed.minilm()(["a cat"]))
  assert doors.minilm().name == m.name
  with pytest.raises(UserError, match=r"^the encoder minilm generates no text: use m"):
    m.generate("a cat")
