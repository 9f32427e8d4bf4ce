"""Makes small tokenizers of foreign kinds, and what transformers answers with them.

    pip install -e '.[bench,test]'
    PYTHONPATH=tests python -m tokenization.make_folders [NAME ...]

They are trained on the documentation that comes with Python. `answers.npz` has the ids
and the texts of `strings`: as text, and with special tokens read as such. `chats.json`
has what the templates of `chats` make of its conversations: text and ids, or null where
they refuse.
"""

import json
import pydoc_data.topics
import shutil
import sys
import tempfile
from pathlib import Path

import numpy as np

from support import awkward
from tokenization import chats

FOLDERS = Path(__file__).parent / "folders"
# As Llama 3 and Qwen 2 cut text before their merges, the second with single digits.
_CUT = (
  r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}"
  r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
_ROLES = {"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>"}


def texts() -> list[str]:
  """The texts that the tokenizers are trained on."""
  topics = pydoc_data.topics.topics
  # so many numbers that their digits are merged where nothing cuts them
  numbers = [f"in {year} and {year % 50}" for year in range(1950, 2050)] * 20
  plain = [topics[name][:4000] for name in sorted(topics)]
  return plain + awkward.strings(300, 1) + numbers


def strings(special: list[str]) -> list[str]:
  """The strings that are encoded, the special tokens of a tokenizer among them."""
  topics = pydoc_data.topics.topics
  plain = [topics[name][:300] for name in sorted(topics)[:10]]
  spelled = [f"{a}{t}{b}" for t in special for a in ("", "a ") for b in ("", " b\n", t)]
  runs = [c * n for c in (" ", "\n", "\t", "\r\n", "\u3000") for n in (3, 17)]
  numbers = ["1234567", "2024-12-01", "in 1999 12 and 2001!", "\u0661\u0662\u0663"]
  return awkward.strings(1000) + plain + spelled + runs + numbers


def bytelevel(
  folder: Path, special, normalizer=None, bos="", cut=_CUT, **model
) -> None:
  """Byte-level BPE in a tokenizer.json, as Llama 3 and Qwen have it."""
  from tokenizers import (
    Regex,
    Tokenizer,
    decoders,
    models,
    pre_tokenizers,
    processors,
    trainers,
  )

  it = Tokenizer(models.BPE(**model))
  it.normalizer = normalizer
  split = pre_tokenizers.Split(Regex(cut), "isolated")
  byte_level = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
  it.pre_tokenizer = pre_tokenizers.Sequence([split, byte_level])
  it.decoder = decoders.ByteLevel()
  alphabet = pre_tokenizers.ByteLevel.alphabet()
  it.train_from_iterator(
    texts(), trainers.BpeTrainer(vocab_size=500, initial_alphabet=alphabet)
  )
  it.add_special_tokens(special)
  if bos:
    pair = (bos, it.token_to_id(bos))
    it.post_processor = processors.TemplateProcessing(
      single=f"{bos} $A", pair=f"{bos} $A {bos} $B:1", special_tokens=[pair]
    )
  it.save(str(folder / "tokenizer.json"))


def llama3(folder: Path) -> None:
  names = ["begin_of_text", "end_of_text", "start_header_id", "end_header_id", "eot_id"]
  tokens = [f"<|{name}|>" for name in names]
  bytelevel(folder, tokens, bos=tokens[0], ignore_merges=True)
  _settings(folder, "PreTrainedTokenizerFast", bos_token=tokens[0], eos_token=tokens[4])
  ids = {"eos_token_id": [501, 504], "bos_token_id": 500}
  (folder / "generation_config.json").write_text(json.dumps(ids))


def qwen(folder: Path) -> None:
  from tokenizers import AddedToken, Tokenizer, normalizers

  special = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
  bytelevel(folder, special, normalizers.NFC(), cut=_CUT.replace("{1,3}", ""))
  it = Tokenizer.from_file(str(folder / "tokenizer.json"))
  it.add_tokens([AddedToken(t, normalized=False) for t in ("<think>", "</think>")])
  it.save(str(folder / "tokenizer.json"))
  _settings(
    folder,
    "PreTrainedTokenizerFast",
    bos_token=None,
    eos_token="<|im_end|>",
    pad_token="<|endoftext|>",
  )


