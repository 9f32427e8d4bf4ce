"""What a language model reads: the config of a corpus, a tokenizer and lanes."""

import dataclasses
import typing

from jaxmem.core.ranges import affecting, number


@dataclasses.dataclass(frozen=True)
class DataConfig:
  """What a language model reads.

  Attributes:
    source: a file, a directory or a glob, whose files are documents; "stdlib", the
      Python standard library on this machine; FILE.jsonl#FIELD, the same of
      FILE.parquet, FILE.arrow, FILE.tar or a folder of Hugging Face datasets; "-",
      standard input; tfds:NAME; or a mixture such as mix:0.7*stdlib,0.3*path/to/dir.
      See `jaxmem.data.documents`.
    heldout: where the held-out text is; empty holds out about a tenth of the source.
      Documents that would be on both sides follow the rule of `jaxmem.data.leaks`.
    tokenizer: "byte"; "sp:N" (SentencePiece) or "words:N" (words, and bytes for what is
      not among them), made of the training text and kept in the work directory; or the
      path of a SentencePiece `.model` or of a `.gguf`. No text may be lost.
    segment_length: T, tokens of a row a step.
    batch_size: rows of a step, over all processes; each is a contiguous lane.
    document_length: resets cut documents into documents of at most so many tokens,
      held-out ones too, for memories of declared capacity; 0 cuts none.
    data_dir: where prepared data is kept; empty is $JAXMEM_DATA_DIR or ~/.cache/jaxmem.
    bad_records: "stop" ends the run at a record that cannot be read, "skip" leaves such
      records out and says how many, and which came first.
  """

  source: str = "stdlib"
  heldout: str = ""
  tokenizer: str = "byte"
  segment_length: int = number(256, at_least=1)
  batch_size: int = number(16, at_least=1)
  document_length: int = number(0, at_least=0)
  data_dir: str = affecting("nothing", "")
  bad_records: typing.Literal["stop", "skip"] = "stop"
