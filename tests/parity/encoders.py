"""Whole layers that read both ways, or another sequence, at small random weights.

Weights go by the peer's names and shapes; ours are made of them. Where a peer has no
output projection ours is the identity.
"""

import importlib

import jax
import jax.numpy as jnp
import numpy as np

from jaxmem import mixers
from jaxmem.ops.attention_core import masks
from jaxmem.ops.attention_core.sparse_blocks import RandomBlocks

from .harness import LENGTH, RESET, ROWS, Case, by_document, shapes

D, H = 16, 4
SMALL = np.float32(0.3)  # the size of the weights
FORMS = {
  "dense": {"form": "dense"},
  "parallel": {},
  "parallel, blocks of 8": {"block_size": 8},
}
PLAIN = {"d_model": D, "num_heads": H, "rotary_base": None}


def _case(name, peer, module, params, weights, theirs, reset=RESET, **options):
  """Compares our mixer `name` with a layer.

  Args:
    name: of the mixer.
    peer: what the table calls the peer.
    module: what must be importable to ask it.
    params: the peer's weights, name -> shape.
    weights: the peer's weights -> our parameters.
    theirs: `() -> f`.
    reset: where documents begin.
    options: of our mixer.
  """

  def form(form_options):
    mixer = mixers.get(name).Mixer(**PLAIN, **options, **form_options)

    def run(params, inputs, state):
      return mixer.apply({"params": weights(params)}, inputs[0], (), reset)

    return run

  forms = {key: form(form_options) for key, form_options in FORMS.items()}
  return Case(name, peer, module, shapes(params, ((D,),)), forms, theirs, _small)


def _small(params, inputs, state):
  return jax.tree.map(lambda a: SMALL * a, params), inputs, state


def _in(w, b=None):
  """Converts torch's [out, in] and [out] to [in, H, out / H] and [H, out / H]."""
  kernel = {"kernel": w.T.reshape(w.shape[1], H, -1)}
  return kernel if b is None else kernel | {"bias": b.reshape(H, -1)}


def _out(w, b=None):
  """Converts torch's [out, in] to [H, in / H, out]."""
  kernel = {"kernel": w.T.reshape(H, -1, w.shape[0])}
  return kernel if b is None else kernel | {"bias": b}


def _called(module, params, *args, **options):
  torch = importlib.import_module("torch")
  return torch.func.functional_call(module, params, args, options)


def _linear(*names):
  """Maps names of weights and biases to shapes."""

  def each(n):
    return {f"{n}.weight": (D, D), f"{n}.bias": (D,)}

  return {key: shape for n in names for key, shape in each(n).items()}


def _theirs_by_name(names, params):
  """Makes our projections from theirs, and an identity as output projection."""
  projections = {
    ours: _in(params[f"{n}.weight"], params[f"{n}.bias"]) for ours, n in names.items()
  }
  return projections | {"out": _out(jnp.eye(D), jnp.zeros(D))}


# torch

MHA = {"in_proj_weight": (3 * D, D), "in_proj_bias": (3 * D,)}
MHA |= {"out_proj.weight": (D, D), "out_proj.bias": (D,)}


def _mha_weights(params):
  parts = zip(
    jnp.split(params["in_proj_weight"], 3),
    jnp.split(params["in_proj_bias"], 3),
    strict=True,
  )
  weights = {name: _in(*part) for name, part in zip("qkv", parts, strict=True)}
  return weights | {"out": _out(params["out_proj.weight"], params["out_proj.bias"])}


def _mha():
  torch = importlib.import_module("torch")
  layer = torch.nn.MultiheadAttention(D, H, batch_first=True)

  def run(params, inputs, state):
    x = inputs[0]
    return _called(layer, params, x, x, x, need_weights=False)[0], state

  return by_document(run)


SLOTS, VALID = 5, np.array([5, 3], np.int32)


def _cross():
  torch = importlib.import_module("torch")
  layer = torch.nn.MultiheadAttention(D, H, batch_first=True)
  padding = torch.tensor(np.arange(SLOTS) >= VALID[:, None])

  def run(params, inputs, state):
    (encoded,) = state
    call = {"key_padding_mask": padding, "need_weights": False}
    return _called(layer, params, inputs[0], encoded, encoded, **call)[0], state

  return run