def gpt2(folder: Path) -> None:
  from tokenizers import ByteLevelBPETokenizer

  it = ByteLevelBPETokenizer()
  it.train_from_iterator(texts(), 500, special_tokens=["<|endoftext|>"])
  it.save_model(str(folder))
  _settings(folder, "GPT2Tokenizer")


def bert(folder: Path) -> None:
  from tokenizers import BertWordPieceTokenizer

  it = BertWordPieceTokenizer()
  it.train_from_iterator(texts(), 700, limit_alphabet=200)
  it.save_model(str(folder))
  _settings(folder, "BertTokenizer", do_lower_case=True)


def sentencepiece(folder: Path, name: str, **options) -> None:
  """A SentencePiece model."""
  import sentencepiece as package

  lines = [line[:4000] for text in texts() for line in text.split("\n") if line]
  with open(folder / name, "wb") as file:
    package.SentencePieceTrainer.train(
      sentence_iterator=iter(lines),
      model_writer=file,
      minloglevel=4,
      num_threads=1,
      **{"vocab_size": 700, "max_sentence_length": 10_000} | options,
    )


def llama2(folder: Path) -> None:
  sentencepiece(
    folder,
    "tokenizer.model",
    model_type="bpe",
    byte_fallback=True,
    normalization_rule_name="identity",
    remove_extra_whitespaces=False,
    character_coverage=0.999,
  )
  _settings(folder, "LlamaTokenizer", add_bos_token=True, **_ROLES)


def mistral(folder: Path) -> None:
  """The pieces of `llama2` in a tokenizer.json of the older form."""
  from tokenizers import Tokenizer, decoders, normalizers, processors
  from transformers import LlamaTokenizer

  llama2(folder)
  it = LlamaTokenizer.from_pretrained(folder).backend_tokenizer
  it = Tokenizer.from_str(it.to_str())
  it.pre_tokenizer = None
  it.normalizer = normalizers.Sequence(
    [normalizers.Prepend("\u2581"), normalizers.Replace(" ", "\u2581")]
  )
  steps = [decoders.Replace("\u2581", " "), decoders.ByteFallback(), decoders.Fuse()]
  it.decoder = decoders.Sequence([*steps, decoders.Strip(" ", 1, 0)])
  it.post_processor = processors.TemplateProcessing(
    single="<s> $A", pair="<s> $A <s> $B", special_tokens=[("<s>", 1)]
  )
  it.save(str(folder / "tokenizer.json"))
  (folder / "tokenizer.model").unlink()
  _settings(folder, "PreTrainedTokenizerFast", **_ROLES)


def gemma(folder: Path) -> None:
  """Spaces are pieces, none is put before a text, and turns are found in any text."""
  from tokenizers import (
    Tokenizer,
    decoders,
    models,
    normalizers,
    pre_tokenizers,
    processors,
  )
  from transformers import LlamaTokenizer

  sentencepiece(
    folder,
    "tokenizer.model",
    model_type="bpe",
    byte_fallback=True,
    normalization_rule_name="identity",
    remove_extra_whitespaces=False,
    add_dummy_prefix=False,
    character_coverage=0.999,
    user_defined_symbols=["<start_of_turn>", "<end_of_turn>"],
    bos_piece="<bos>",
    eos_piece="<eos>",
  )
  _settings(folder, "LlamaTokenizer", **_ROLES)
  state = json.loads(LlamaTokenizer.from_pretrained(folder).backend_tokenizer.to_str())[
    "model"
  ]
  it = Tokenizer(
    models.BPE(
      vocab=state["vocab"],
      merges=[tuple(pair) for pair in state["merges"]],
      byte_fallback=True,
      fuse_unk=True,
      unk_token="<unk>",
    )
  )
  it.normalizer = normalizers.Replace(" ", "\u2581")
  it.pre_tokenizer = pre_tokenizers.Split(" ", "merged_with_previous")
  steps = [decoders.Replace("\u2581", " "), decoders.ByteFallback(), decoders.Fuse()]
  it.decoder = decoders.Sequence(steps)
  turns = ["<start_of_turn>", "<end_of_turn>"]
  it.add_special_tokens(["<unk>", "<bos>", "<eos>", *turns])
  it.post_processor = processors.TemplateProcessing(
    single="<bos> $A", pair="<bos> $A <bos> $B", special_tokens=[("<bos>", 1)]
  )
  it.save(str(folder / "tokenizer.json"))
  (folder / "tokenizer.model").unlink()
  roles = dict(bos_token="<bos>", eos_token="<eos>", unk_token="<unk>")
  more = dict(additional_special_tokens=turns)
  _settings(folder, "PreTrainedTokenizerFast", **roles, **more)


