"""Sampling filters draw what they should, and stops cut the text where they should."""

import jax.numpy as jnp
import numpy as np
import pytest

from jaxmem.generation.sampling import (
  Cutter,
  Sampling,
  SamplingError,
  penalize,
  restrict,
)


def _plainly(logits, how):
  """Computes in NumPy, row by row, which tokens remain."""
  stay = np.zeros(logits.shape, bool)
  for row, keep in zip(logits.astype(np.float64), stay, strict=True):
    order = np.argsort(-row, kind="stable")[: how.top_k or len(row)]
    p = np.exp(row[order] - row.max())
    p /= p.sum()
    reach = np.concatenate([[0], np.cumsum(p)[:-1]]) < how.top_p
    keep[order[reach & (p >= how.min_p * p[0])]] = True
  return stay


@pytest.mark.parametrize(
  "how",
  [
    Sampling(),
    Sampling(top_k=1),
    Sampling(top_k=5),
    Sampling(top_k=999),
    Sampling(top_p=0.6),
    Sampling(top_p=1e-6),
    Sampling(min_p=0.1),
    Sampling(min_p=1.0),
    Sampling(top_k=9, top_p=0.7, min_p=0.05),
  ],
)
def test_filters_equal_plain_numpy(how):
  logits = np.random.default_rng(0).normal(size=(6, 31), scale=2).astype(np.float32)

  filtered = np.asarray(restrict(jnp.asarray(logits), how))

  np.testing.assert_array_equal(np.isfinite(filtered), _plainly(logits, how))
  np.testing.assert_array_equal(
    filtered[np.isfinite(filtered)], logits[np.isfinite(filtered)]
  )


def test_penalty_makes_seen_tokens_less_likely_whatever_their_sign():
  logits = jnp.array([[2.0, -2.0, 2.0, -2.0]])
  in_text = jnp.array([[True, True, False, False]])
  assert penalize(logits, in_text, 2.0).tolist() == [[1.0, -4.0, 2.0, -2.0]]


@pytest.mark.parametrize("size", [1, 2, 5, 100])
def test_cutter_cuts_bytes_however_they_come(size):
  text = "a é ab abc → abd end".encode()
  for stop in (b"abd", b"abc", "→".encode(), b"nothing", b"en\n"):
    cutter, out, stopped = Cutter([stop]), b"", False
    for at in range(0, len(text), size):
      new, stopped = cutter.feed(text[at : at + size])
      out += new
      if stopped:
        break
    assert stopped == (stop in text)
    assert out + cutter.rest() == text.split(stop)[0]


def test_empty_stop_is_refused():
  with pytest.raises(SamplingError, match="empty"):
    Cutter([b"x", b""])
