"""A classifier of texts: an encoder, one vector a text, logits of classes."""

from typing import Literal

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxmem.layers.primitives import dense
from jaxmem.models import Batch
from jaxmem.models.encoder import NEVER, EncoderModel


class Classifier(EncoderModel):
  """Predicts a class for each text.

      model = Classifier(EncoderConfig(vocab_size=257), classes=2)
      params = model.init(key, model.example(8, 64), (), method="objective")
      logits = model.apply(params, batch, method="logits")

  A batch has the texts of `models.encoder.Encoder`, and

      label    int32   [B]
      choices  bool    [B, C]  the classes that a row may have
      weights  float32 [B]     the weight of each row's loss

  Attributes:
    config: the encoder's config.
    classes: C, the number of classes.
    smoothing: share of a label that all classes divide in training, in [0, 1).
    hidden: the function after a linear map of the vector, "tanh" as in BERT's pooler or
      "relu" as in DistilBERT; empty makes no such map.
  """

  classes: int
  smoothing: float = 0.0
  hidden: Literal["", "tanh", "relu"] = ""

  def setup(self):
    super().setup()
    if self.hidden:
      axes = ("embed", None)
      size = self.config.d_model
      self.hidden_map = dense(size, axes, "hidden", "float32", bias=True)
    self.head = dense(self.classes, ("embed", None), "head", "float32", bias=True)

  def logits(self, batch: Batch, deterministic: bool = True) -> Float[Array, "B C"]:
    """Returns the logits of the classes, -1e9 for classes that a row may not have."""
    x = self.encoder.vector(batch, deterministic)  # [B, D]
    if self.hidden:
      function = jnp.tanh if self.hidden == "tanh" else jax.nn.relu
      x = function(self.hidden_map(x))
    x = self.encoder.drop(x, deterministic=deterministic)
    return jnp.where(batch["choices"], self.head(x), NEVER)  # [B, C]

  def objective(
    self, batch: Batch, memory: tuple[()], deterministic: bool = True
  ) -> tuple[Float[Array, " B"], tuple[()]]:
    """Returns the cross entropy of each text's label, in nats."""
    # held-out scores do not smooth, so that runs of different smoothing compare
    smoothing = 0.0 if deterministic else self.smoothing
    logits = self.logits(batch, deterministic)
    return smoothed_cross_entropy(logits, batch, smoothing), memory

  def example(self, batch_size: int, length: int) -> Batch:
    """Returns a batch of zeros that allows every class."""
    batch = super().example(batch_size, length)
    choices = jnp.ones((batch_size, self.classes), bool)
    return batch | {"label": batch["length"], "choices": choices}


def smoothed_cross_entropy(
  logits: Float[Array, "B C"], batch: Batch, smoothing: float
) -> Float[Array, " B"]:
  """Returns the cross entropy of labels smoothed over the classes a row may have.

      -(1 - s) log p(label) - s mean over the row's choices of log p

  Args:
    logits: logits of the classes, float32, -1e9 for those that a row may not have.
    batch: has "label" and "choices".
    smoothing: s, in [0, 1).

  Returns:
    Nats of each row.

  Source: Szegedy et al. 2015, arXiv:1512.00567.
  """
  logp = jax.nn.log_softmax(logits)  # [B, C]
  nats = -jnp.take_along_axis(logp, batch["label"][:, None], 1)[:, 0]
  if not smoothing:
    return nats
  count = batch["choices"].astype(logp.dtype).sum(-1)  # [B]
  # masked: the -1e9 of classes that a row may not have would dominate the mean
  mean = -jnp.where(batch["choices"], logp, 0).sum(-1) / count
  return (1 - smoothing) * nats + smoothing * mean
