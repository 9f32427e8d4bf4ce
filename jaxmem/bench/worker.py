"""One contestant in a process of its own: `python -m jaxmem.bench.worker CASE WHO`.

Reads one request a line, `prepare DIRECTION` or `sample DIRECTION`, and answers each
with one line of JSON. Everything else that is printed goes to standard error.
"""

import json
import os
import sys
import time
from collections.abc import Callable

SHORTEST_SAMPLE = 0.08  # seconds; below it the clock's grain shows


def _jax_side(f: Callable, arrays: tuple, direction: str):
  """(call, bytes of temporary buffers, of inputs and y) of what XLA compiles."""
  import jax
  import jax.numpy as jnp

  leaves, tree = jax.tree.flatten(arrays)
  leaves = [jnp.asarray(a) for a in leaves]
  is_float = [jnp.issubdtype(a.dtype, jnp.floating) for a in leaves]
  floats = [a for a, yes in zip(leaves, is_float, strict=True) if yes]

  def forward(floats):
    rest = iter(floats)
    full = [next(rest) if yes else a for a, yes in zip(leaves, is_float, strict=True)]
    return f(*jax.tree.unflatten(tree, full))

  def both(floats, dy):
    y, pull = jax.vjp(forward, floats)
    return y, pull(dy)

  args, y = (floats,), jax.eval_shape(forward, floats)
  if direction != "forward":
    args = (floats, jax.random.normal(jax.random.key(1), y.shape, y.dtype))
  compiled = jax.jit(forward if direction == "forward" else both).lower(*args).compile()
  temp = compiled.memory_analysis().temp_size_in_bytes
  ends = sum(a.size * a.dtype.itemsize for a in (*floats, y))
  return lambda: jax.block_until_ready(compiled(*args)), int(temp), ends


def _torch_side(f: Callable, arrays: tuple, direction: str):
  """(call, None, None) of a function of torch tensors."""
  import torch

  torch.set_num_threads(1)
  tensors = [torch.tensor(a, requires_grad=True) for a in arrays]
  if direction == "forward":

    def forward():
      with torch.no_grad():
        return f(*tensors)

    return forward, None, None
  dy = torch.randn_like(f(*tensors))
  return lambda: torch.autograd.grad(f(*tensors), tensors, dy), None, None


def contestant(case_name: str, who: str, quick: bool) -> Callable:
  """`direction -> (call, bytes, bytes)` of our side of a case, or of a peer of it."""
  from jaxmem.bench import cases, peers
  from jaxmem.bench.case import OURS

  case = cases.table(quick)[case_name]
  if who != OURS:
    peer = peers.PEERS[who]
    f, arrays = peer.build(case)
    side = _torch_side if peer.framework == "torch" else _jax_side
    return lambda direction: side(f, arrays, direction)
  params, inputs, state = case.draw()
  f = lambda params, inputs: case.ours(params, inputs, state)
  return lambda direction: _jax_side(f, (params, inputs), direction)


def _seconds(call: Callable, repeats: int) -> float:
  begin = time.process_time()
  for _ in range(repeats):
    call()
  return (time.process_time() - begin) / repeats


def serve(case_name: str, who: str, quick: bool, requests, answer: Callable) -> None:
  """Answers requests until there are no more.

  Args:
    case_name: a key of `cases.table`.
    who: `OURS` or a key of `peers.PEERS`.
    quick: tiny sizes and samples of one call.
    requests: lines.
    answer: called with a dict for each.
  """
  build = contestant(case_name, who, quick)
  ready = {}
  for line in requests:
    verb, direction = line.split()
    if verb == "prepare":
      call, temp, ends = build(direction)
      call()
      once = max(_seconds(call, 1), 1e-6)  # the second call: nothing is compiled now
      repeats = 1 if quick else max(1, round(SHORTEST_SAMPLE / once + 0.5))
      ready[direction] = call, repeats
      answer({"repeats": repeats, "temp_bytes": temp, "io_bytes": ends})
    else:
      answer({"seconds": _seconds(*ready[direction])})


def main() -> None:
  """Serves the contestant named on the command line through standard input."""
  case_name, who, *rest = sys.argv[1:]
  # one core, before any library counts the cores and starts its threads
  if hasattr(os, "sched_setaffinity"):
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
  replies = os.fdopen(os.dup(1), "w", buffering=1)
  os.dup2(2, 1)
  answer = lambda reply: print(json.dumps(reply), file=replies, flush=True)
  serve(case_name, who, "--quick" in rest, sys.stdin, answer)


if __name__ == "__main__":
  main()
