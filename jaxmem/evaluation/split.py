"""The metric of a run's task on a split of its data: `jaxmem eval --split`."""

from collections.abc import Mapping
from pathlib import Path

from jaxmem.core import outputs
from jaxmem.core.errors import UserError
from jaxmem.core.progress import on_interrupt
from jaxmem.evaluation import predict
from jaxmem.tasks import application
from jaxmem.training import config as configs
from jaxmem.training.load import Which


def run(
  workdir: Path, which: Which, split: str, out: str, elsewhere: Mapping[str, str]
) -> int:
  """Scores a split, prints and writes the result; returns the exit code.

  Args:
    workdir: the work directory of the run.
    which: which of its checkpoints is loaded.
    split: "train", "heldout" or "test".
    out: the file for the numbers, as JSON; "" is one named after the split, in the work
      directory. The table NAME.md and the pictures are written to the same folder.
    elsewhere: dotted key, such as "task.source", -> where these data are now.

  Raises:
    UserError: if the run has no such split, or the output is an input.
  """
  path = Path(out or workdir / split)
  path = path if path.suffix else path.with_name(path.name + ".json")
  if path.suffix in (".md", ".png"):
    raise UserError(
      f"--out {path}: a name for JSON; the table and pictures are written beside it"
    )
  config = predict.config_of(workdir, which, elsewhere)
  sources = configs.sources(config)
  # a mistaken --out must not destroy the run or the data that it was trained on
  for name in (path, path.with_suffix(".md")):
    outputs.refuse_overwrite(name, {"--workdir": workdir} | sources)
  # the names of pictures depend on the task, so a source must not be any of them
  outputs.refuse_overwrite_in(path.absolute().parent, ("*.png",), sources)
  with on_interrupt("no score is written: the same command begins again"):
    result = predict.evaluate(workdir, which, split, elsewhere)
  application.write(result, path)
  return 0
