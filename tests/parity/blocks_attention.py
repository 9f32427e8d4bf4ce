"""Llama, Gemma 2, GPT-2 and BERT against those of transformers."""

import jax.numpy as jnp

from jaxmem.models.encoder import Encoder, EncoderConfig
from jaxmem.models.pattern import entry

from .blocks_shared import (
  DIM,
  EPSILON,
  HEADS,
  TOKENS,
  WORDS,
  D,
  F,
  case,
  heads,
  linear,
  lm,
  norm,
  out,
  stacked,
  transformers,
  with_bias,
)  # fmt: skip
from .harness import LENGTH, RESET

# Llama


def _layers(kv_heads, norms, count=1):
  """Returns the shapes of the layers of Llama and related models."""
  one = {f"self_attn.{n}_proj.weight": (kv_heads * DIM, D) for n in "kv"}
  one |= {f"self_attn.{n}_proj.weight": (D, D) for n in "qo"}
  one |= {f"mlp.{n}_proj.weight": (F, D) for n in ("gate", "up")}
  one |= {"mlp.down_proj.weight": (D, F)} | {
    f"{n}_layernorm.weight": (D,) for n in norms
  }
  ends = {"model.embed_tokens.weight": (WORDS, D), "model.norm.weight": (D,)}
  layers = [{f"model.layers.{i}.{n}": s for n, s in one.items()} for i in range(count)]
  return ends | {name: shape for layer in layers for name, shape in layer.items()}


def _llama_block(p, i, norms):
  at = f"model.layers.{i}."
  mixer = {n: heads(p, f"{at}self_attn.{n}_proj") for n in "qkv"}
  mlp = {n: linear(p, f"{at}mlp.{n}_proj") for n in ("gate", "up", "down")}
  named = {ours: norm(p, f"{at}{theirs}_layernorm") for theirs, ours in norms.items()}
  mixer["out"] = out(p, f"{at}self_attn.o_proj")
  return named | {"mixer": mixer, "mlp": mlp}


def _llama_ends(p):
  ends = {"embedding": p["model.embed_tokens.weight"], "norm": norm(p, "model.norm")}
  return ends | ({"head": p["lm_head.weight"]} if "lm_head.weight" in p else {})


LLAMA_NORMS = {"input": "mixer_norm", "post_attention": "mlp_norm"}
LLAMA = case(
  "llama",
  "transformers LlamaForCausalLM",
  _layers(1, LLAMA_NORMS) | {"lm_head.weight": (WORDS, D)},
  lm(
    lambda p: (
      _llama_ends(p) | {"stack": stacked(block_0=_llama_block(p, 0, LLAMA_NORMS))}
    ),
    pattern=(entry("attention", num_heads=2, num_kv_heads=1, rotary_base=500.0),),
    embedding_scale=1.0,
    tied=False,
  ),
  transformers(
    "llama",
    "LlamaForCausalLM",
    "LlamaConfig",
    dict(
      vocab_size=WORDS,
      hidden_size=D,
      intermediate_size=F,
      num_hidden_layers=1,
      num_attention_heads=HEADS,
      num_key_value_heads=1,
      rms_norm_eps=EPSILON,
      rope_parameters={"rope_type": "default", "rope_theta": 500.0},
      tie_word_embeddings=False,
    ),
  ),
)


# Gemma 2: a layer with a window, one without; norms counted from 1, before and behind


GEMMA_NORMS = {
  "input": "mixer_norm",
  "post_attention": "mixer_out_norm",
  "pre_feedforward": "mlp_norm",
  "post_feedforward": "mlp_out_norm",
}
GEMMA_HEADS = dict(num_heads=HEADS, num_kv_heads=1, query_scale=3**-0.5, logit_cap=2.0)
GEMMA = case(
  "gemma 2",
  "transformers Gemma2ForCausalLM",
  _layers(1, GEMMA_NORMS, 2),
  lm(
    lambda p: (
      _llama_ends(p)
      | {
        "stack": stacked(
          **{f"block_{i}": _llama_block(p, i, GEMMA_NORMS) for i in range(2)}
        )
      }
    ),
    pattern=(
      entry("window", window_size=7, **GEMMA_HEADS),
      entry("attention", **GEMMA_HEADS),
    ),
    mlp="geglu",
    norm_offset=1.0,
    norm_position="sandwich",
    logit_cap=3.0,
  ),
  transformers(
    "gemma2",
    "Gemma2ForCausalLM",
    "Gemma2Config",
    dict(
      vocab_size=WORDS,
      hidden_size=D,
      intermediate_size=F,
      num_hidden_layers=2,
      num_attention_heads=HEADS,
      num_key_value_heads=1,
      head_dim=DIM,
      rms_norm_eps=EPSILON,
      query_pre_attn_scalar=3,
      attn_logit_softcapping=2.0,
      final_logit_softcapping=3.0,
      sliding_window=7,
      layer_types=["sliding_attention", "full_attention"],
      rope_parameters={"rope_type": "default", "rope_theta": 10_000.0},
      pad_token_id=None,
    ),
  ),
)


# GPT-2: its linear maps have inputs first


