"""The layers of the xlstm package, on their backends in torch."""

from .layer import D_MODEL, NOTHING, Layer, of_torch_calls

HEADS = 2


def _convolution(module, x, reset):
  seen = []
  hook = module.conv1d.register_forward_hook(lambda *args: seen.append(args[-1]))
  module(x)
  hook.remove()
  return seen[0]


def _mlstm() -> Layer:
  import torch
  from xlstm.blocks.mlstm import layer as package

  config = package.mLSTMLayerConfig(
    embedding_dim=D_MODEL, num_heads=HEADS, qkv_proj_blocksize=4, context_length=24
  )
  module = package.mLSTMLayer(config)

  def carry(module, x, state):
    kept = {}
    if state is not None:
      *cell, conv = state
      kept = {"mlstm_state": tuple(cell), "conv_state": (conv,)}
    outputs = []
    for t in range(x.shape[1]):
      y, kept = module.step(x[:, t : t + 1], **kept)
      outputs.append(y)
    return torch.cat(outputs, 1), (*kept["mlstm_state"], *kept["conv_state"])

  return of_torch_calls(
    module, lambda module, x, reset: module(x), carry, _convolution,
    name="xlstm mLSTMLayer", package="xlstm",
    path="torch: its parallel form, which returns no state, and its `step`",
    told=NOTHING, claims=False,
    note="split and state are those of `step`, token by token; its start is compared "
    "with the parallel form.",
  )  # fmt: skip


def _slstm() -> Layer:
  from xlstm.blocks.slstm import layer as package

  config = package.sLSTMLayerConfig(
    embedding_dim=D_MODEL, num_heads=HEADS, backend="vanilla"
  )
  module = package.sLSTMLayer(config)

  def carry(module, x, state):
    kept = {}
    if state is not None:
      conv, cell = state
      kept = {"conv_state": conv, "slstm_state": cell.transpose(0, 1)}
    elif x.shape[1] < config.conv1d_kernel_size - 1:
      # its convolution keeps what it has read, and never pads that
      kept = {"conv_state": x.new_zeros(len(x), config.conv1d_kernel_size - 1, D_MODEL)}
    y, kept = module(x, **kept, return_last_state=True)
    return y, (kept["conv_state"], kept["slstm_state"].transpose(0, 1))

  return of_torch_calls(
    module, lambda module, x, reset: module(x), carry, _convolution,
    name="xlstm sLSTMLayer", package="xlstm",
    path="torch, backend 'vanilla'; on a GPU users run backend 'cuda'",
    told=NOTHING, claims=False,
    note="A fresh call on fewer than 3 tokens returns a shorter state of the "
    "convolution; split and state begin from zeros of its full length.",
  )  # fmt: skip


def layers() -> list[Layer]:
  """Returns the rows of the xlstm package."""
  import torch

  torch.manual_seed(0)
  return [_mlstm(), _slstm()]
