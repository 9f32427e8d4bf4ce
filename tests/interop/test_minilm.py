"""The packaged BERT: transformers' embeddings, in and out, and what is said if not."""

import json

import jax
import numpy as np
import pytest

from jaxmem import tokenizers
from jaxmem.data import DataError, texts
from jaxmem.interop import minilm
from jaxmem.models.encoder import EncoderConfig
from jaxmem.models.pattern import entry
from jaxmem.tasks.classification.model import Classifier
from jaxmem.tasks.retrieval.model import TextEmbedder
from jaxmem.training import init_from
from parity.minilm import GOLDEN, TEXTS

pytestmark = pytest.mark.needs("weights")


@pytest.fixture(scope="module")
def params():
  return minilm.read()


def _batch(sentences, length):
  tokenizer = tokenizers.get("minilm")
  return texts.batch(
    [[tokenizer.encode(t.encode())] for t in sentences], tokenizer, length
  )


def test_sentence_embeddings_are_those_of_transformers(params):
  """They agree to 1e-4, alone or beside longer texts; 4e-7 was measured."""
  golden = np.load(GOLDEN)
  batch = _batch(TEXTS, 320)
  for i in range(len(TEXTS)):
    ids = golden[f"ids_{i}"]
    np.testing.assert_array_equal(batch["tokens"][i, : batch["length"][i]], ids)
  model = TextEmbedder(minilm.config())
  embed = jax.jit(lambda p, b: model.apply({"params": p}, b, method="embed"))
  vectors = embed(params, {k: batch[k] for k in ("tokens", "types", "length")})
  expected = np.stack([golden[f"vector_{i}"] for i in range(len(TEXTS))])
  np.testing.assert_allclose(vectors, expected, rtol=0, atol=1e-4)
  assert np.abs(expected @ expected.T - np.eye(len(TEXTS))).max() > 0.1  # no constant


def test_what_was_read_is_written_bit_for_bit(params, tmp_path):
  minilm.write(params, minilm.config(), tmp_path)
  again = minilm.read(str(tmp_path))
  assert minilm.config(str(tmp_path)).pattern == minilm.config().pattern
  jax.tree.map(np.testing.assert_array_equal, params, again)


def test_a_run_begins_from_the_weights_and_keeps_its_own_head(params):
  model = Classifier(minilm.config(), classes=3)
  example = model.example(2, 8)
  fresh = jax.eval_shape(
    lambda: model.init(jax.random.key(0), example, (), method="objective")["params"]
  )
  zeros = jax.tree.map(lambda a: np.zeros(a.shape, a.dtype), fresh)
  from flax import linen as nn

  merged, taken = init_from._merged(nn.unbox(zeros), init_from.parameters("minilm"))
  assert taken == len(jax.tree.leaves(params))
  assert not merged["head"]["kernel"].any() and merged["embedding"].any()


def test_what_is_no_bert_is_refused(params, tmp_path):
  plain = EncoderConfig(vocab_size=30, d_model=8, pattern=(entry("gru"),))
  with pytest.raises(DataError, match="is no BERT"):
    minilm.to_bert(plain, {})
  with pytest.raises(DataError, match="give a BERT's folder"):
    minilm.config(str(tmp_path))
  (tmp_path / "config.json").write_text(json.dumps({"model_type": "gpt2"}))
  with pytest.raises(DataError, match="model_type is 'gpt2'"):
    minilm.config(str(tmp_path))
  with pytest.raises(DataError, match="no embeddings"):
    minilm.from_bert(minilm.config(), {})
  with pytest.raises(ValueError, match="did you mean 'minilm'"):
    tokenizers.get("minilmm")


def test_text_that_spells_a_mark_is_text():
  tokenizer = tokenizers.get("minilm")
  ids = tokenizer.encode(b"[SEP] [CLS] [MASK] word")
  assert not {tokenizer.cls_id, tokenizer.eos_id, tokenizer.mask_id} & {*ids.tolist()}
  assert tokenizer.decode(tokenizer.encode(b"Caf\xc3\xa9 au lait")) == b"cafe au lait"
