"""Where a mixer's op meets the devices."""

from types import ModuleType
from typing import Any

import jax
from jaxtyping import Array

from jaxmem.registry import nearest
from jaxmem.typing import Reset, State


def choose(op: ModuleType, form: str, length: int) -> str:
  """The form that runs: "auto" is the fastest here, and one token is always a step."""
  if length == 1:
    return "recurrent"
  if form == "auto":
    fallback = [name for name in op.FORMS if name != "recurrent"][0]
    return getattr(op, "FASTEST", {}).get(jax.default_backend(), fallback)
  if form not in op.FORMS:
    known = ["auto", *op.FORMS]
    raise ValueError(f"{op.__name__} has no form {form!r}: {nearest(form, known)}")
  return form


def apply(
  op: ModuleType,
  form: str,
  params: tuple[Array, ...],
  inputs: tuple[Array, ...],
  state: State,
  reset: Reset | None = None,
  sizes: dict[str, int] | None = None,
  **options: Any,
) -> tuple[Array, State]:
  """A form of an op, on the devices of the ambient mesh.

  Args:
    op: an op file.
    form: a key of its FORMS, or "auto".
    params: see the op.
    inputs: see the op.
    state: memory before the first token.
    reset: True on the first token of a document.
    sizes: what only blocked forms know, such as chunk_size.
    options: what every form knows.

  Returns:
    y, and the memory after the last token.

  Raises:
    ValueError: if there is no such form.
  """
  form = choose(op, form, inputs[0].shape[1])
  sizes = {} if form == "recurrent" else sizes or {}
  return op.FORMS[form](params, inputs, state, reset, **options, **sizes)
