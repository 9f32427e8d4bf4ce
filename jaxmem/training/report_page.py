"""The report of a run as one HTML page, from the Markdown that its task writes."""

import importlib.metadata
import json
import platform
import shlex
from pathlib import Path

import jax

from jaxmem import tasks
from jaxmem.core import files
from jaxmem.models.lm import LMConfig
from jaxmem.runtime import page
from jaxmem.training import config as configs
from jaxmem.training.config import Config

NAME = "report.html"
_PACKAGES = ("jaxmem", "jax", "jaxlib", "flax", "optax", "orbax-checkpoint", "numpy")


def write(workdir: Path, config: Config, description: str, step: int) -> Path:
  """Writes the page beside `report.md`, whose scores, pictures and samples it has.

  Args:
    workdir: the work directory of the run.
    config: the experiment.
    description: a line on the model and a line on the data.
    step: the step whose weights are reported.
  """
  model, data = description.splitlines()[:2]
  kind = tasks.kind(config.task)
  facts = [
    ("task", kind.replace("_", " ")),
    ("model", model),
    ("data", data),
    ("reported weights", f"after step {step:,} of {config.steps:,}"),
    ("seed", str(config.seed)),
  ]
  report = workdir / "report.md"
  text = files.read_text(report) if report.is_file() else "The task wrote no report.md."
  sections = [
    page.Section("Scores", written=(text, workdir)),
    page.Section("How to go on", code="\n".join(commands(workdir, config))),
    page.Section("Config", code=configs.to_json(config), folded=True),
    page.Section("Environment", table=page.Table(("", ""), environment())),
  ]
  title = f"{workdir.name}: the report of a run"
  html = page.render(title, page.Table(("", ""), facts), sections)
  files.write_text(workdir / NAME, html)
  return workdir / NAME


def commands(workdir: Path, config: Config) -> list[str]:
  """Returns the commands that use a run of this kind, one a line.

  Args:
    workdir: the work directory of the run.
    config: the experiment.
  """
  run = f"--workdir {shlex.quote(str(workdir))}"
  task = tasks.get(tasks.kind(config.task))
  lines = []
  if hasattr(task.Task, "evaluate"):
    lines.append(f"jaxmem eval {run} --split heldout")
  if isinstance(config.model, LMConfig) and hasattr(config.task, "tokenizer"):
    lines += [
      f"jaxmem generate {run} --prompt TEXT",
      f"jaxmem eval {run} --text FILE",
      f"jaxmem inspect {run} --text FILE",
    ]
  if hasattr(task, "Predictor"):
    lines.append(f"jaxmem predict {run} --input FILE.jsonl")
  code = f"import jaxmem; model = jaxmem.load({json.dumps(str(workdir))})"
  return [*lines, f"python -i -c {shlex.quote(code)}"]


def environment() -> list[tuple[str, str]]:
  """Returns what the run was made with: versions of packages, and the devices."""
  device = jax.devices()[0]
  rows = [
    ("Python", platform.python_version()),
    ("system", f"{platform.system()} {platform.machine()}"),
    ("devices", f"{jax.device_count()} x {device.device_kind} ({device.platform})"),
  ]
  for name in _PACKAGES:
    try:
      rows.append((name, importlib.metadata.version(name)))
    except importlib.metadata.PackageNotFoundError:  # used from its source, say
      continue
  return rows