def t5(folder: Path) -> None:
  from transformers import T5Tokenizer

  # few of the rules of NFKC, which are much larger than such a model
  rules = folder / "rules.tsv"
  pairs = {"\ufb01": "fi", "\u2460": "1", "\uff1c": "<", "\u3000": " "}
  pairs |= {"\u212b": "\xc5", "A\u030a": "\xc5", "\t": " ", "\n": " ", "\r": " "}
  hexes = [[" ".join(f"{ord(c):X}" for c in s) for s in pair] for pair in pairs.items()]
  rules.write_text("".join(f"{a}\t{b}\n" for a, b in hexes))
  sentencepiece(
    folder,
    "spiece.model",
    normalization_rule_tsv=str(rules),
    model_type="unigram",
    pad_id=0,
    eos_id=1,
    unk_id=2,
    bos_id=-1,
    character_coverage=0.999,
  )
  _settings(folder, "T5Tokenizer", extra_ids=3)
  it = T5Tokenizer.from_pretrained(folder, extra_ids=3)
  rules.unlink()
  (folder / "spiece.model").unlink()
  it.save_pretrained(folder)
  _settings(
    folder,
    "PreTrainedTokenizerFast",
    eos_token="</s>",
    unk_token="<unk>",
    pad_token="<pad>",
  )


MAKERS = {m.__name__: m for m in (llama3, qwen, gpt2, bert, llama2, mistral, gemma, t5)}


def _settings(folder: Path, kind: str, **options) -> None:
  text = json.dumps({"tokenizer_class": kind} | options)
  (folder / "tokenizer_config.json").write_text(text)


def answers(folder: Path) -> dict[str, np.ndarray]:
  """What transformers answers, with texts as JSON; equal ones are left out."""
  from transformers import AutoTokenizer

  plain = AutoTokenizer.from_pretrained(folder, split_special_tokens=True)
  control = AutoTokenizer.from_pretrained(folder)
  asked = strings(plain.all_special_tokens)
  found: dict[str, np.ndarray] = {}
  for name, it in {"plain": plain, "control": control}.items():
    ids = [it.encode(text, add_special_tokens=False) for text in asked]
    back = [it.decode(i, skip_special_tokens=True) for i in ids]
    changed = {str(n): b for n, b in enumerate(back) if b != asked[n]}
    found[f"{name} sizes"] = np.array([*map(len, ids)], np.uint16)
    found[f"{name} ids"] = np.array([i for each in ids for i in each], np.uint16)
    found[f"{name} texts"] = np.frombuffer(json.dumps(changed).encode(), np.uint8)
  found["strings"] = np.frombuffer(json.dumps(asked).encode(), np.uint8)
  found["around"] = np.array(control.encode("a"), np.int64)
  return found


def conversations(folder: Path) -> dict[str, list]:
  """Template -> text and ids of each conversation, as transformers makes them."""
  from transformers import AutoTokenizer

  it = AutoTokenizer.from_pretrained(folder)
  found: dict[str, list] = {}
  for name, template in chats.TEMPLATES[folder.name].items():
    for messages, options in chats.CHATS:
      given = dict(chat_template=template, conversation=messages, **options)
      try:
        text = it.apply_chat_template(tokenize=False, **given)
      except Exception as error:  # jinja2's, with what the template says
        print(folder.name, name, error)
        found.setdefault(name, []).append(None)
        continue
      ids = it(text, add_special_tokens=False)["input_ids"]
      found.setdefault(name, []).append([text, ids])
  return found


def make(name: str) -> None:
  """Writes a folder with a tokenizer and its answers."""
  folder = FOLDERS / name
  shutil.rmtree(folder, ignore_errors=True)
  folder.mkdir(parents=True)
  MAKERS[name](folder)
  # a copy: transformers may add files to a folder that it reads
  with tempfile.TemporaryDirectory() as copy:
    there = shutil.copytree(folder, Path(copy) / name)
    found = answers(there)
    if name in chats.TEMPLATES:
      text = json.dumps(conversations(there))
      (folder / "chats.json").write_text(text + "\n")
  np.savez_compressed(folder / "answers.npz", **found)
  print(name, {path.name: path.stat().st_size for path in folder.iterdir()})


if __name__ == "__main__":
  for each in sys.argv[1:] or MAKERS:
    make(each)