def _cross_ours(form):
  mixer = mixers.get("cross_attention").Mixer(
    **PLAIN, memory_size=SLOTS + 2, use_bias=True, form=form
  )

  def run(params, inputs, state):
    tree = {"params": _mha_weights(params)}
    memory = mixer.apply(tree, *state, jnp.asarray(VALID), method="remember")
    return mixer.apply(tree, inputs[0], memory)[0], state

  return run


# T5's encoder does not scale scores: K^-0.5 is divided out of our query weights

T5 = {f"{n}.weight": (D, D) for n in "qkvo"}
T5 |= {"relative_attention_bias.weight": (8, H)}


def _t5_weights(params):
  weights = {n: _in(params[f"{n}.weight"]) for n in "kv"}
  weights["q"] = _in(params["q.weight"] * (D / H) ** 0.5)
  buckets = params["relative_attention_bias.weight"]
  return weights | {"out": _out(params["o.weight"]), "buckets": buckets}


def _t5():
  package = importlib.import_module("transformers.models.t5")
  config = package.T5Config(
    d_model=D, d_kv=D // H, num_heads=H, dropout_rate=0.0,
    relative_attention_num_buckets=8, relative_attention_max_distance=20,
  )  # fmt: skip
  config._attn_implementation = "eager"
  layer = package.modeling_t5.T5Attention(config, has_relative_attention_bias=True)
  layer.eval()
  return by_document(lambda p, inputs, state: (_called(layer, p, *inputs)[0], state))


# Longformer

NAMES = {"q": "query", "k": "key", "v": "value"}
GLOBAL = NAMES | {f"{k}_global": f"{v}_global" for k, v in NAMES.items()}
WINDOW, FIRST = 4, 2


def _longformer():
  torch = importlib.import_module("torch")
  package = importlib.import_module("transformers.models.longformer")
  config = package.LongformerConfig(
    hidden_size=D, num_attention_heads=H, attention_window=[WINDOW],
    num_hidden_layers=1, attention_probs_dropout_prob=0.0,
  )  # fmt: skip
  layer = package.modeling_longformer.LongformerSelfAttention(config, 0).eval()

  def run(params, inputs, state):
    (x,) = inputs
    short = -x.shape[1] % (2 * WINDOW)
    position = torch.arange(x.shape[1] + short).expand(ROWS, -1)
    padding, first = position >= x.shape[1], position < FIRST
    y = _called(
      layer,
      params,
      torch.nn.functional.pad(x, (0, 0, 0, short)),
      attention_mask=-1e4 * padding + 1e4 * first,
      is_index_masked=padding,
      is_index_global_attn=first,
      is_global_attn=True,
    )[0]
    return y[:, : x.shape[1]], state

  return by_document(run)


# Causal, with a dilation a head: torch's attention under masks written out

DILATION = (1, 2, 1, 3)


def _causal_masks(length):
  """Returns the masks of the first projections, [H, T, T], and of the global ones."""
  ago = np.arange(length)[:, None] - np.arange(length)
  dilation = np.array(DILATION)[:, None, None]
  near = (ago % dilation == 0) & (ago < WINDOW * dilation)
  visible = (near | (np.arange(length) < FIRST)) & (ago >= 0)
  return visible, ago >= 0


def _longformer_causal():
  torch = importlib.import_module("torch")
  attend = torch.nn.functional.scaled_dot_product_attention

  def run(params, inputs, state):
    (x,) = inputs
    length = x.shape[1]
    visible, before = map(torch.tensor, _causal_masks(length))

    def read(names, mask):
      def linear(n):
        return torch.nn.functional.linear(x, params[f"{n}.weight"], params[f"{n}.bias"])

      q, k, v = (linear(n).unflatten(-1, (H, -1)).transpose(1, 2) for n in names)
      return attend(q, k, v, attn_mask=mask).transpose(1, 2).flatten(2)

    names = list(GLOBAL.values())
    first = (torch.arange(length) < FIRST)[:, None]
    return torch.where(first, read(names[3:], before), read(names[:3], visible)), state

  return by_document(run)


