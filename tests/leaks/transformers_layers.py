"""Layers of transformers, on the paths in torch that it takes without kernels."""

import copy
import functools
import importlib
import sys
from contextlib import contextmanager
from unittest import mock

from .layer import D_MODEL, NOTHING, Layer, of_torch_calls

PACKAGE = "transformers"
CPU_PATH = "torch fall-back on the CPU; on a GPU users run the kernels of {}"
UNTOLD = (
  "Called as a flattened batch reaches it that has `position_ids` but no `seq_idx`: "
  "the layer is not told of documents."
)
SMALL_MAMBA = {
  "hidden_size": D_MODEL,
  "num_hidden_layers": 2,
  "chunk_size": 8,
  "vocab_size": 32,
}


@contextmanager
def _without_kernels():
  """Hides fla and xlstm: their kernels need a GPU, which is not where this runs."""
  utils = importlib.import_module("transformers.utils")
  loaded = sys.modules.get("fla")
  sys.modules["fla"] = None  # what is imported below is kept, unlike in `patch.dict`
  try:
    with mock.patch.object(utils, "is_xlstm_available", lambda: False):
      yield
  finally:
    del sys.modules["fla"]
    if loaded:
      sys.modules["fla"] = loaded


def _modeling(name: str):
  with _without_kernels():
    return importlib.import_module(f"transformers.models.{name}.modeling_{name}")


def _flags(reset, flat: bool) -> dict:
  """Returns `seq_idx`, and `cu_seq_lens_q` of a flattened batch; {} for no border."""
  import torch

  if not reset.any():
    return {}
  documents = reset.int().cumsum(1).int()
  if not flat:
    return {"seq_idx": documents}
  begins = reset.clone()
  begins[:, 0] = True  # every row is a document of its own
  begins = begins.flatten().nonzero().flatten()
  ends = torch.tensor([reset.numel()])
  return {
    "seq_idx": begins.new_ones(reset.numel()).cumsum(0)[None].int(),
    "cu_seq_lens_q": torch.cat([begins, ends]).int(),
  }


def _linear_layer(modeling, config, module, name, kernels, flat=False) -> list[Layer]:
  """Returns a layer with a cache of transformers, told of documents and not told."""
  from transformers import DynamicCache

  def told(module, x, reset):
    flags = _flags(reset, flat)
    if flat and flags:
      return module(x.flatten(0, 1)[None], **flags).view_as(x)
    return module(x, **flags)

  def untold(module, x, reset):
    return module(x)

  def carry(module, x, state):
    cache = DynamicCache(config=config)
    kept = cache.layers[module.layer_idx]
    if state is not None:
      conv, recurrent = state
      kept.lazy_initialization(conv_states=conv, conv_kernel_size=conv.shape[-1])
      kept.lazy_initialization(recurrent_states=recurrent)
      kept.conv_states[0].copy_(conv)
      kept.recurrent_states[0].copy_(recurrent)
      kept.has_previous_state[0] = True
    y = module(x, cache=cache)
    return y, (kept.conv_states[0], kept.recurrent_states[0])

  def convolution(call, module, x, reset):
    seen, original = [], modeling.causal_conv1d_fn

    def see(*args, **kwargs):
      seen.append(original(*args, **kwargs))
      return seen[-1]

    with mock.patch.object(modeling, "causal_conv1d_fn", see):
      call(module, x, reset)
    return seen[0].mT  # [B, T, C]

  words = "`seq_idx` and `cu_seq_lens_q`" if flat else "`seq_idx`"
  fields = {"package": PACKAGE, "path": CPU_PATH.format(kernels)}
  return [
    of_torch_calls(
      copy.deepcopy(module), call, carry, functools.partial(convolution, call),
      name=row, told=words if call is told else NOTHING, claims=call is told,
      note="" if call is told else UNTOLD, **fields,
    )
    for call, row in ((told, name), (untold, f"{name}, not told"))
  ]  # fmt: skip


def _mamba2() -> list[Layer]:
  from transformers import Mamba2Config

  modeling = _modeling("mamba2")
  config = Mamba2Config(
    **SMALL_MAMBA, num_heads=4, head_dim=4, state_size=6, n_groups=2, expand=2
  )
  module = modeling.Mamba2Mixer(config, 0)
  kernels = "mamba-ssm and causal-conv1d"
  return _linear_layer(modeling, config, module, "transformers Mamba2Mixer", kernels)


def _bamba() -> list[Layer]:
  from transformers import BambaConfig

  modeling = _modeling("bamba")
  config = BambaConfig(
    **{**SMALL_MAMBA, "chunk_size": None}, mamba_chunk_size=8, mamba_n_heads=4,
    mamba_d_head=4, mamba_d_state=6, mamba_n_groups=2, attn_layer_indices=[1],
    num_attention_heads=2, num_key_value_heads=1,
  )  # fmt: skip
  module = modeling.BambaMixer(config, 0)
  kernels = "mamba-ssm and causal-conv1d"
  return _linear_layer(modeling, config, module, "transformers BambaMixer", kernels)


