"""How much of a task is answered, at the trained length and beyond it."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxmem.tasks import scoring
from jaxmem.tasks.synthetic.episodes import Episodes

# Tenths of an example, from its first token to its last: where an answer was asked for.
DEPTHS = 10


class Accuracy(NamedTuple):
  """What was answered rightly.

  Attributes:
    length: T of the examples.
    examples: how many.
    answers: fraction of the answers that are right.
    whole: fraction of the examples with every answer right.
    bits: per answer.
    by_depth: [DEPTHS], the first by where in the example it was asked; NaN where it was
      not.
  """

  length: int
  examples: int
  answers: float
  whole: float
  bits: float
  by_depth: np.ndarray

  def plain(self) -> dict[str, Any]:
    """For JSON."""
    depths = [None if np.isnan(d) else float(d) for d in self.by_depth]
    return self._asdict() | {"by_depth": depths}


class Examiner:
  """Asks a model: what it answers is the likeliest symbol where one is asked for."""

  def __init__(self, model: Any, rows: int = 64):
    """Args: the language model; examples that are read at once."""
    self._model, self._rows = model, rows

    def ask(params, tokens, targets):
      logits, _ = model.apply({"params": params}, tokens, model.init_state(rows))
      nats = -jax.nn.log_softmax(logits)
      cost = jnp.take_along_axis(nats, targets[..., None], -1)[..., 0]
      return logits.argmax(-1) == targets, cost / np.log(2)

    self._ask = jax.jit(ask)

  def accuracy(self, params: Any, episodes: Episodes, examples: int) -> Accuracy:
    """Of the first `examples` of a split, up to a multiple of the rows at once."""

    def terms(begin: int) -> dict[str, tuple[Any, Any]]:
      batch = episodes[np.arange(begin, begin + self._rows)]
      answered = self._ask(params, batch.tokens, batch.targets)
      right, bits = map(np.asarray, jax.device_get(answered))  # [B, T]
      counts = batch.weights > 0
      ones = np.ones(int(counts.sum()))  # [N], a row an answer
      depth = np.nonzero(counts)[1] * DEPTHS // episodes.length
      return {
        "answers": (right[counts], ones),
        "bits": (bits[counts], ones),
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
