"""Whole layers of attention against those of transformers.

The peers make their own masks and rotary tables. What a peer scales scores by beyond
K^-0.5 is put into our query weights (Gemma 2, T5) or the query norm (Gemma 3).
"""

import importlib

import jax
import jax.numpy as jnp
import numpy as np

from jaxmem import mixers

from .harness import LENGTH, RESET, ROWS, Case, by_document, shapes

D, HEADS, KEY_HEADS, DIM, WINDOW = 16, 4, 2, 8, 7
MODELS = "transformers.models."


def _shapes(key_heads=KEY_HEADS, extra=()):
  """Returns the shapes of the projections as torch has them, outputs first."""
  rows = {"q": HEADS, "k": key_heads, "v": key_heads}
  weight_shapes = {f"{n}_proj.weight": (heads * DIM, D) for n, heads in rows.items()}
  return weight_shapes | {"o_proj.weight": (D, HEADS * DIM)} | dict(extra)


BIASES = {
  "q_proj.bias": (HEADS * DIM,),
  "k_proj.bias": (KEY_HEADS * DIM,),
  "v_proj.bias": (KEY_HEADS * DIM,),
  "o_proj.bias": (D,),
}
NORMS = {"q_norm.weight": (DIM,), "k_norm.weight": (DIM,)}


def _small(params, inputs, state):
  """Scales weights so that scores have size 1."""

  def matrix(a):
    return a * np.float32(0.3) if a.ndim == 2 else a

  return jax.tree.map(matrix, params), inputs, state


def _linen(p):
  """Makes the parameters of our layer from those of Llama and related models."""

  def heads(a):
    return a.reshape(-1, DIM)

  named = {}
  for name in "qkv":
    kernel = jnp.moveaxis(p[f"{name}_proj.weight"].reshape(-1, DIM, D), -1, 0)
    named[name] = {"kernel": kernel}
    if "o_proj.bias" in p:
      named[name]["bias"] = heads(p[f"{name}_proj.bias"])
  named["out"] = {"kernel": p["o_proj.weight"].T.reshape(HEADS, DIM, D)}
  if "o_proj.bias" in p:
    named["out"]["bias"] = p["o_proj.bias"]
  for name in ("q_norm", "k_norm"):
    if f"{name}.weight" in p:  # theirs is counted from 1
      named[name] = {"scale": 1 + p[f"{name}.weight"]}
  if "sinks" in p:
    named["sink"] = p["sinks"]
  return named


def _scaled(by, *path):
  """Multiplies a leaf of `_linen` by the factor with which the peer scales scores."""

  def weights(p):
    named = _linen(p)
    node = named
    for key in path[:-1]:
      node = node[key]
    node[path[-1]] = node[path[-1]] * by
    return named

  return weights


def _gated(p):
  """Splits the matrix of Qwen 3 Next that has queries and gates of every head."""
  q, gate = jnp.split(p["q_proj.weight"].reshape(HEADS, 2 * DIM, D), 2, axis=1)
  named = _linen(p | {"q_proj.weight": q.reshape(-1, D)})
  return named | {"gate": {"kernel": jnp.moveaxis(gate, -1, 0)}}


def _gpt2(p):
  kernels = jnp.split(p["c_attn.weight"].reshape(D, 3 * HEADS, -1), 3, axis=1)
  biases = jnp.split(p["c_attn.bias"].reshape(3 * HEADS, -1), 3)
  named = {
    name: {"kernel": kernel, "bias": bias}
    for name, kernel, bias in zip("qkv", kernels, biases, strict=True)
  }
  out = {"kernel": p["c_proj.weight"].reshape(HEADS, -1, D), "bias": p["c_proj.bias"]}
  return named | {"out": out}


def _t5(p):
  names = {f"{n}_proj.weight": p[f"{n}.weight"] for n in "qkvo"}
  named = _scaled(DIM**0.5, "q", "kernel")(names)
  return named | {"buckets": p["relative_attention_bias.weight"]}


