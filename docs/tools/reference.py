"""The API reference: which names stand on which page; MkDocs renders docstrings."""

import importlib
from typing import Any

import jaxmem
from docs.tools.sources import table
from jaxmem import mixers, ops

# Page -> its title, a sentence, and what stands on it, by import path.
PAGES: dict[str, tuple[str, str, tuple[str, ...]]] = {
  "using": (
    "Trained models",
    "Load a run, generate, score, answer records.",
    (
      "jaxmem.evaluation.load.load",
      "jaxmem.evaluation.trained_model.TrainedModel",
      "jaxmem.generation.text.generate",
      "jaxmem.generation.sampling.Sampling",
      "jaxmem.generation.text_stream.TextStream",
      "jaxmem.tasks.dialogue.conversation.Conversation",
      "jaxmem.evaluation.text_score.Score",
    ),
  ),
  "training": (
    "Training",
    "An experiment is a `Config`; `train` runs it.",
    (
      "jaxmem.training.config.Config",
      "jaxmem.data.config.DataConfig",
      "jaxmem.training.optim_config.OptimConfig",
      "jaxmem.training.config.ValidationConfig",
      "jaxmem.parallel.mesh.MeshConfig",
      "jaxmem.training.trainer.train",
      "jaxmem.training.load.load_run",
      "jaxmem.core.kinds.load",
      "jaxmem.core.errors.UserError",
    ),
  ),
  "models": (
    "Models",
    "A model is a pattern of layers and a head.",
    (
      "jaxmem.models.entries.entry",
      "jaxmem.models.pattern.parse",
      "jaxmem.models.lm.LM",
      "jaxmem.models.lm.LMConfig",
      "jaxmem.models.encoder.Encoder",
      "jaxmem.models.encoder_config.EncoderConfig",
      "jaxmem.models.encoder_decoder.EncoderDecoder",
      "jaxmem.models.encoder_decoder_config.EncoderDecoderConfig",
      "jaxmem.models.forecaster.Forecaster",
      "jaxmem.models.forecaster_config.ForecasterConfig",
      "jaxmem.models.vae.VAE",
      "jaxmem.models.vae.VAEConfig",
      "jaxmem.tasks.classification.model.Classifier",
      "jaxmem.tasks.question_answering.model.SpanReader",
      "jaxmem.tasks.retrieval.model.TextEmbedder",
      "jaxmem.tasks.masked_lm.model.MaskedLM",
    ),
  ),
  "layers": (
    "Layers and their families",
    "The base classes; each layer has [a page of its own](../layers/index.md).",
    (
      "jaxmem.layers.mixer.Memory",
      "jaxmem.layers.mixer.OpState",
      "jaxmem.layers.cells",
      "jaxmem.layers.gated_average",
      "jaxmem.layers.state_space",
      "jaxmem.layers.gated_linear",
      "jaxmem.layers.delta_rule",
      "jaxmem.layers.attention_heads",
      "jaxmem.layers.encoder_memory",
      "jaxmem.layers.primitives",
      "jaxmem.mixers",
    ),
  ),
  "wrappers": (
    "Wrappers and MLPs",
    "What stands around a layer, and beside it.",
    (
      "jaxmem.models.wrappers.bidirectional",
      "jaxmem.models.wrappers.learned_init",
      "jaxmem.models.wrappers.parallel",
      "jaxmem.models.wrappers.sum",
      "jaxmem.layers.feed_forward",
      "jaxmem.layers.mlps.swiglu",
      "jaxmem.layers.mlps.geglu",
      "jaxmem.layers.mlps.gelu",
      "jaxmem.layers.mlps.relu",
      "jaxmem.layers.mlps.relu2",
      "jaxmem.layers.mlps.rwkv_channel_mix",
    ),
  ),
  "testing": (
    "Testing",
    "The law suite, for any layer.",
    (
      "jaxmem.testing.laws",
      "jaxmem.testing.shards.check_shards",
      "jaxmem.testing.saved.check_saved",
      "jaxmem.testing.cases.example_of",
      "jaxmem.testing.torch_layers.of_torch",
      "jaxmem.testing.layers.LawError",
    ),
  ),
  "tasks": (
    "Writing a task",
    "What the trainer asks of a task.",
    ("jaxmem.tasks.base", "jaxmem.tasks.application"),
  ),
}


def pages() -> dict[str, str]:
  """Returns path -> content of the reference."""
  out = {"api/index.md": _index(), "api/ops/index.md": _ops_index()}
  for page, (title, sentence, names) in PAGES.items():
    blocks = [f"::: {name}" for name in names]
    out[f"api/{page}.md"] = "\n\n".join([f"# {title}", sentence, *blocks]) + "\n"
  for name in ops.names():
    out[f"api/ops/{name}.md"] = _op(name)
  return out


def navigation() -> list[dict[str, Any]]:
  """Returns the entries of the reference."""
  entries: list[dict[str, Any]] = [
    {title: f"api/{page}.md"} for page, (title, _, _) in PAGES.items()
  ]
  each = [{name: f"api/ops/{name}.md"} for name in ops.names()]
  return [*entries, {"Ops": ["api/ops/index.md", *each]}]


def _index() -> str:
  return (
    "# Reference\n\nThe public face: `jaxmem.NAME`, imported when it is first used.\n\n"
    f"{public_table()}\n\nThe subpackages `jaxmem.layers`, `mixers`, `models`, `ops`, "
    "`tasks`, `testing` and `tokenizers` are public too; "
    "[the layout of the package](../layout.md) lists every file.\n"
  )


def public_table() -> str:
  """Returns the table of the public names, each linked to its entry."""
  where = {name: page for page, (_, _, names) in PAGES.items() for name in names}
  rows = []
  for name in jaxmem._PUBLIC:
    thing = getattr(jaxmem, name)
    path = f"{thing.__module__}.{thing.__qualname__}"
    first = (thing.__doc__ or "").strip().split("\n")[0]
    page = where.get(path) or where[thing.__module__]
    rows.append([f"[`jaxmem.{name}`]({page}.md#{path})", first])
  return table(["name", "what"], rows)


def _ops_index() -> str:
  rows = []
  for name in ops.names():
    layers = [f"[{m}](../../layers/{m}.md)" for m in mixers.names() if _is_of(m, name)]
    first = ops.get(name).__doc__.strip().split("\n")[0]
    forms = ", ".join(ops.get(name).FORMS)
    rows.append([f"[{name}]({name}.md)", first, forms, ", ".join(layers)])
  head = table(["op", "what", "forms", "layers"], rows)
  return (
    "# Ops\n\nAn op is one equation as pure functions on arrays: no parameters of its "
    f"own, no Flax.\n\n{head}\n\n::: jaxmem.ops\n\n::: jaxmem.core.op.Op\n"
  )


def _is_of(mixer: str, op: str) -> bool:
  return mixers.op(mixer) is importlib.import_module(f"jaxmem.ops.{op}")


def _op(name: str) -> str:
  return (
    f"# {name}\n\n::: jaxmem.ops.{name}\n    options:\n      show_root_heading: false\n"
  )
