"""Matrix memories: transformers', fla's naive forms, mlstm_kernels'."""

import importlib
import inspect

import numpy as np

from jaxmem.bench.case import Peer


def _transformers_gated_delta(case):
  package = "transformers.models.qwen3_next.modeling_qwen3_next"
  rule = importlib.import_module(package).torch_chunk_gated_delta_rule
  rule = inspect.unwrap(rule)  # its wrapper prefers kernels that need a GPU
  q, k, v, g, beta = case.draw()[1]
  q = q * q.shape[-1] ** 0.5  # the rule scales q itself

  def run(q, k, v, g, beta):
    return rule(q, k, v, g, beta)[0]

  return run, (q, k, v, g, beta)


def _transformers_mamba2(case):
  package = "transformers.models.mamba2.modeling_mamba2"
  scan = inspect.unwrap(importlib.import_module(package).mamba2_chunk_scan)
  q, k, v, g = case.draw()[1]
  dt = -g  # with A = -1; the scan multiplies by dt what it writes

  def run(x, dt, k, q):
    rate = -dt.new_ones(dt.shape[-1])
    return scan(x, dt, rate, k, q, chunk_size=256)

  return run, (v / dt[..., None], dt, k, q)


def _fla_simple_gla(case):
  rule = importlib.import_module("fla.ops.simple_gla.naive").naive_chunk_simple_gla

  def run(q, k, v, g):
    return rule(q, k, v, g, scale=1.0)[0]

  return run, case.draw()[1]


def _fla_dplr(case):
  module = importlib.import_module("fla.ops.generalized_delta_rule.dplr.naive")
  q, k, v, a, b, g = (np.ascontiguousarray(x.swapaxes(1, 2)) for x in case.draw()[1])

  def run(q, k, v, a, b, g):
    y, _ = module.dplr_chunkwise(q, k, v, a, b, g, chunk_size=32)
    return y

  return run, (q * q.shape[-1] ** 0.5, k, v, a, b, g)  # the rule scales q itself


def _mlstm_kernels(case):
  module = importlib.import_module("mlstm_kernels.torch.chunkwise.native")
  q, k, v, i, f = (np.ascontiguousarray(x.swapaxes(1, 2)) for x in case.draw()[1])

  def run(q, k, v, i, f):
    return module.mlstm_chunkwise__native_autograd(q, k, v, i, f, chunk_size=64)

  return run, (q * q.shape[-1] ** 0.5, k, v, i, f)  # the kernel scales q itself


PEERS = {
  "transformers_gated_delta": Peer(
    "transformers torch_chunk_gated_delta_rule",
    "transformers",
    "gated_delta",
    "torch",
    _transformers_gated_delta,
  ),
  "transformers_mamba2": Peer(
    "transformers mamba2_chunk_scan, chunk 256",
    "transformers",
    "gated_linear",
    "torch",
    _transformers_mamba2,
  ),
  "fla_simple_gla": Peer(
    "fla naive_chunk_simple_gla",
    "flash-linear-attention",
    "retention",
    "torch",
    _fla_simple_gla,
  ),
  "fla_dplr": Peer(
    "fla dplr_chunkwise, chunk 32",
    "flash-linear-attention",
    "dplr",
    "torch",
    _fla_dplr,
  ),
  "mlstm_kernels": Peer(
    "mlstm_kernels torch native", "mlstm-kernels", "mlstm", "torch", _mlstm_kernels
  ),
}