def _ours(name, weights, form, **options):
  sizes = {"num_heads": HEADS, "num_kv_heads": KEY_HEADS, "head_dim": DIM}
  mixer = mixers.get(name).Mixer(D, **sizes | options, form=form, block_size=8)

  def run(params, inputs, state):
    begin = mixer.init_state(ROWS)
    y, _ = mixer.apply({"params": weights(params)}, inputs[0], begin, RESET)
    return y, ()

  return run


def _theirs(module, layer, config, rope=None, window=False, **options):
  """Runs a layer of transformers with the mask and the angles of its model."""

  def load():
    torch = importlib.import_module("torch")
    masks = importlib.import_module("transformers.masking_utils")
    package = importlib.import_module(MODELS + module)
    c = config(package)
    c._attn_implementation = "eager"
    make = (
      masks.create_sliding_window_causal_mask if window else masks.create_causal_mask
    )
    rotary = getattr(package, rope)(c) if rope else None
    peer = getattr(package, layer)(c, **options).eval()

    def run(params, inputs, state):
      (x,) = inputs
      mask = make(c, x, None, None, allow_is_causal_skip=False)
      call = {"mask" if layer == "T5Attention" else "attention_mask": mask}
      if rotary:
        position = torch.arange(LENGTH)[None]
        by_type = {"layer_type": peer.layer_type} if "gemma3" in module else {}
        angles = rotary(x, position, **by_type)
        call["position_embeddings"] = tuple(a[:, : x.shape[1]] for a in angles)
      hidden = x.contiguous()  # GPT-2 calls `view`
      y = torch.func.functional_call(peer, dict(params), (hidden,), call)
      return y[0], ()

    return by_document(run)

  return load


def _config(name, **options):
  """Returns a function that makes a package's configuration with our sizes."""
  fields = dict(
    hidden_size=D,
    num_attention_heads=HEADS,
    num_key_value_heads=KEY_HEADS,
    head_dim=DIM,
    num_hidden_layers=1,
  )
  return lambda package: getattr(package, name)(**fields | options)


def _case(name, peer, theirs, params, weights=_linen, **options):
  forms = {
    form: _ours(name, weights, form, **options) for form in ("recurrent", "parallel")
  }
  module = "transformers.masking_utils"
  sizes = shapes(params, ((D,),))
  return Case(f"{name} layer", peer, module, sizes, forms, theirs, _small)


def _llama(peer, rope_parameters, **options):
  rope = {"rope_theta": 10_000.0} | rope_parameters
  # 8 trained positions, so that some rotary types extrapolate
  config = _config("LlamaConfig", rope_parameters=rope, max_position_embeddings=8)
  rotary = "LlamaRotaryEmbedding"
  theirs = _theirs(
    "llama.modeling_llama", "LlamaAttention", config, rotary, layer_idx=0
  )
  return _case("attention", f"transformers {peer}", theirs, _shapes(), **options)


def _other(name, peer, module, layer, config, window, params, weights, **options):
  rope = layer.removesuffix("Attention") + "RotaryEmbedding"
  module = f"{module}.modeling_{module}"
  theirs = _theirs(module, layer, config, rope, window, layer_idx=0)
  return _case(name, f"transformers {peer}", theirs, params, weights, **options)


