"""What comparisons of whole small models share: sizes, drawing, names of parameters."""

import importlib

import jax
import jax.numpy as jnp
import numpy as np

from jaxmem.models.lm import LM, LMConfig

from .harness import LENGTH, RESET, ROWS, Case, by_document

D, F, HEADS, DIM, WORDS, EPSILON = 32, 48, 2, 16, 11, 1e-3
TOKENS = np.random.RandomState(0).randint(0, WORDS, (ROWS, LENGTH)).astype(np.int32)
MODELS = "transformers.models."


def lm(weights, **fields):
  """Returns our language model with these fields and the peer's parameters."""
  model = LM(LMConfig(WORDS, D, F, norm_epsilon=EPSILON, **fields))

  def run(params, inputs, state):
    tokens, begin = jnp.asarray(TOKENS), model.init_state(ROWS)
    return model.apply({"params": weights(params)}, tokens, begin, RESET)[0], ()

  return {"auto": run}


def transformers(family, model, config, options, prefix=""):
  """Returns a model of transformers, called once for each document."""

  def load():
    torch = importlib.import_module("torch")
    package = importlib.import_module(f"{MODELS}{family}.modeling_{family}")
    settings = getattr(package, config)(**options)
    settings._attn_implementation = "eager"
    peer = getattr(package, model)(settings).eval()
    text = torch.tensor(TOKENS, dtype=torch.long)

    def run(params, inputs, state):
      call = {"input_ids": inputs[0], "use_cache": False}
      named = {prefix + name: a for name, a in params.items()}
      return torch.func.functional_call(peer, named, (), call)[0], ()

    called = run if family == "bert" else by_document(run)
    return lambda params, inputs, state: called(params, (text,), state)

  return load


def drawn(params, inputs, state):
  """Scales matrices so that scores have size 1, and vectors to half that size."""

  def small(a):
    return a * np.float32(0.3 if a.ndim > 1 else 0.5)

  return jax.tree.map(small, params), inputs, state


def case(family, peer, shapes, forms, theirs):
  sizes = shapes, (), ()
  return Case(f"block {family}", peer, "torch", sizes, forms, theirs, drawn)


def stacked(**blocks):
  """Adds the axis of a stack of one group."""
  return {"groups": jax.tree.map(lambda a: a[None], blocks)}


def linear(p, name):
  """Returns the shape of a torch linear map, outputs first."""
  layer = {"kernel": p[f"{name}.weight"].T}
  return layer | ({"bias": p[f"{name}.bias"]} if f"{name}.bias" in p else {})


def norm(p, name):
  layer = {"scale": p[f"{name}.weight"]}
  return layer | ({"bias": p[f"{name}.bias"]} if f"{name}.bias" in p else {})


def heads(p, name):
  """Converts a projection to heads."""
  layer = linear(p, name)
  return {k: a.reshape(*a.shape[:-1], -1, DIM) for k, a in layer.items()}


def out(p, name):
  """Converts a projection from heads to features."""
  layer = linear(p, name)
  return layer | {"kernel": layer["kernel"].reshape(HEADS, DIM, D)}


def with_bias(shapes):
  """Returns weight and bias shapes for each name, the bias as wide as the last axis."""
  named = {f"{name}.weight": shape for name, shape in shapes.items()}
  return named | {f"{name}.bias": shape[-1:] for name, shape in shapes.items()}
