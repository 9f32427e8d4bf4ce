"""The config of the optimizer, as data."""

import dataclasses

from jaxmem.core.ranges import number
from jaxmem.training.functions import wrapped


@dataclasses.dataclass(frozen=True)
class OptimConfig:
  """How parameters are updated: by default AdamW, a linear warm-up and a cosine.

  Attributes:
    optimizer: the name of an optimizer of Optax or `optax.contrib`, with its options:
      "adamw", "lion:b1=0.9:b2=0.99", "adafactor", "sgd:momentum=0.9", "muon". A Python
      config may give a function that takes `learning_rate`; a run keeps its name, and a
      caller who resumes the run gives the function again.
    schedule: the learning rate after the warm-up: "cosine", "linear" (to
      `final_fraction`), "constant", "wsd:decay=0.2" (constant, then linear over the
      last fifth), or a schedule of Optax by name; see `training.schedule`. A function
      of a Python config, of the step, is the whole schedule.
    learning_rate: the peak, > 0.
    warmup_steps: how many steps the learning rate rises, fewer than the run has; -1 is
      a fifth of the run, at most 50.
    final_fraction: the learning rate of the last step as a fraction of the peak, in
      [0, 1].
    weight_decay: decay of the parameters that mix channels: projections, convolution
      taps, embeddings and other tables of vectors, and the matrix C by which LRU and S5
      read. It excludes biases, scales of norms, decay rates, time constants, skips,
      shifts and bonuses of RWKV, peepholes, biases of attention scores and learned
      starts; and the matrix B by which LRU and S5 write and the low-rank maps of RWKV,
      which the code of their authors does not decay.
      Every layer declares it for its parameters, see `layers.primitives.named`.
    beta1: the decay of AdamW's first moment.
    beta2: the decay of AdamW's second moment.
    trainable: a regular expression that is searched for in the paths of parameters,
      such as "stack/groups/block_0/mixer/q/kernel"; all others are frozen, and
      have neither gradient nor optimizer state. "" trains all.
    clip_norm: gradients of a larger global norm are scaled down to it; > 0.
    accumulate: parts of the batch that are computed one after the other, with the
      same result as all at once; divides the batch size.
    ema: decay of a moving average of the parameters, in [0, 1); 0 keeps none. The decay
      of an early step is (1 + step) / (10 + step) if that is less. Where there is an
      average, held-out scores, `generate` and `eval` use it.
  """

  learning_rate: float = number(3e-3, above=0, at_most=1000)
  warmup_steps: int = number(-1, at_least=-1)
  final_fraction: float = number(0.1, at_least=0, at_most=1)
  weight_decay: float = number(0.1, at_least=0, at_most=1000)
  beta1: float = number(0.9, at_least=0, below=1)
  beta2: float = number(0.95, at_least=0, below=1)
  clip_norm: float = number(1.0, above=0)
  accumulate: int = number(1, at_least=1)
  ema: float = number(0.0, at_least=0, below=1)
  optimizer: str = "adamw"
  schedule: str = "cosine"
  trainable: str = ""

  def __post_init__(self):
    for name in ("optimizer", "schedule"):
      object.__setattr__(self, name, wrapped(getattr(self, name)))

  def warmup(self, steps: int) -> int:
    """Returns how many of `steps` steps are the warm-up."""
    return min(50, steps // 5) if self.warmup_steps < 0 else self.warmup_steps


# jaxtyping would refuse a function where the field is a str: `__post_init__` wraps it
# as a str, and `config.typed` checks the result.
OptimConfig.__init__.__no_type_check__ = True  # type: ignore[attr-defined]
