"""The metric of a run's own field on a split of its data: `jaxmem eval --split`."""

from collections.abc import Mapping
from pathlib import Path

from jaxmem.core import outputs
from jaxmem.core.errors import UserError
from jaxmem.evaluation import predict
from jaxmem.tasks import application
from jaxmem.training import config as configs
from jaxmem.training.load import Which


def run(
  workdir: Path, which: Which, split: str, out: str, elsewhere: Mapping[str, str]
) -> int:
  """Scores a split, prints and writes what was found; returns the exit code.

  Args:
    workdir: of the run.
    which: of its checkpoints.
    split: "train", "heldout" or "test".
    out: the file for the numbers, as JSON; "" is one named after the split, in the work
      directory. The table NAME.md and the pictures stand beside it.
    elsewhere: dotted key, such as "task.source", -> where these data are now.

  Raises:
    UserError: if the run has no such split, or the output is an input.
  """
  path = Path(out or workdir / split)
  path = path if path.suffix else path.with_name(path.name + ".json")
  if path.suffix in (".md", ".png"):
    raise UserError(
      f"--out {path}: a name for JSON; the table and pictures stand beside it"
    )
  config = predict.asked_config(workdir, which, elsewhere)
  sources = configs.sources(config)
  for name in (path, path.with_suffix(".md")):
    outputs.refuse_overwrite(name, {"--workdir": workdir} | sources)
  outputs.refuse_overwrite_in(path.absolute().parent, ("*.png",), sources)
  findings = predict.evaluate(workdir, which, split, elsewhere)
  application.write(findings, path)
  return 0
