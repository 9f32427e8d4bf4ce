"""Mamba-2 against that of transformers, RWKV-7 against fla's on its naive rule."""

import contextlib
import importlib
from unittest import mock

import jax.numpy as jnp

from jaxmem.models.pattern import Block, Entry, entry

from .blocks_shared import (
  DIM,
  EPSILON,
  HEADS,
  TOKENS,
  WORDS,
  D,
  F,
  case,
  linear,
  lm,
  norm,
  stacked,
  transformers,
)  # fmt: skip
from .delta_layers_fla import _rwkv7_stand_ins
from .harness import by_document

# Mamba-2

STATE, GROUPS, NARROW = 8, 2, 4
WIDTH = 2 * D
CONV = WIDTH + 2 * GROUPS * STATE
AT = "backbone.layers.0."


def _mamba2_weights(p):
  sizes = [WIDTH, WIDTH + CONV]
  gate, xbc, dt = jnp.split(p[f"{AT}mixer.in_proj.weight"].T, sizes, axis=1)
  taps = p[f"{AT}mixer.conv1d.weight"][:, 0, ::-1].T
  mixer = {
    "gate": {"kernel": gate},
    "xbc": {"kernel": xbc},
    "dt": {"kernel": dt},
    "conv": {"taps": taps, "bias": p[f"{AT}mixer.conv1d.bias"]},
    "rate": p[f"{AT}mixer.A_log"],
    "step": p[f"{AT}mixer.dt_bias"],
    "skip": p[f"{AT}mixer.D"],
    "norm": {"scale": p[f"{AT}mixer.norm.weight"].reshape(GROUPS, -1)},
    "out": linear(p, f"{AT}mixer.out_proj"),
  }
  return {
    "embedding": p["backbone.embeddings.weight"],
    "stack": stacked(block_0={"mixer_norm": norm(p, f"{AT}norm"), "mixer": mixer}),
    "norm": norm(p, "backbone.norm_f"),
    "head": p["lm_head.weight"],
  }


MAMBA2 = case(
  "mamba 2",
  "transformers Mamba2ForCausalLM",
  {
    "backbone.embeddings.weight": (WORDS, D),
    f"{AT}norm.weight": (D,),
    f"{AT}mixer.in_proj.weight": (WIDTH + CONV + NARROW, D),
    f"{AT}mixer.conv1d.weight": (CONV, 1, 4),
    f"{AT}mixer.conv1d.bias": (CONV,),
    f"{AT}mixer.A_log": (NARROW,),
    f"{AT}mixer.dt_bias": (NARROW,),
    f"{AT}mixer.D": (NARROW,),
    f"{AT}mixer.norm.weight": (WIDTH,),
    f"{AT}mixer.out_proj.weight": (D, WIDTH),
    "backbone.norm_f.weight": (D,),
    "lm_head.weight": (WORDS, D),
  },
  lm(
    _mamba2_weights,
    pattern=(
      Block(
        (
          entry(
            "mamba2",
            num_heads=NARROW,
            num_groups=GROUPS,
            state_dim=STATE,
            norm_epsilon=EPSILON,
          ),
        )
      ),
    ),
    embedding_scale=1.0,
    tied=False,
  ),
  transformers(
    "mamba2",
    "Mamba2ForCausalLM",
    "Mamba2Config",
    dict(
      vocab_size=WORDS,
      hidden_size=D,
      num_heads=NARROW,
      head_dim=WIDTH // NARROW,
      state_size=STATE,
      n_groups=GROUPS,
      chunk_size=16,
      num_hidden_layers=1,
      layer_norm_epsilon=EPSILON,
      tie_word_embeddings=False,
      pad_token_id=None,
    ),
  ),
)

# RWKV-7 has a first layer, and one that mixes the values of the first with its own

RANKS = {"w": 4, "a": 5, "g": 6, "v": 7}
MODEL = "fla.models.rwkv7.modeling_rwkv7"


def _rwkv7_layer(i):
  """Returns the shapes of layer i."""
  shapes = {f"attn.x_{n}": (1, 1, D) for n in "rwkvag"}
  shapes |= {f"attn.{n}": (D,) for n in ("k_k", "k_a")} | {"attn.r_k": (HEADS, DIM)}
  shapes |= {f"attn.{n}_proj.weight": (D, D) for n in "rkvo"}
  for n, rank in RANKS.items():
    if n != "v" or i:
      shapes[f"attn.{n}_lora.lora.0.weight"] = (rank, D)
      shapes[f"attn.{n}_lora.lora.2.weight"] = (D, rank)
      if n != "g":
        shapes[f"attn.{n}_lora.lora.2.bias"] = (D,)
  norms = ["attn.g_norm", "attn_norm", "ffn_norm", *([] if i else ["pre_norm"])]
  shapes |= {f"{n}.{kind}": (D,) for n in norms for kind in ("weight", "bias")}
  shapes |= {"ffn.x_k": (D,), "ffn.key.weight": (F, D), "ffn.value.weight": (D, F)}
  return {f"layers.{i}.{name}": shape for name, shape in shapes.items()}


