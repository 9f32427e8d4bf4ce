"""Text in, batches out: source -> documents -> tokens -> contiguous lanes.

    corpus = data.prepare("stdlib")                                # ArrayRecord
    stream = data.TokenStream.from_corpus(corpus, tokenizer, "train")
    lanes = data.Lanes(stream, batch_size=8, segment_length=256, seed=0)
    with data.batches(lanes, start_step=0) as batches:
      batch = next(batches)  # tokens, targets, reset, weights, rows

`jaxmem.data.documents` says what can be a source: files, JSON Lines, TFDS datasets, and
mixtures of these.

Importing this package costs numpy only. `batches` imports grain, sources of `tfds:`
import TFDS, and nothing imports TensorFlow.
"""

from jaxmem import tokenizers
from jaxmem.core.errors import DataError
from jaxmem.data.corpora import Corpus, Document, Documents, prepare
from jaxmem.data.lanes import Batches, Lanes, batches
from jaxmem.data.stream import TokenStream

__all__ = [
  "Batches",
  "Corpus",
  "DataError",
  "Document",
  "Documents",
  "Lanes",
  "TokenStream",
  "batches",
  "prepare",
  "tokenizers",
]
