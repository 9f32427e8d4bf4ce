"""What two layers of each memory learn: python -m tests.support.learning [NAME ...]

All memories have the same setting, which is not tuned: d_model 64, two blocks, 600
steps of 32 examples of 64 tokens, vocabulary 64. Memories that store pairs (matrix
memories, attention) recall 8 values by their keys; the others copy 8 symbols from among
filler. The accuracy is measured on 512 new examples; guessing gets 0.03 and 0.02.
"""

import functools
import re
import sys
import time

import jax
import jax.numpy as jnp
import numpy as np
import optax

from jaxmem import configs, mixers
from jaxmem.models.lm import LM, LMConfig
from jaxmem.models.pattern import entry
from jaxmem.parallel.mesh import unboxed
from jaxmem.tasks.synthetic import problems

STEPS, ROWS, VOCAB, WIDTH = 600, 32, 64, 64
RECALL, COPY = ("mqar", "associative recall"), ("selective_copy", "selective copy")
TASK = {"matrix": RECALL, "attention": RECALL, "diagonal": COPY, "nonlinear": COPY}


def promised(name: str) -> float:
  """Returns the accuracy that the docstring of a memory's config states."""
  text = " ".join(configs.path_of(name).read_text().split())
  return float(
    re.search(r"(\d\.\d\d) of (?:associative recall|selective copy)", text)[1]
  )


def learn(name: str, seed: int = 0) -> float:
  """Trains a memory on the task of its family, and returns its accuracy."""
  task, _ = TASK[mixers.get(name).Mixer.family]
  model = LM(LMConfig(VOCAB, WIDTH, 2 * WIDTH, (entry(name),), num_groups=2))
  draw = functools.partial(problems.get(task).draw, np.random.default_rng(seed))
  warmup = optax.warmup_cosine_decay_schedule(0, 3e-3, 50, STEPS, 3e-5)
  optimizer = optax.chain(optax.clip_by_global_norm(1.0), optax.adamw(warmup))

  def logits(params, tokens):
    # [B, T] -> [B, T, V]
    return model.apply(params, tokens, model.init_state(len(tokens)))[0]

  def loss(params, batch):
    cost = optax.softmax_cross_entropy_with_integer_labels(
      logits(params, batch.tokens), batch.targets
    )
    return (cost * batch.weights).sum() / batch.weights.sum()

  @functools.partial(jax.jit, donate_argnums=(0, 1))
  def step(params, opt_state, batch):
    grads = jax.grad(loss)(params, batch)
    # optax mixes Python floats and arrays, which the tests' strict promotion refuses
    with jax.numpy_dtype_promotion("standard"):
      updates, opt_state = optimizer.update(grads, opt_state, params)
    return optax.apply_updates(params, updates), opt_state

  tokens = jnp.asarray(draw(ROWS).tokens)
  params = unboxed(
    jax.jit(model.init)(jax.random.key(seed), tokens, model.init_state(ROWS))
  )
  opt_state = jax.jit(optimizer.init)(params)
  for _ in range(STEPS):
    params, opt_state = step(params, opt_state, draw(ROWS))
  test = draw(512)
  right = jnp.argmax(jax.jit(logits)(params, test.tokens), -1) == test.targets
  return float((right * test.weights).sum() / test.weights.sum())


def main(names: list[str]) -> None:
  """Prints the table."""
  print("# What two layers learn\n")
  print(__doc__.partition("\n\n")[2].strip() + "\n")
  print("| memory | task | accuracy | seconds |")
  print("| --- | --- | --- | --- |")
  for name in names or mixers.carrying():
    begin = time.monotonic()
    accuracy = learn(name)
    _, task = TASK[mixers.get(name).Mixer.family]
    seconds = f"{time.monotonic() - begin:.0f}"
    print(f"| {name} | {task} | {accuracy:.2f} | {seconds} |", flush=True)


if __name__ == "__main__":
  main(sys.argv[1:])
