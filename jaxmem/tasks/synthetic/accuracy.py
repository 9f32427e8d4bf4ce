"""The accuracy of a model on a task, at the trained length and beyond it."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxmem.tasks import scoring
from jaxmem.tasks.synthetic.episodes import Episodes

# Accuracy by position of the question is counted in tenths of an example.
DEPTHS = 10


class Accuracy(NamedTuple):
  """The accuracy of a model on examples of one length.

  Attributes:
    length: T, tokens of an example.
    examples: how many examples were answered.
    answers: the fraction of the answers that are right.
    whole: the fraction of the examples with all answers right.
    bits: the mean bits per answer.
    by_depth: [DEPTHS], `answers` by the tenth of the example that asks; NaN for tenths
      without questions.
  """

  length: int
  examples: int
  answers: float
  whole: float
  bits: float
  by_depth: np.ndarray

  def plain(self) -> dict[str, Any]:
    """Returns the fields as a dict for JSON, which has no NaN."""
    depths = [None if np.isnan(d) else float(d) for d in self.by_depth]
    return self._asdict() | {"by_depth": depths}


class Examiner:
  """Scores the answers of a model: the likeliest symbols where one is asked for."""

  def __init__(self, model: Any, rows: int = 64):
    """Compiles nothing yet.

    Args:
      model: the language model.
      rows: examples that are read at once.
    """
    self._model, self._rows = model, rows

    def ask(params, tokens, targets):
      logits, _ = model.apply({"params": params}, tokens, model.init_state(rows))
      nats = -jax.nn.log_softmax(logits)  # [B, T, V]
      cost = jnp.take_along_axis(nats, targets[..., None], -1)[..., 0]  # [B, T]
      return logits.argmax(-1) == targets, cost / np.log(2)

    self._ask = jax.jit(ask)

  def accuracy(self, params: Any, episodes: Episodes, examples: int) -> Accuracy:
    """Returns the accuracy on the first `examples`, rounded up to full batches."""

    def terms(begin: int) -> dict[str, tuple[Any, Any]]:
      batch = episodes[np.arange(begin, begin + self._rows)]
      answered = self._ask(params, batch.tokens, batch.targets)
      right, bits = map(np.asarray, jax.device_get(answered))  # [B, T]
      counts = batch.weights > 0
      weights = np.ones(int(counts.sum()))  # [N], a row an answer
      depth = np.nonzero(counts)[1] * DEPTHS // episodes.length
      return {
        "answers": (right[counts], weights),
        "bits": (bits[counts], weights),
        "by_depth": (right[counts][:, None], np.eye(DEPTHS)[depth]),
        "whole": ((right | ~counts).all(1), np.ones(self._rows)),
      }

    sums = scoring.totals(terms, range(0, examples, self._rows))
    return Accuracy(
      length=episodes.length,
      examples=int(sums["whole"].weight),
      answers=float(sums["answers"].mean),
      whole=float(sums["whole"].mean),
      bits=float(sums["bits"].mean),
      by_depth=sums["by_depth"].mean,
    )


def guess(episodes: Episodes, examples: int = 128) -> float:
  """Returns the accuracy of a guess that remembers no more than how often it saw what.

  It answers each question with the commonest of the possible answers that the example
  has shown so far; where there are none, with the commonest answer of all examples.

  Args:
    episodes: the examples.
    examples: how many of them are answered.
  """
  batch = episodes[np.arange(examples)]
  asked = batch.weights > 0  # [B, T]
  answers, counts = np.unique(batch.targets[asked], return_counts=True)
  possible, fallback = set(answers.tolist()), int(answers[counts.argmax()])
  right = 0
  for tokens, targets, asks in zip(batch.tokens, batch.targets, asked, strict=True):
    seen: dict[int, int] = {}
    commonest = fallback
    columns = (a.tolist() for a in (tokens, targets, asks))
    for token, target, ask in zip(*columns, strict=True):
      if token in possible:
        seen[token] = seen.get(token, 0) + 1
        if seen[token] >= seen.get(commonest, 0):  # the latest of equally many
          commonest = token
      right += ask and commonest == target
  return right / int(asked.sum())
