"""The sections of the page of `jaxmem inspect`: pictures, tables and explanations."""

from pathlib import Path

import numpy as np

from jaxmem.evaluation.inspection import inside, pictures
from jaxmem.evaluation.inspection.inside import Layer, Memory, Seen
from jaxmem.evaluation.inspection.span import SHARES, Span
from jaxmem.runtime.page import Section, Table

# What a gate means, where its name does not say it.
_GATES = {
  "write_strength": "How strongly a token is written. In a delta rule 0 writes "
  "nothing, 1 puts the value in the place of what stood at its key, 2 flips it; in "
  "Mamba-2 it is the time step.",
  "step": "The time step: a long one forgets more and writes more.",
  "recurrence_gate": "0 keeps all that is held, 1 lets every channel decay as fast as "
  "it can.",
  "input_gate": "How much of the input is written: 0 nothing, 1 all.",
  "reset_gate": "How much of the memory the new candidate sees: 0 nothing, 1 all.",
  "log_input": "The logarithm of the input gate: 0 is 1, one more is e times as much.",
}


def decays(activity: Seen, out: Path) -> list[Section]:
  """Returns the section on how fast each memory forgets at each token."""
  log_decay = activity.gates.get("log_decay", {})
  if not log_decay:
    return []
  rows = []
  for layer, g in log_decay.items():
    lives = inside.half_lives(g)
    low, middle, high = (float(q) for q in np.quantile(lives, [0.05, 0.5, 0.95]))
    share = 100 * float(np.mean(lives >= inside.LONGEST))
    rows.append((str(layer), low, middle, high, share))
  words = (
    "A memory that decays multiplies what it holds by a factor at every token. The "
    "half-life is how many tokens it would take at this rate until half is left. "
    "Bright bands hold on; dark columns are tokens at which a layer lets go. Below, "
    "the same over all channels: a wide bar is a layer with fast channels and slow "
    "ones. Layers that do not decay are not shown.",
  )
  header = ("half-life in tokens", "5 %", "median", "95 %", "% that never forget")
  path = pictures.decays(out / "decays.png", log_decay)
  return [Section("How fast it forgets", words, [path], Table(header, rows))]


def gates(activity: Seen, out: Path) -> list[Section]:
  """Returns a section for each of the other gates."""
  sections = []
  for name, values in activity.gates.items():
    if name == "log_decay":
      continue
    rows = [
      (str(k), *(float(q) for q in np.quantile(v, [0.05, 0.5, 0.95])))
      for k, v in values.items()
    ]
    words = [_GATES[name]] if name in _GATES else []
    path = pictures.gates(out / f"{name}.png", name, values)
    header = ("over channels and tokens", "5 %", "median", "95 %")
    title = name.replace("_", " ").capitalize()
    sections.append(Section(title, words, [path], Table(header, rows)))
  return sections


def spans(
  model: Span, layers: dict[Layer, Span], directions: int, num_outputs: int, out: Path
) -> list[Section]:
  """Returns the section on how far back the past still has influence."""

  def row(name: str, span: Span) -> tuple:
    tokens = (span.tokens(share) for share in SHARES)
    return name, f"{span.itself():.0%}", *tokens, span.farthest()

  rows = [row(str(layer), span) for layer, span in layers.items()]
  rows.append(row("the whole model", model))
  basis = "all directions" if not directions else f"{directions} random directions"
  words = (
    "The derivative of an output by the input some tokens back says how much a small "
    "change there still moves it. Its norm, averaged over outputs in the last quarter "
    "of the text, is the influence at that distance. A layer is its mixer alone, at "
    "what the model gives it; the whole model goes from the embedding to what the head "
    "reads, through all layers and around them.",
    "The table says how many tokens, the newest included, hold so much of the "
    f"influence. It is measured at {num_outputs} outputs, in {basis} of each, up to "
    f"{len(model.profile):,} tokens back. Shares are of the influence within these; "
    "where the farthest is as many, the influence may reach further.",
  )
  shares = [f"{share:.0%}" for share in SHARES]
  header = ("tokens that hold", "the newest alone", *shares, "farthest")
  path = pictures.spans(out / "span.png", model, layers)
  return [Section("How far back it reaches", words, [path], Table(header, rows))]


def attention(activity: Seen, length: int, out: Path) -> list[Section]:
  """Returns the section on where the layers of attention look."""
  if not activity.maps:
    return []
  size = len(next(iter(activity.maps.values()))[0])
  first = length - size  # the text's position of the map's first token
  paths, rows = [], []
  for layer, weights in activity.maps.items():
    heads = {f"head {i + 1}": m for i, m in enumerate(weights)}
    panels = {f"{layer}, mean of heads": weights.mean(0)} | heads
    path = out / f"attention_{layer.number}.png"
    paths.append(pictures.maps(path, panels, first))
    rows += [(f"{layer}, {head}", *looks(m)) for head, m in heads.items()]
  words = (
    f"The weights that the last {size} tokens give each other. Each row is a token, "
    "each column what it looks at; a row's weights sum to 1 with what went to tokens "
    "before the picture or to a learned sink. A dark diagonal looks at itself, a line "
    "beside it at a fixed distance, a dark column is a token that many look at. White "
    "is not seen.",
    "The table is of the lower half of the picture: the share of the weight that stays "
    "in it, and of that the mean distance and over how many tokens it is spread (the "
    "exponential of the entropy).",
  )
  header = ("head", "% in the picture", "mean distance", "spread over")
  return [Section("Where it looks", words, paths, Table(header, rows))]


def looks(weights: np.ndarray) -> tuple[float, float, float]:
  """Returns, of the lower half of a map, % inside it, mean distance, and spread."""
  size = len(weights)
  # queries of the upper half see too few tokens of the picture to compare
  lower = weights[size // 2 :].astype(np.float64)  # [R/2, R]
  total = lower.sum(1)
  # normalised over the picture; a row that is all outside has entropy 0
  p = lower / np.where(total > 0, total, 1)[:, None]
  distance = np.arange(size // 2, size)[:, None] - np.arange(size)  # [R/2, R]
  entropy = -(p * np.log(np.where(p > 0, p, 1))).sum(1)
  means = (np.mean(a) for a in (100 * total, (p * distance).sum(1), np.exp(entropy)))
  return tuple(map(float, means))


def memories(
  ends: np.ndarray, memories: dict[Layer, Memory], out: Path
) -> list[Section]:
  """Returns the section on what the recurrent memories hold."""
  if not memories:
    return []
  rows = []
  for layer, memory in memories.items():
    rank = ("", "", "")
    if memory.rank is not None:
      last = memory.rank[-1]  # [H]
      rank = (float(last.mean()), f"{last.min():.3g} to {last.max():.3g}", memory.most)
    rows.append((str(layer), float(memory.norm[-1].mean()), *rank))
  words = [
    f"The state after every {ends[0]:,} tokens, a line a head. A norm that settles is "
    "a memory that forgets as much as it writes; one that grows only adds up. The "
    "effective rank is how many directions a matrix really uses: 1 is a single key "
    "and value, the greatest possible a full memory. It is e to the entropy of its "
    "singular values."
  ]
  scaled = {"mlstm", "slstm"} & {layer.mixer for layer in memories}
  if scaled:
    names = " and ".join(sorted(scaled))
    words.append(f"The norm of {names} is that of the state as it is kept, scaled.")
  header = ("after the last token", "norm", "effective rank", "its heads", "at most")
  path = pictures.memories(out / "memory.png", ends, memories)
  return [Section("What it holds", words, [path], Table(header, rows))]
