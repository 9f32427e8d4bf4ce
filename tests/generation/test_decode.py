"""The decoding loop equals one in Python: ends, limits, and what was read."""

import jax
import jax.numpy as jnp
import numpy as np

from jaxmem.generation import beam, decode
from jaxmem.generation.sampling import Sampling

ROWS, VOCAB, LENGTH, EOS = 6, 5, 9, 0
TABLE = np.random.default_rng(0).normal(size=(ROWS, VOCAB, VOCAB)).astype(np.float32)
FIRST = TABLE[:, EOS] - 9 * (np.arange(VOCAB) == EOS)
GREEDY = Sampling(temperature=0.0)


def step(token, state):
  """Returns logits by the last token; the state counts tokens other than EOS."""
  table, count = state
  logits = jax.vmap(lambda row_table, last: row_table[last])(table, token)
  return logits, (table, count + (token != EOS).astype(jnp.int32))


STATE = jnp.asarray(TABLE), jnp.zeros(ROWS, jnp.int32)


def text(row, limit):
  """Returns the likeliest tokens."""
  tokens, logits = [], FIRST[row]
  while len(tokens) < limit and logits.argmax() != EOS:
    tokens.append(int(logits.argmax()))
    logits = TABLE[row, tokens[-1]]
  return tokens


def test_rows_end_at_eos_or_at_their_limit():
  limit = np.array([9, 0, 1, 2, 9, 3])
  texts = [text(row, limit[row]) for row in range(ROWS)]
  sizes = [len(tokens) for tokens in texts]
  assert any(0 < a < b for a, b in zip(sizes, limit, strict=True))  # EOS tokens
  assert any(0 < a == b for a, b in zip(sizes, limit, strict=True))  # and limits
  drawn, (_, read) = decode.continue_rows(
    step,
    jnp.asarray(FIRST),
    STATE,
    jnp.zeros((ROWS, 2), jnp.uint32),
    GREEDY,
    eos_id=EOS,
    length=LENGTH,
    vocab_size=VOCAB,
    limit=jnp.asarray(limit),
    seen=jnp.zeros((ROWS, VOCAB), bool),
    position=jnp.zeros(ROWS, jnp.int32),
  )
  padded = [tokens + [EOS] * (LENGTH - len(tokens)) for tokens in texts]
  assert drawn.tokens.tolist() == padded
  assert drawn.count.tolist() == read.tolist() == sizes
  for row, tokens in enumerate(texts):
    assert set(np.flatnonzero(drawn.seen[row])) == set(tokens)


def test_greedy_samples_are_the_texts_of_a_beam_of_one():
  sizes = dict(eos_id=EOS, length=LENGTH)
  keys = jnp.zeros((ROWS, 2), jnp.uint32)
  drawn = decode.sample(step, jnp.asarray(FIRST), STATE, keys, GREEDY, **sizes)
  beams = beam.search(step, jnp.asarray(FIRST), STATE, beams=1, alpha=0.0, **sizes)
  np.testing.assert_array_equal(drawn, beams.tokens[:, 0])