SINKS = {"sinks": (HEADS,)}
T5 = {f"{n}.weight": (HEADS * DIM, D) for n in "qkv"} | {"o.weight": (D, HEADS * DIM)}
GPT2 = {"c_attn.weight": (D, 3 * D), "c_proj.weight": (D, D)}
GPT2 |= {"c_attn.bias": (3 * D,), "c_proj.bias": (D,)}
PLAIN = {"rope_type": "default", "rope_theta": 10_000.0}
GEMMA3 = {"sliding_attention": PLAIN, "full_attention": PLAIN}
LOCAL = {"sliding_window": WINDOW, "layer_types": ["sliding_attention"]}
CASES = [
  _llama("Llama", {"rope_type": "default", "rope_theta": 500.0}, rotary_base=500.0),
  _llama(
    "Llama, linear rotary scaling",
    {"rope_type": "linear", "factor": 3.0},
    rotary_scaling="linear",
    rotary_factor=3.0,
  ),
  # their factor grows with the text: of 37 tokens where 8 were trained it is 37/8
  _llama(
    "Llama, NTK rotary scaling",
    {"rope_type": "dynamic", "factor": 1.0},
    rotary_scaling="ntk",
    rotary_factor=LENGTH / 8,
  ),
  _llama(
    "Llama, YaRN",
    {"rope_type": "yarn", "factor": 8.0, "original_max_position_embeddings": 64},
    rotary_scaling="yarn",
    rotary_factor=8.0,
    trained_length=64,
  ),
  _other(
    "window",
    "Mistral",
    "mistral",
    "MistralAttention",
    _config("MistralConfig", sliding_window=WINDOW, rope_parameters=PLAIN),
    True,
    _shapes(),
    _linen,
    window_size=WINDOW,
  ),
  _other(
    "window",
    "Gemma 2",
    "gemma2",
    "Gemma2Attention",
    _config(
      "Gemma2Config",
      query_pre_attn_scalar=3,
      attn_logit_softcapping=2.0,
      rope_parameters=PLAIN,
      **LOCAL,
    ),
    True,
    _shapes(),
    _scaled((DIM / 3) ** 0.5, "q", "kernel"),
    window_size=WINDOW,
    logit_cap=2.0,
  ),
  _other(
    "window",
    "Gemma 3",
    "gemma3",
    "Gemma3Attention",
    _config(
      "Gemma3TextConfig", query_pre_attn_scalar=3, rope_parameters=GEMMA3, **LOCAL
    ),
    True,
    _shapes(extra=NORMS),
    _scaled((DIM / 3) ** 0.5, "q_norm", "scale"),
    window_size=WINDOW,
    qk_norm=True,
  ),
  _other(
    "attention",
    "gpt-oss",
    "gpt_oss",
    "GptOssAttention",
    _config(
      "GptOssConfig",
      attention_bias=True,
      rope_parameters=PLAIN,
      layer_types=["full_attention"],
    ),
    False,
    _shapes(extra=BIASES | SINKS),
    _linen,
    learned_sink=True,
    use_bias=True,
  ),
  _other(
    "attention",
    "Qwen 3 Next",
    "qwen3_next",
    "Qwen3NextAttention",
    _config("Qwen3NextConfig", rope_parameters=PLAIN | {"partial_rotary_factor": 0.5}),
    False,
    _shapes(extra=NORMS) | {"q_proj.weight": (2 * HEADS * DIM, D)},
    _gated,
    qk_norm=True,
    gate=True,
    rotary_dim=DIM // 2,
  ),
  _case(
    "attention",
    "transformers GPT-2",
    _theirs(
      "gpt2.modeling_gpt2",
      "GPT2Attention",
      lambda p: p.GPT2Config(n_embd=D, n_head=HEADS, n_layer=1),
      layer_idx=0,
    ),
    GPT2,
    _gpt2,
    num_kv_heads=0,
    head_dim=0,
    rotary_base=None,
    use_bias=True,
  ),
  _case(
    "attention",
    "transformers T5, a decoder's",
    _theirs(
      "t5.modeling_t5",
      "T5Attention",
      lambda p: p.T5Config(
        d_model=D,
        d_kv=DIM,
        num_heads=HEADS,
        num_layers=1,
        is_decoder=True,
        relative_attention_num_buckets=8,
        relative_attention_max_distance=20,
      ),
      has_relative_attention_bias=True,
      layer_idx=0,
      is_causal=True,
    ),
    T5 | {"relative_attention_bias.weight": (8, HEADS)},
    _t5,
    num_kv_heads=0,
    rotary_base=None,
    bias="buckets",
    num_buckets=8,
    farthest=20,
  ),
]
