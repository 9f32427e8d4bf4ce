"""What the small files of a model's folder say of its tokenizer.

`tokenizer_config.json`, `special_tokens_map.json`, `added_tokens.json`,
`generation_config.json`, `config.json` and the chat templates. None of these is code,
and a class or a file of Python that they name is never run.
"""

from pathlib import Path
from typing import Any, NamedTuple

from jaxmem.core import files
from jaxmem.core.errors import DataError, reason

# The roles that a special token may have, as the files name them.
ROLES = ("bos", "eos", "unk", "sep", "pad", "cls", "mask")
# The name of the chat template where a folder has one alone.
DEFAULT = "default"


# The type of a model -> the class of its tokenizer, where a folder names none.
_CLASSES = {
  "llama": "LlamaTokenizer",
  "mistral": "LlamaTokenizer",
  **dict.fromkeys(("gemma", "gemma2", "gemma3_text"), "GemmaTokenizer"),
  **dict.fromkeys(("t5", "longt5"), "T5Tokenizer"),
  **dict.fromkeys(("roberta", "bart", "longformer", "led"), "RobertaTokenizer"),
  "pegasus": "PegasusTokenizer",
}


class FolderSettings(NamedTuple):
  """What is said of a tokenizer beside its pieces.

  Attributes:
    roles: role, such as "eos" -> the text of the special token.
    added: pieces beside those of the model: `id`, `content`, `special`, `lstrip` and
      `rstrip` of each.
    adds_bos: whether the BOS token stands before a text; None where nothing is said.
    end_ids: ids that end a text in generation, the EOS token apart.
    pad_id: what generation pads with, if it is said there.
    templates: name -> chat template.
    options: `tokenizer_config.json` as it is, with the class of the model's tokenizer.
  """

  roles: dict[str, str]
  added: list[dict[str, Any]]
  adds_bos: bool | None
  end_ids: list[int]
  pad_id: int | None
  templates: dict[str, str]
  options: dict[str, Any]


def read(folder: str | Path) -> FolderSettings:
  """Reads what a folder has of these files; each may be missing.

  Raises:
    DataError: if a file is damaged, or holds what it cannot.
  """
  folder = Path(folder)
  options = read_object(folder / "tokenizer_config.json")
  special = read_object(folder / "special_tokens_map.json") | options
  generation = read_object(folder / "generation_config.json")
  model = read_object(folder / "config.json")
  kind = _CLASSES.get(str(model.get("model_type")))
  if kind and not options.get("tokenizer_class"):
    options = options | {"tokenizer_class": kind}
  roles = {}
  for role in ROLES:
    token = _content(special.get(f"{role}_token"))
    if token is not None:
      roles[role] = token
  ids = generation.get("eos_token_id", model.get("eos_token_id"))
  pad = generation.get("pad_token_id", model.get("pad_token_id"))
  return FolderSettings(
    roles,
    _added(folder, special),
    options.get("add_bos_token"),
    _ids(ids, folder),
    pad if isinstance(pad, int) and pad >= 0 else None,
    _templates(folder, options.get("chat_template")),
    options,
  )


def write(folder: str | Path, settings: FolderSettings) -> list[str]:
  """Writes what `read` reads, as far as a tokenizer has it; returns the files' names.

  Args:
    folder: where the files are written.
    settings: of the tokenizer.
  """
  folder = Path(folder)
  # no file of Python is written, so nothing may name one
  options = {k: v for k, v in settings.options.items() if k != "auto_map"}
  options |= {f"{role}_token": text for role, text in settings.roles.items()}
  options.setdefault("tokenizer_class", "PreTrainedTokenizerFast")
  flags = {"normalized": False, "single_word": False}
  if settings.added:
    options["added_tokens_decoder"] = {
      str(token["id"]): flags | {k: v for k, v in token.items() if k != "id"}
      for token in settings.added
    }
  templates = settings.templates
  if templates.keys() == {DEFAULT}:
    options["chat_template"] = templates[DEFAULT]
  elif templates:
    options["chat_template"] = [
      {"name": name, "template": text} for name, text in templates.items()
    ]
  generation: dict[str, Any] = {}
  if settings.end_ids:
    generation["eos_token_id"] = settings.end_ids
  if settings.pad_id is not None:
    generation["pad_token_id"] = settings.pad_id
  contents = {"tokenizer_config.json": options, "generation_config.json": generation}
  named = [name for name, content in contents.items() if content]
  for name in named:
    files.write_json(folder / name, contents[name], ensure_ascii=False, indent=2)
  return named


