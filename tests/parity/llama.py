"""A whole Llama, as a GGUF file has it, against that of transformers."""

import importlib

import jax
import jax.numpy as jnp
import numpy as np

from jaxmem.interop.llama_tensors import Sizes, layer_tensors
from jaxmem.interop.smollm import from_llama
from jaxmem.models.lm import LM

from .harness import LENGTH, RESET, ROWS, Case, by_document

D, HEADS, KEY_HEADS, DIM, WORDS, LAYERS, D_FF = 16, 4, 2, 8, 11, 2, 24
SIZES = Sizes(LAYERS, HEADS, KEY_HEADS, DIM, D, D_FF, WORDS)
EPSILON, BASE = 1e-3, 500.0  # an epsilon large enough to be seen
PACKAGE = "transformers.models.llama.modeling_llama"
TOKENS = np.random.RandomState(0).randint(0, WORDS, (ROWS, LENGTH)).astype(np.int32)
METADATA = {
  "general.architecture": "llama",
  "llama.block_count": LAYERS,
  "llama.context_length": LENGTH,
  "llama.attention.head_count": HEADS,
  "llama.attention.head_count_kv": KEY_HEADS,
  "llama.attention.layer_norm_rms_epsilon": EPSILON,
  "llama.rope.freq_base": BASE,
}
# Names of a layer's tensors: the file's, and those of transformers.
NAMES = {
  "attn_norm": "input_layernorm",
  "attn_q": "self_attn.q_proj",
  "attn_k": "self_attn.k_proj",
  "attn_v": "self_attn.v_proj",
  "attn_output": "self_attn.o_proj",
  "ffn_norm": "post_attention_layernorm",
  "ffn_gate": "mlp.gate_proj",
  "ffn_up": "mlp.up_proj",
  "ffn_down": "mlp.down_proj",
}


def shapes() -> dict[str, tuple[int, ...]]:
  """Returns the shapes of all tensors but the table."""
  of = {
    f"blk.{i}.{name}.weight": spec.shape
    for i in range(LAYERS)
    for name, spec in layer_tensors(SIZES).items()
  }
  return of | {"output_norm.weight": (D,)}


def _ours(params, inputs, state):
  tensors = params | {"token_embd.weight": inputs[0]}
  config, weights = from_llama(METADATA, tensors, block_size=8)
  model = LM(config)
  begin = model.init_state(ROWS)
  logits, _ = model.apply({"params": weights}, jnp.asarray(TOKENS), begin, RESET)
  return logits, ()


def _theirs():
  torch = importlib.import_module("torch")
  package = importlib.import_module(PACKAGE)
  config = package.LlamaConfig(
    vocab_size=WORDS,
    hidden_size=D,
    intermediate_size=D_FF,
    num_hidden_layers=LAYERS,
    num_attention_heads=HEADS,
    num_key_value_heads=KEY_HEADS,
    head_dim=DIM,
    rms_norm_eps=EPSILON,
    rope_parameters={"rope_type": "default", "rope_theta": BASE},
    tie_word_embeddings=True,
  )
  config._attn_implementation = "eager"
  peer = package.LlamaForCausalLM(config).eval()

  def halves(name, w):
    """From pairs side by side to pairs K/2 apart."""
    if name not in ("attn_q", "attn_k"):
      return w
    return w.reshape(-1, DIM // 2, 2, D).transpose(1, 2).reshape(-1, D)

  def run(params, inputs, state):
    table = params["table"]
    weights = {"model.embed_tokens.weight": table, "lm_head.weight": table}
    weights["model.norm.weight"] = params["output_norm.weight"]
    for i in range(LAYERS):
      for name, theirs in NAMES.items():
        w = halves(name, params[f"blk.{i}.{name}.weight"])
        weights[f"model.layers.{i}.{theirs}.weight"] = w
    call = {"input_ids": inputs[0], "use_cache": False}
    return torch.func.functional_call(peer, weights, (), call).logits, ()

  each = by_document(run)
  text = torch.tensor(TOKENS, dtype=torch.long)
  return lambda p, i, s: each(p | {"table": i[0]}, (text,), s)


def _small(params, inputs, state):
  """Makes scores of size 1, and an embedding so small that the epsilon matters."""

  def matrix(a):
    return a * np.float32(0.3) if a.ndim == 2 else a

  return jax.tree.map(matrix, params), (inputs[0] * np.float32(0.1),), state


# The table, embedding and head in one, is the input.
CASES = [
  Case(
    "attention",
    "transformers LlamaForCausalLM",
    PACKAGE,
    (shapes(), ((WORDS, D),), ()),
    {"parallel": _ours},
    _theirs,
    _small,
  )
]