def _zamba2() -> list[Layer]:
  from transformers import Zamba2Config

  modeling = _modeling("zamba2")
  config = Zamba2Config(
    **SMALL_MAMBA, n_mamba_heads=4, mamba_d_state=6, mamba_ngroups=2,
    layers_block_type=["mamba", "hybrid"], num_attention_heads=2,
  )  # fmt: skip
  module = modeling.Zamba2MambaMixer(config, 0)
  kernels = "mamba-ssm and causal-conv1d"
  name = "transformers Zamba2MambaMixer"
  return _linear_layer(modeling, config, module, name, kernels)


def _qwen3_next() -> list[Layer]:
  from transformers import Qwen3NextConfig

  modeling = _modeling("qwen3_next")
  config = Qwen3NextConfig(
    hidden_size=D_MODEL, num_hidden_layers=2, vocab_size=32, num_attention_heads=2,
    num_key_value_heads=1, linear_num_key_heads=2, linear_num_value_heads=4,
    linear_key_head_dim=4, linear_value_head_dim=3, num_experts=2,
  )  # fmt: skip
  module = modeling.Qwen3NextGatedDeltaNet(config, 0)
  name, kernels = "transformers Qwen3NextGatedDeltaNet", "fla and causal-conv1d"
  return _linear_layer(modeling, config, module, name, kernels, flat=True)


def _positions(reset):
  """Returns positions that begin at 0 with every document."""
  import torch

  count = torch.arange(reset.shape[1])
  return count - torch.where(reset, count, 0).cummax(1).values


def _recurrent_gemma() -> list[Layer]:
  """Positions that begin at 0 anew are how this layer is told of documents."""
  import torch
  from transformers import RecurrentGemmaConfig

  modeling = _modeling("recurrent_gemma")
  config = RecurrentGemmaConfig(
    hidden_size=D_MODEL, lru_width=D_MODEL, num_attention_heads=2, num_hidden_layers=2,
    intermediate_size=16, vocab_size=32,
  )  # fmt: skip
  module = modeling.RecurrentGemmaRecurrentBlock(config, 0)
  for parameter in module.parameters():  # some are made without numbers
    torch.nn.init.normal_(parameter, std=0.3)

  def told(module, x, reset):
    return module(x, _positions(reset), None, use_cache=False)[0]

  def carry(module, x, state):
    module.conv1d_state = module.rg_lru.recurrent_states = None
    before = torch.zeros(len(x), dtype=torch.int32)
    if state is not None:
      module.conv1d_state, module.rg_lru.recurrent_states, before = state
    y, _ = module(x, before[:, None] + torch.arange(x.shape[1]), None, use_cache=True)
    after = before + x.shape[1]
    return y, (module.conv1d_state, module.rg_lru.recurrent_states, after)

  def convolution(module, x, reset):
    seen = []
    hook = module.conv_1d.register_forward_hook(lambda *args: seen.append(args[-1]))
    told(module, x, reset)
    hook.remove()
    return seen[0][..., : x.shape[1]].mT  # [B, T, C]

  def recurrence(module, x, reset):
    module.recurrent_states = None
    return module(x, _positions(reset))

  fields = {
    "package": PACKAGE,
    "path": "torch, a loop over tokens; it is the only path that ships",
    "told": "`position_ids` that begin at 0 again",
    "claims": True,
  }
  note = (
    "The RG-LRU in it documents its reset as document boundaries; the convolution "
    "before it is not told of them."
  )
  return [
    of_torch_calls(
      module, told, carry, convolution,
      name="transformers RecurrentGemmaRecurrentBlock", note=note, **fields,
    ),
    of_torch_calls(
      copy.deepcopy(module.rg_lru), recurrence, None, None,
      name="transformers RecurrentGemmaRglru", **fields,
      note="The recurrence of the block above alone; its state is the block's.",
    ),
  ]  # fmt: skip


def _xlstm() -> list[Layer]:
  import torch
  from transformers import xLSTMConfig

  modeling = _modeling("xlstm")
  assert not modeling.external_xlstm, "the xlstm package was imported before"
  config = xLSTMConfig(
    hidden_size=D_MODEL, num_heads=2, num_hidden_layers=1, vocab_size=32, chunk_size=8,
    autocast_kernel_dtype="float32", mode="inference", return_last_states=True,
  )  # fmt: skip
  module = modeling.xLSTMLayer(config)
  with torch.no_grad():
    for parameter in module.parameters():
      torch.nn.init.normal_(parameter, std=0.3)

  def carry(module, x, state):
    y, state = module(x, state)
    c, n, m = state
    return y, (c, n, m)

  return [
    of_torch_calls(
      module, lambda module, x, reset: module(x)[0], carry, None,
      name="transformers xLSTMLayer", package=PACKAGE,
      path="native torch, mode 'inference', chunks of 8; with the xlstm package users "
      "run its kernels",
      told=NOTHING, claims=False,
    )
  ]  # fmt: skip


def layers() -> list[Layer]:
  """Returns the rows of transformers."""
  import torch

  torch.manual_seed(0)
  makers = (_mamba2, _bamba, _zamba2, _qwen3_next, _recurrent_gemma, _xlstm)
  return [layer for make in makers for layer in make()]