def read_object(path: str | Path) -> dict[str, Any]:
  """Returns what a JSON file holds; nothing if there is no such file.

  Raises:
    DataError: if the file is no JSON object.
  """
  try:
    value = files.read_json(path)
  except FileNotFoundError:
    return {}
  except OSError as error:
    raise DataError(f"cannot read {path}: {error.strerror}") from error
  except ValueError as error:
    raise DataError(f"{path} is not JSON: {reason(error)}") from error
  if not isinstance(value, dict):
    raise DataError(f"{path} holds no JSON object")
  return value


def read_text(path: str | Path) -> str:
  """Returns the text of a file.

  Raises:
    DataError: if it cannot be read, or is not UTF-8.
  """
  try:
    return Path(path).read_bytes().decode()
  except OSError as error:
    raise DataError(f"cannot read {path}: {error.strerror}") from error
  except UnicodeDecodeError as error:
    raise DataError(f"{path} is not UTF-8 at byte {error.start}") from error


def _content(token: Any) -> str | None:
  """The text of a special token, which is written as a text or as an object."""
  if isinstance(token, dict):
    token = token.get("content")
  return token if isinstance(token, str) and token else None


def _added(folder: Path, special: dict[str, Any]) -> list[dict[str, Any]]:
  """Returns the pieces that the files add to those of the model, by their ids."""
  decoder = special.get("added_tokens_decoder")
  entries = dict(decoder) if isinstance(decoder, dict) else {}
  for content, i in read_object(folder / "added_tokens.json").items():
    entries.setdefault(str(i), {"content": content})
  more = special.get("additional_special_tokens") or []
  named = {_content(special.get(f"{role}_token")) for role in ROLES}
  named |= {_content(token) for token in more if isinstance(more, list)}
  added = []
  for i, token in entries.items():
    content = _content(token)
    if not i.isdecimal() or content is None:
      raise DataError(f"{folder} adds a piece {token!r} with the id {i!r}")
    flags = token if isinstance(token, dict) else {}
    added.append(
      {
        "id": int(i),
        "content": content,
        "special": bool(flags.get("special")) or content in named,
        "lstrip": bool(flags.get("lstrip")),
        "rstrip": bool(flags.get("rstrip")),
      }
    )
  return sorted(added, key=lambda token: token["id"])


def _ids(value: Any, folder: Path) -> list[int]:
  """Ids that are written as one, as a list, or not at all."""
  ids = value if isinstance(value, list) else [] if value is None else [value]
  if not all(isinstance(i, int) and not isinstance(i, bool) and i >= 0 for i in ids):
    raise DataError(f"{folder} has the eos_token_id {value!r}, which is no id")
  return ids


def _templates(folder: Path, value: Any) -> dict[str, str]:
  """Returns the chat templates; a file has precedence over the settings."""
  templates = {}
  if isinstance(value, str):
    templates[DEFAULT] = value
  elif isinstance(value, list):
    for each in value:
      name, text = (
        (each.get("name"), each.get("template"))
        if isinstance(each, dict)
        else (None, None)
      )
      if not isinstance(name, str) or not isinstance(text, str):
        raise DataError(f"{folder} has a chat template without a name or a text")
      templates[name] = text
  elif value is not None:
    raise DataError(f"{folder} has a chat_template that is no text")
  for path in sorted((folder / "additional_chat_templates").glob("*.jinja")):
    templates[path.stem] = read_text(path)
  if (folder / "chat_template.jinja").is_file():
    templates[DEFAULT] = read_text(folder / "chat_template.jinja")
  return templates
