"""Nonlinear cells: torch's, Flax's, xlstm's."""

import importlib

import jax
import numpy as np

from jaxmem.bench.case import Peer


def _torch_lstm(case):
  import torch

  (w, r, b), (x,), _ = case.draw()
  module = torch.nn.LSTM(w.shape[0], r.shape[0], batch_first=True)
  names = ("weight_ih_l0", "weight_hh_l0", "bias_ih_l0", "bias_hh_l0")

  def run(x, *weights):
    params = dict(zip(names, weights, strict=True))
    return torch.func.functional_call(module, params, (x,))[0]

  return run, (x, *map(np.ascontiguousarray, (w.T, r.T, b, np.zeros_like(b))))


def _flax_lstm(case):
  from flax import linen

  (w, r, b), (x,), _ = case.draw()  # [D, 4 D], [D, 4 D], [4 D], [B, T, D]
  hidden = r.shape[0]
  layer = linen.RNN(linen.OptimizedLSTMCell(hidden))
  variables = layer.init(jax.random.key(0), x)
  cell = dict(variables["params"]["cell"])
  for i, gate in enumerate("ifgo"):
    columns = slice(i * hidden, (i + 1) * hidden)
    cell["i" + gate] = {"kernel": w[:, columns]}
    cell["h" + gate] = {"kernel": r[:, columns], "bias": b[columns]}
  return lambda cell, x: layer.apply({"params": {"cell": cell}}, x), (cell, x)


def _torch_gru(case):
  import torch

  (w, r, b, c), (x,), _ = case.draw()
  module = torch.nn.GRU(w.shape[0], r.shape[0], batch_first=True)
  names = ("weight_ih_l0", "weight_hh_l0", "bias_ih_l0", "bias_hh_l0")

  def run(x, *weights):
    params = dict(zip(names, weights, strict=True))
    return torch.func.functional_call(module, params, (x,))[0]

  # torch's second bias is inside the reset gate; ours has one for the candidate alone
  inner = np.concatenate([np.zeros(2 * len(c), np.float32), c])
  return run, (x, *map(np.ascontiguousarray, (w.T, r.T, b, inner)))


def _xlstm_slstm(case):
  import torch

  cell = importlib.import_module("xlstm.blocks.slstm.cell")
  (r,), gates, _ = case.draw()
  _, heads, size, _ = r.shape
  module = cell.sLSTMCell(
    cell.sLSTMCellConfig(
      hidden_size=heads * size,
      num_heads=heads,
      backend="vanilla",
      dtype="float32",
      enable_automatic_mixed_precision=False,
    )
  )
  kernel = r.transpose(1, 0, 3, 2).reshape(heads, 4 * size, size)
  bias = np.zeros(4 * heads * size, np.float32)

  def run(x, kernel):
    params = {"_recurrent_kernel_": kernel, "_bias_": torch.tensor(bias)}
    y, _ = torch.func.functional_call(module, params, (x,))
    return y.transpose(1, 2).flatten(2)  # [B, T, D]

  return run, (np.concatenate(gates, axis=-1), np.ascontiguousarray(kernel))


PEERS = {
  "torch_lstm": Peer("torch nn.LSTM", "torch", "lstm", "torch", _torch_lstm),
  "flax_lstm": Peer("flax OptimizedLSTMCell", "flax", "lstm", "jax", _flax_lstm),
  "torch_gru": Peer("torch nn.GRU", "torch", "gru", "torch", _torch_gru),
  # Its state is empty for a whole batch at once, which is the same at a first call.
  "xlstm_slstm": Peer("xlstm sLSTM, vanilla", "xlstm", "slstm", "torch", _xlstm_slstm),
}
