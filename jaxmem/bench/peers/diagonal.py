"""Diagonal recurrences: accelerated-scan's and recurrentgemma's."""

import importlib
from types import ModuleType
from unittest import mock

import jax.numpy as jnp
import numpy as np

from jaxmem.bench.case import Peer
from jaxmem.ops import rglru


def _accelerated_scan(case):
  scan = importlib.import_module("accelerated_scan.ref").scan
  inputs = case.draw()[1]  # [B, T, D]
  return scan, tuple(np.ascontiguousarray(a.swapaxes(1, 2)) for a in inputs)


def recurrentgemma(module: str) -> ModuleType:
  """Returns a module of recurrentgemma, imported without its run-time type checks.

  They are written for typeguard 2, and newer ones cannot parse them. Nothing that the
  package computes depends on them.

  Args:
    module: its name within the package, such as "jax.scan".
  """
  with mock.patch("typeguard.typechecked", _unchecked):
    return importlib.import_module(f"recurrentgemma.{module}")


def _unchecked(function):
  return function


def _native_scan():
  """Returns recurrentgemma's scan, and its enum of scan types."""
  return recurrentgemma("jax.scan").linear_scan, recurrentgemma("common").ScanType


def _recurrentgemma(case):
  scan, kinds = _native_scan()
  params, inputs, _ = case.draw()

  def run(params, inputs):  # the gates are ours, the recurrence is theirs
    a, b = rglru.decay_and_input(params, inputs)
    return scan(b, a, scan_type=kinds.LINEAR_NATIVE)[0]

  return run, (params, inputs)


def _recurrentgemma_scan(case):
  scan, kinds = _native_scan()

  def run(a, b):
    return scan(b, a, scan_type=kinds.LINEAR_NATIVE)[0]

  return run, case.draw()[1]


def _recurrentgemma_complex(case):
  scan, kinds = _native_scan()
  lib = recurrentgemma("jax.complex_lib")
  (lam,), (u,), _ = case.draw()

  def as_complex(x):  # [B, T, 2, D]
    return lib.Complex(x[..., 0, :], x[..., 1, :])

  def run(lam, u):
    a = jnp.broadcast_to(lam, u.shape)
    y = scan(as_complex(u), as_complex(a), scan_type=kinds.LINEAR_NATIVE)[0]
    return jnp.stack([y.real, y.imag], axis=-2)

  return run, (lam, u)


PEERS = {
  "accelerated_scan": Peer(
    "accelerated_scan.ref", "accelerated-scan", "diagonal", "torch", _accelerated_scan
  ),
  "recurrentgemma_scan": Peer(
    "recurrentgemma native scan",
    "recurrentgemma",
    "diagonal",
    "jax",
    _recurrentgemma_scan,
  ),
  "recurrentgemma": Peer(
    "recurrentgemma native scan, our gates",
    "recurrentgemma",
    "rglru",
    "jax",
    _recurrentgemma,
  ),
  "recurrentgemma_complex": Peer(
    "recurrentgemma native scan",
    "recurrentgemma",
    "complex_diagonal",
    "jax",
    _recurrentgemma_complex,
  ),
}
