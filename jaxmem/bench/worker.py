"""One contestant in a process of its own: `python -m jaxmem.bench.worker CASE WHO`.

It reads one request a line, `prepare DIRECTION` or `sample DIRECTION`, and answers each
with one line of JSON. Everything else that is printed goes to standard error.
"""

import json
import os
import sys
import time
from collections.abc import Callable

SHORTEST_SAMPLE = 0.08  # seconds; in less the resolution of the clock would show


def _jax_side(f: Callable, arrays: tuple, direction: str):
  """Compiles a function of JAX.

  Returns:
    A call of it, the bytes of XLA's temporary buffers, and those of inputs and y.
  """
  import jax
  import jax.numpy as jnp

  leaves, tree = jax.tree.flatten(arrays)
  leaves = [jnp.asarray(a) for a in leaves]
  is_float = [jnp.issubdtype(a.dtype, jnp.floating) for a in leaves]
  floats = [a for a, yes in zip(leaves, is_float, strict=True) if yes]

  def forward(floats):
    replacements = iter(floats)
    full = [
      next(replacements) if yes else a for a, yes in zip(leaves, is_float, strict=True)
    ]
    return f(*jax.tree.unflatten(tree, full))

  def forward_and_backward(floats, dy):
    y, vjp = jax.vjp(forward, floats)
    return y, vjp(dy)

  y = jax.eval_shape(forward, floats)
  if direction == "forward":
    args, fn = (floats,), forward
  else:
    dy = jax.random.normal(jax.random.key(1), y.shape, y.dtype)
    args, fn = (floats, dy), forward_and_backward
  compiled = jax.jit(fn).lower(*args).compile()
  temp = compiled.memory_analysis().temp_size_in_bytes
  io_bytes = sum(a.size * a.dtype.itemsize for a in (*floats, y))
  return lambda: jax.block_until_ready(compiled(*args)), int(temp), io_bytes


def _torch_side(f: Callable, arrays: tuple, direction: str):
  """Returns a call of a function of torch tensors; its memory is not known."""
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
  """Returns what prepares a contestant: `direction -> (call, temp bytes, io bytes)`.

  Args:
    case_name: a key of `cases.table`.
    who: `OURS` or a key of `peers.PEERS`.
    quick: tiny sizes.
  """
  from jaxmem.bench import cases, peers
  from jaxmem.bench.case import OURS

  case = cases.table(quick)[case_name]
  if who != OURS:
    peer = peers.PEERS[who]
    f, arrays = peer.build(case)
    side = _torch_side if peer.framework == "torch" else _jax_side
    return lambda direction: side(f, arrays, direction)
  params, inputs, state = case.draw()

  def ours(params, inputs):  # the state is no argument: it is not differentiated
    return case.ours(params, inputs, state)

  return lambda direction: _jax_side(ours, (params, inputs), direction)


def _seconds(call: Callable, repeats: int) -> float:
  """Returns the CPU seconds of a call, the mean of several."""
  # CPU time: what other processes take of the core does not count
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
    requests: the lines of the requests.
    answer: a function that sends a dict, called once for each request.
  """
  build = contestant(case_name, who, quick)
  ready = {}
  for line in requests:
    verb, direction = line.split()
    if verb == "prepare":
      call, temp_bytes, io_bytes = build(direction)
      call()  # may still compile or allocate, so the second call is timed
      seconds = max(_seconds(call, 1), 1e-6)
      repeats = 1 if quick else max(1, round(SHORTEST_SAMPLE / seconds + 0.5))
      ready[direction] = call, repeats
      answer({"repeats": repeats, "temp_bytes": temp_bytes, "io_bytes": io_bytes})
    else:
      answer({"seconds": _seconds(*ready[direction])})


def main() -> None:
  """Serves the contestant named on the command line through standard input."""
  case_name, who, *flags = sys.argv[1:]
  # one core, before any library counts the cores and starts its threads
  if hasattr(os, "sched_setaffinity"):
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
  # Replies keep the pipe; whatever a library prints goes to standard error.
  replies = os.fdopen(os.dup(1), "w", buffering=1)
  os.dup2(2, 1)

  def answer(reply: dict) -> None:
    print(json.dumps(reply), file=replies, flush=True)

  serve(case_name, who, "--quick" in flags, sys.stdin, answer)


if __name__ == "__main__":
  main()
