"""A pretrained language model as the work directory of a run that made no step."""

from pathlib import Path

import jax

from jaxmem.data.config import DataConfig
from jaxmem.evaluation import language_model
from jaxmem.interop import addresses
from jaxmem.parallel import mesh as meshes
from jaxmem.runtime.checkpoint import Checkpoints
from jaxmem.runtime.lock import Lock
from jaxmem.tokenizers import trained
from jaxmem.training import config as configs
from jaxmem.training import source_config
from jaxmem.training.config import Config
from jaxmem.training.step import Program, resolve


def write(address: str, out: str | Path, memory: str = "") -> str:
  """Writes the work directory of a model, with its tokenizer and one checkpoint.

  Every command takes it as `--workdir`, and `jaxmem train --init-from` begins from it.

  Args:
    address: see `interop.addresses`.
    out: the work directory.
    memory: what the model's full attention becomes, see `interop.memories`.

  Returns:
    A line about what was written.

  Raises:
    UserError: if there is no such model, or it is no language model.
  """
  workdir = Path(out).absolute()
  found = language_model.find(address, memory=memory)
  loaded = found.load()
  tokenizer = str(addresses.find(address).path.absolute())
  task = DataConfig(source=address, tokenizer=tokenizer, batch_size=1)
  config = resolve(Config(model=loaded.model.config, task=task, init_from=address))
  mesh = meshes.make(meshes.MeshConfig(), jax.devices()[:1])
  program = Program(config, mesh, trains=False)
  workdir.mkdir(parents=True, exist_ok=True)
  with Lock(workdir), Checkpoints(workdir / "checkpoints", keep=1) as checkpoints:
    trained.keep(loaded.tokenizer, workdir)
    source_config.keep(config, workdir)
    meta = {
      "config": configs.to_json(config),
      "jax": jax.__version__,
      "workdir": str(workdir),
    }
    checkpoints.save(0, program.init(loaded.params), {"step": 0}, meta)
    checkpoints.wait()
  count = sum(a.size for a in jax.tree.leaves(loaded.params))
  return f"{count:,} parameters of {address}: wrote {out}, to give as --workdir"