def _rwkv7_block(p, i):
  at = f"layers.{i}."
  low = {"w": ("w_in", "w"), "a": ("a_in", "a"), "g": ("g_in", "g")}
  bias = {"w": "decay", "a": "rate"}
  if i:
    low |= {"v": ("value_share_in", "value_share")}
    bias |= {"v": "value_share_bias"}
  mixer = {f"shift_{n}": p[f"{at}attn.x_{n}"].reshape(D) for n in "rwkvag"}
  mixer |= {n: linear(p, f"{at}attn.{n}_proj") for n in "rkv"}
  for n, (narrow, wide) in low.items():
    mixer[narrow] = linear(p, f"{at}attn.{n}_lora.lora.0")
    mixer[wide] = {"kernel": p[f"{at}attn.{n}_lora.lora.2.weight"].T}
  mixer |= {name: p[f"{at}attn.{n}_lora.lora.2.bias"] for n, name in bias.items()}
  mixer |= {
    "removed": p[f"{at}attn.k_k"],
    "replaced": p[f"{at}attn.k_a"],
    "bonus": p[f"{at}attn.r_k"].reshape(D),
    "norm": {k: a.reshape(HEADS, DIM) for k, a in norm(p, f"{at}attn.g_norm").items()},
    "out": linear(p, f"{at}attn.o_proj"),
  }
  mlp = {"up": linear(p, f"{at}ffn.key"), "down": linear(p, f"{at}ffn.value")}
  return {
    "mixer_norm": norm(p, f"{at}attn_norm"),
    "mixer": mixer,
    "mlp_norm": norm(p, f"{at}ffn_norm"),
    "mlp": mlp | {"shift": p[f"{at}ffn.x_k"]},
  }


def _rwkv7_weights(p):
  first = {"first": {"block_0": _rwkv7_block(p, 0)}}
  return {
    "embedding": p["embeddings.weight"],
    "embedding_norm": norm(p, "layers.0.pre_norm"),
    "stack": first | stacked(block_0=_rwkv7_block(p, 1)),
    "norm": norm(p, "norm"),
    "head": p["lm_head.weight"],
  }


def _fla_rwkv7():
  """Runs fla's model with its naive rule for its kernels, a document a call."""
  torch = importlib.import_module("torch")
  package = importlib.import_module(MODEL)
  config = package.RWKV7Config(
    vocab_size=WORDS,
    hidden_size=D,
    head_dim=DIM,
    intermediate_size=F,
    num_hidden_layers=2,
    decay_low_rank_dim=RANKS["w"],
    a_low_rank_dim=RANKS["a"],
    gate_low_rank_dim=RANKS["g"],
    v_low_rank_dim=RANKS["v"],
    norm_eps=EPSILON,
    fuse_norm=False,
    fuse_cross_entropy=False,
    use_cache=False,
    pad_token_id=None,
  )
  peer = package.RWKV7Model(config).eval()
  rules = _rwkv7_stand_ins(peer)

  def shift(x, *_, **__):
    before = torch.cat([torch.zeros_like(x[:, :1]), x[:, :-1]], dim=1)
    return before - x, x[:, -1:]

  rules["token_shift"] = shift
  text = torch.tensor(TOKENS, dtype=torch.long)

  def run(params, inputs, state):
    body = {name: a for name, a in params.items() if name != "lm_head.weight"}
    layers = importlib.import_module("fla.layers.rwkv7")
    with contextlib.ExitStack() as stack:
      stack.enter_context(mock.patch.multiple(layers, **rules))
      stack.enter_context(mock.patch.object(package, "token_shift", shift))
      call = {"input_ids": inputs[0], "use_cache": False, "return_dict": False}
      x = torch.func.functional_call(peer, body, (), call)[0]
    return x @ params["lm_head.weight"].T, ()

  each = by_document(run)
  return lambda params, inputs, state: each(params, (text,), state)


def _rwkv7_item(**options):
  ranks = {"decay_rank": RANKS["w"], "rate_rank": RANKS["a"], "gate_rank": RANKS["g"]}
  options |= {"num_heads": HEADS, "norm_epsilon": EPSILON, "form": "recurrent"}
  mixer = entry("rwkv7", **ranks | options)
  return (Block((mixer, Entry("rwkv_channel_mix"))),)


RWKV7 = case(
  "rwkv 7",
  "fla RWKV7Model, naive rule",
  {"embeddings.weight": (WORDS, D), "norm.weight": (D,), "norm.bias": (D,)}
  | {"lm_head.weight": (WORDS, D)}
  | _rwkv7_layer(0)
  | _rwkv7_layer(1),
  lm(
    _rwkv7_weights,
    first=_rwkv7_item(),
    pattern=_rwkv7_item(value_residual=True, value_rank=RANKS["v"]),
    norm="layer",
    embedding_norm=True,
    embedding_scale=1.0,
    tied=False,
  ),
  _fla_rwkv7,
)

BLOCKS = [RWKV7, MAMBA2]