def _longformer_ours(form):
  options = {"window_size": WINDOW, "num_global": FIRST, "dilation": DILATION}
  options |= {"use_bias": True, "block_size": 8, "form": form}
  mixer = mixers.get("longformer").Mixer(**PLAIN, **options)

  def run(params, inputs, state):
    tree = {"params": _theirs_by_name(GLOBAL, params)}
    return mixer.apply(tree, *inputs, mixer.init_state(ROWS), RESET)[0], ()

  return run


# BigBird, given our random blocks

BLOCK, RANDOM = 2, 2


def _drawn():
  """Returns our random blocks as lists, [head][block 1 .. m-2][n]."""
  blocks = -(-LENGTH // BLOCK)
  one = jnp.zeros((1, BLOCK * blocks), bool)
  visible = np.asarray(masks.dense(RandomBlocks(BLOCK, RANDOM, H), one, H))[0]
  visible = visible[:, ::BLOCK, ::BLOCK]
  return [[np.flatnonzero(row) for row in head[1:-1]] for head in visible]


def _bigbird():
  torch = importlib.import_module("torch")
  package = importlib.import_module("transformers.models.big_bird")
  modeling = package.modeling_big_bird
  config = package.BigBirdConfig(
    hidden_size=D, num_attention_heads=H, block_size=BLOCK, use_bias=True,
    num_random_blocks=RANDOM, max_position_embeddings=64,
  )  # fmt: skip
  layer = modeling.BigBirdBlockSparseAttention(config).eval()
  layer._get_rand_attn_plan = lambda *_: (None, None)
  layer._bigbird_block_rand_mask_with_head = lambda **_: np.array(_drawn())
  short = -LENGTH % BLOCK
  is_token = (torch.arange(LENGTH + short) < LENGTH).float().expand(ROWS, -1)
  cut = modeling.BigBirdModel.create_masks_for_block_sparse_attn
  blocked, band, of, to = cut(is_token.contiguous(), BLOCK)

  def run(params, inputs, state):
    x = torch.nn.functional.pad(inputs[0], (0, 0, 0, short))
    y = _called(layer, params, x, band, of, to, blocked, blocked)[0]
    return y[:, :LENGTH], state

  return run


CASES = [
  _case(
    "encoder_attention", "torch nn.MultiheadAttention", "torch", MHA, _mha_weights,
    _mha, use_bias=True,
  ),
  _case(
    "encoder_attention", "transformers T5Attention, an encoder's",
    "transformers.models.t5.modeling_t5", T5, _t5_weights, _t5, bias="buckets",
    num_buckets=8, farthest=20,
  ),
  _case(
    "longformer", "transformers LongformerSelfAttention",
    "transformers.models.longformer.modeling_longformer", _linear(*GLOBAL.values()),
    lambda params: _theirs_by_name(GLOBAL, params), _longformer, causal=False,
    window_size=WINDOW, num_global=FIRST, use_bias=True,
  ),
  _case(
    "bigbird", "transformers BigBirdBlockSparseAttention, our random blocks",
    "transformers.models.big_bird.modeling_big_bird", _linear(*NAMES.values()),
    lambda params: _theirs_by_name(NAMES, params), _bigbird, None, use_bias=True,
    sparse_block=BLOCK, num_random=RANDOM,
  ),
  Case(
    "cross_attention", "torch nn.MultiheadAttention, padded", "torch",
    shapes(MHA, ((D,),), ((SLOTS, D),)),
    {form: _cross_ours(form) for form in ("recurrent", "parallel")}, _cross, _small,
  ),
  Case(
    "longformer", "torch SDPA, causal, a dilation a head", "torch",
    shapes(_linear(*GLOBAL.values()), ((D,),)),
    {form: _longformer_ours(form) for form in ("recurrent", "parallel")},
    _longformer_causal, _small,
  ),
]  # fmt: skip
