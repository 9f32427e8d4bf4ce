"""Beam search equals an exhaustive one, a greedy one, and itself a row at a time."""

import functools
import itertools

import jax
import numpy as np
import pytest

from jaxmem.generation import beam

VOCAB, LENGTH, EOS = 4, 4, 0


def model(seed):
  """Draws logits that depend on the last two tokens and the row."""
  draw = np.random.default_rng(seed)
  table = 2 * draw.normal(size=(3, VOCAB + 1, VOCAB, VOCAB)).astype(np.float32)
  return table[:, VOCAB, 0], (table, np.zeros(3, np.int32)), table


def step(tokens, state):
  """Reads the table of logits from the state, so that one program serves all models."""
  table, last = state
  logits = jax.vmap(lambda row_table, last, token: row_table[last, token])(
    table, last, tokens
  )
  return logits, (table, tokens)


def exhaustive(table, row, alpha):
  """Returns every text of at most LENGTH tokens with its score, the best first."""
  texts = []
  for size in range(LENGTH + 1):
    for text in itertools.product(range(1, VOCAB), repeat=size):
      tokens = [*text, EOS][:LENGTH]
      past, last, logp = VOCAB, 0, 0.0
      for token in tokens:
        logits = table[row, past, last]
        logp += logits[token] - np.log(np.exp(logits).sum())
        past, last = last, token
      texts.append((logp / beam.penalty(len(tokens), alpha), text))
  return sorted(texts, reverse=True)


@functools.partial(jax.jit, static_argnums=(2, 3))
def run(logits, state, beams, alpha):
  options = dict(eos_id=EOS, length=LENGTH)
  return beam.search(step, logits, state, beams=beams, alpha=alpha, **options)


@pytest.mark.parametrize("alpha", [0.0, 1.0, 3.0])
@pytest.mark.parametrize("seed", range(3))
def test_a_beam_as_wide_as_all_texts_finds_the_best(seed, alpha):
  logits, state, table = model(seed)
  beams = run(logits, state, 60, alpha)
  for row in range(3):
    best = exhaustive(table, row, alpha)[:5]
    for rank, (score, text) in enumerate(best):
      size = int(beams.length[row, rank])
      assert tuple(beams.tokens[row, rank, :size].tolist()) == text
      np.testing.assert_allclose(beams.score[row, rank], score, rtol=1e-4)


@pytest.mark.parametrize("beams", [1, 2, 3])
def test_a_row_of_a_batch_equals_the_row_alone(beams):
  logits, state, _ = model(5)
  together = run(logits, state, beams, 1.0)
  for row in range(3):

    def one(a, row=row):
      return a[row : row + 1]

    alone = run(one(logits), jax.tree.map(one, state), beams, 1.0)
    for a, b in zip(together, alone, strict=True):
      np.testing.assert_array_equal(one(a), b)


def test_one_beam_without_penalty_is_greedy():
  logits, state, table = model(7)
  beams = run(logits, state, 1, 0.0)
  for row in range(3):
    past, last, text, logp = VOCAB, 0, [], 0.0
    while len(text) < LENGTH:
      row_logits = table[row, past, last]
      token = int(row_logits.argmax())
      logp += row_logits[token] - np.log(np.exp(row_logits).sum())
      past, last = last, token
      if token == EOS:
        break
      text.append(token)
    np.testing.assert_allclose(beams.score[row, 0], logp, rtol=1e-5)
    size = int(beams.length[row, 0])
    assert beams.tokens[row, 0, :size].tolist() == text


def test_a_stronger_penalty_writes_longer_texts():
  means = []
  for alpha in (0.0, 1.0, 4.0):
    lengths = []
    for seed in range(5):
      logits, state, _ = model(seed)
      lengths += run(logits, state, 20, alpha).length[:, 0].tolist()
    means.append(np.mean(lengths))
  assert means[0] < means[1] < means[2], means


def test_a_row_without_enough_texts_says_so_by_its_score():
  logits, state, table = model(0)
  beams = run(logits, state, 200, 1.0)
  count = len(exhaustive(table, 0, 1.0))
  assert (beams.score[0, :count] > beam.NEVER / 2).all()
  assert (beams.score[0, count:] == beam.NEVER).all()


def test_numbers_out_of_range_are_refused():
  logits, state, _ = model(0)
  with pytest.raises(ValueError, match="beams is 0"):
    run(logits, state, 0, 1.0)