def _gpt2_weights(p):
  at = "transformer.h.0."
  turned = {name: a.T if a.ndim == 2 else a for name, a in p.items()}
  parts = {
    f"{n}.{kind}": part
    for kind in ("weight", "bias")
    for n, part in zip(
      "qkv", jnp.split(turned[f"{at}attn.c_attn.{kind}"], 3), strict=True
    )
  }
  mixer = {n: heads(parts, n) for n in "qkv"}
  block = {
    "mixer_norm": norm(p, f"{at}ln_1"),
    "mixer": mixer | {"out": out(turned, f"{at}attn.c_proj")},
    "mlp_norm": norm(p, f"{at}ln_2"),
    "mlp": {
      "up": linear(turned, f"{at}mlp.c_fc"),
      "down": linear(turned, f"{at}mlp.c_proj"),
    },
  }
  return {
    "embedding": p["transformer.wte.weight"],
    "positions": p["transformer.wpe.weight"],
    "stack": stacked(block_0=block),
    "norm": norm(p, "transformer.ln_f"),
  }


GPT2 = case(
  "gpt 2",
  "transformers GPT2LMHeadModel",
  {"transformer.wte.weight": (WORDS, D), "transformer.wpe.weight": (40, D)}
  | with_bias(
    {
      "transformer.h.0.ln_1": (D,),
      "transformer.h.0.attn.c_attn": (D, 3 * D),
      "transformer.h.0.attn.c_proj": (D, D),
      "transformer.h.0.ln_2": (D,),
      "transformer.h.0.mlp.c_fc": (D, F),
      "transformer.h.0.mlp.c_proj": (F, D),
      "transformer.ln_f": (D,),
    }
  ),
  lm(
    _gpt2_weights,
    pattern=(entry("attention", num_heads=2, rotary_base=None, use_bias=True),),
    mlp="gelu:approximate=True",
    norm="layer",
    embedding_scale=1.0,
    positions=40,
  ),
  transformers(
    "gpt2",
    "GPT2LMHeadModel",
    "GPT2Config",
    dict(
      vocab_size=WORDS,
      n_embd=D,
      n_inner=F,
      n_layer=1,
      n_head=HEADS,
      n_positions=40,
      layer_norm_epsilon=EPSILON,
    ),
  ),
)


# BERT


def _bert():
  config = EncoderConfig(
    vocab_size=WORDS,
    d_model=D,
    d_ff=F,
    pattern=(entry("encoder_attention", num_heads=2, rotary_base=None, use_bias=True),),
    num_groups=1,
    block="post",
    positions=LENGTH,
    types=2,
  )
  model = Encoder(config)

  def run(params, inputs, state):
    tokens, none = jnp.asarray(TOKENS), jnp.zeros_like(RESET)
    tree = {"params": _bert_weights(params)}
    return model.apply(tree, tokens, none, method="features"), ()

  return {"auto": run}


def _bert_weights(p):
  at = "encoder.layer.0."
  self_attention = {
    n[0]: heads(p, f"{at}attention.self.{n}") for n in ("query", "key", "value")
  }
  block = {
    "mixer": self_attention | {"out": out(p, f"{at}attention.output.dense")},
    "mixer_norm": norm(p, f"{at}attention.output.LayerNorm"),
    "up": linear(p, f"{at}intermediate.dense"),
    "down": linear(p, f"{at}output.dense"),
    "mlp_norm": norm(p, f"{at}output.LayerNorm"),
  }
  return {
    "embedding": p["embeddings.word_embeddings.weight"],
    "positions": p["embeddings.position_embeddings.weight"],
    "types": p["embeddings.token_type_embeddings.weight"],
    "embedding_norm": norm(p, "embeddings.LayerNorm"),
    "stack": stacked(block_0=block),
  }


def _bert_shapes():
  names = [f"encoder.layer.0.attention.self.{n}" for n in ("query", "key", "value")]
  names += ["encoder.layer.0.attention.output.dense"]
  norms = ["embeddings.LayerNorm", "encoder.layer.0.attention.output.LayerNorm"]
  norms += ["encoder.layer.0.output.LayerNorm"]
  tables = {"word": WORDS, "position": LENGTH, "token_type": 2}
  shapes = {f"embeddings.{n}_embeddings.weight": (s, D) for n, s in tables.items()}
  shapes |= with_bias({n: (D, D) for n in names} | {n: (D,) for n in norms})
  return shapes | {
    "encoder.layer.0.intermediate.dense.weight": (F, D),
    "encoder.layer.0.intermediate.dense.bias": (F,),
    "encoder.layer.0.output.dense.weight": (D, F),
    "encoder.layer.0.output.dense.bias": (D,),
  }


BERT = case(
  "bert",
  "transformers BertModel",
  _bert_shapes(),
  _bert(),
  transformers(
    "bert",
    "BertModel",
    "BertConfig",
    dict(
      vocab_size=WORDS,
      hidden_size=D,
      intermediate_size=F,
      num_hidden_layers=1,
      num_attention_heads=HEADS,
      max_position_embeddings=LENGTH,
      pad_token_id=None,
    ),
  ),
)

BLOCKS = [LLAMA, GEMMA, GPT2, BERT]
