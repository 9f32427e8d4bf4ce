"""Vocabularies in plain files, written as the `tokenizer.json` that they mean."""

import json
from typing import Any

from jaxmem.core.errors import DataError
from jaxmem.tokenizers.folder_files import FolderSettings

# The first words of the classes whose merges are GPT-2's; others split text otherwise,
# which these files do not say.
_GPT2 = ("GPT2", "Roberta", "Bart", "Longformer", "LED", "GPTNeo", "Blenderbot")
# Special tokens by their roles, unless a folder says otherwise.
_BERT = dict(unk="[UNK]", cls="[CLS]", sep="[SEP]", pad="[PAD]", mask="[MASK]")
_OF_GPT2 = dict.fromkeys(("bos", "eos", "unk"), "<|endoftext|>")
_ROBERTA = dict(bos="<s>", eos="</s>", sep="</s>", cls="<s>", unk="<unk>", pad="<pad>")
_ROBERTA |= dict(mask="<mask>")
_FLAGS = dict.fromkeys(("single_word", "lstrip", "rstrip", "normalized"), False)
_FLAGS |= dict(special=True)


def word_pieces(text: str, settings: FolderSettings) -> tuple[str, dict[str, str]]:
  """Returns the `tokenizer.json` of a `vocab.txt`, which has a piece a line.

  Args:
    text: of the file.
    settings: of the folder.

  Returns:
    The text, and role -> special token; BERT's names where the folder has none.
  """
  pieces = text.removesuffix("\n").split("\n")
  vocab = {piece.rstrip("\r"): i for i, piece in enumerate(pieces)}
  roles = {r: t for r, t in (_BERT | settings.roles).items() if t in vocab}
  options = settings.options
  config = _blank()
  config["added_tokens"] = [
    _FLAGS | {"id": vocab[token], "content": token}
    for token in sorted({*roles.values()}, key=vocab.__getitem__)
  ]
  config["normalizer"] = {
    "type": "BertNormalizer",
    "clean_text": True,
    "handle_chinese_chars": options.get("tokenize_chinese_chars", True),
    "strip_accents": options.get("strip_accents"),
    "lowercase": options.get("do_lower_case", True),
  }
  config["pre_tokenizer"] = {"type": "BertPreTokenizer"}
  config["decoder"] = {"type": "WordPiece", "prefix": "##", "cleanup": True}
  config["model"] = {
    "type": "WordPiece",
    "unk_token": roles.get("unk", _BERT["unk"]),
    "continuing_subword_prefix": "##",
    "max_input_chars_per_word": 100,
    "vocab": vocab,
  }
  _surround(config, "BertProcessing", roles, vocab)
  return json.dumps(config), roles


def byte_pairs(
  vocab: dict[str, Any], merges: str, settings: FolderSettings, name: str
) -> tuple[str, dict[str, str]]:
  """Returns the `tokenizer.json` of GPT-2's `vocab.json` and `merges.txt`.

  Args:
    vocab: piece -> id.
    merges: the text of the file, a pair a line, the earliest first.
    settings: of the folder.
    name: of the file, for messages.

  Returns:
    The text, and role -> special token.

  Raises:
    DataError: if the folder is of a class that splits text otherwise.
  """
  kind = settings.options.get("tokenizer_class") or "GPT2Tokenizer"
  if not kind.startswith(_GPT2):
    raise DataError(
      f"{name} is of {kind}, which splits text in a way that only a tokenizer.json "
      "says: load it with transformers and call save_pretrained"
    )
  is_roberta = not kind.startswith("GPT")
  roles = (_ROBERTA if is_roberta else _OF_GPT2) | settings.roles
  roles = {role: token for role, token in roles.items() if token in vocab}
  lines = merges.replace("\r\n", "\n").split("\n")
  config = _blank()
  config["pre_tokenizer"] = config["decoder"] = {
    "type": "ByteLevel",
    "add_prefix_space": bool(settings.options.get("add_prefix_space", False)),
    "trim_offsets": True,
    "use_regex": True,
  }
  config["model"] = {
    "type": "BPE",
    "vocab": vocab,
    "merges": [l.split(" ") for l in lines if l and not l.startswith("#version")],
  }
  if is_roberta:
    more = {"trim_offsets": True, "add_prefix_space": False}
    _surround(config, "RobertaProcessing", roles, vocab, **more)
  return json.dumps(config), roles


def _blank() -> dict[str, Any]:
  """A `tokenizer.json` without pieces."""
  empty = ("truncation", "padding", "normalizer", "pre_tokenizer", "post_processor")
  none = dict.fromkeys((*empty, "decoder"))
  return {"version": "1.0", "added_tokens": []} | none


def _surround(config, kind: str, roles, vocab, **more: bool) -> None:
  """Says what stands before a text and after it, if the vocabulary has it."""
  if {"cls", "sep"} <= roles.keys():
    pairs = {role: [roles[role], vocab[roles[role]]] for role in ("sep", "cls")}
    config["post_processor"] = {"type": kind, **pairs, **more}
