"""A user's program, which `mypy` checks against the public face; it is not run.

Each `assert_type` fails if a name of `jaxmem` is `Any`, and each comment `type: ignore`
if the mistake in its line is not found.
"""

from pathlib import Path
from typing import assert_type

import jaxmem
from jaxmem import configs
from jaxmem.configs.quickstart import config as quickstart
from jaxmem.evaluation.text_score import Score
from jaxmem.mixers.gated_delta import GatedDelta

layer = jaxmem.layers.GatedDelta(d_model=64, num_heads=2)
assert_type(layer, GatedDelta)
jaxmem.layers.GatedDelta(d_modle=64)  # type: ignore[call-arg]
jaxmem.layers.GatedDlta(d_model=64)  # type: ignore[attr-defined]
jaxmem.check_laws(layer)

model = jaxmem.LM(jaxmem.LMConfig(256, pattern=jaxmem.parse("rglru,window")))
assert_type(model, jaxmem.LM)
jaxmem.LMConfig(vocab_size="256")  # type: ignore[arg-type]

config = jaxmem.Config(
  model=jaxmem.LMConfig(0, pattern=(jaxmem.entry("gru"), jaxmem.entry("window"))),
  task=jaxmem.DataConfig(source="notes/"),
  optim=jaxmem.OptimConfig(learning_rate=1e-3),
  steps=100,
)
jaxmem.Config(steps="100")  # type: ignore[arg-type]
jaxmem.Config(model=jaxmem.OptimConfig())  # type: ignore[arg-type]
assert_type(quickstart, jaxmem.Config)
assert_type(configs.names(), list[str])
assert_type(jaxmem.train(config, Path("runs/notes")), int)

trained = jaxmem.load("runs/notes")
assert_type(trained, jaxmem.TrainedModel)
assert_type(trained.score("def main"), Score)
trained.generrate("def main")  # type: ignore[attr-defined]
