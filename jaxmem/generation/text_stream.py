"""Streams: a language model reads and writes one text in turns, its memory carried."""

import codecs
from collections.abc import Iterator, Sequence
from pathlib import Path

from jaxmem.core.utf8 import encoded
from jaxmem.generation import session as sessions
from jaxmem.generation.generate import Writer
from jaxmem.generation.sampling import DEFAULT, Sampling
from jaxmem.generation.session import Session
from jaxmem.models.loaded import Loaded
from jaxmem.tokenizers import Ids


class TextStream:
  """A text that grows: `read` appends to it, and `write` lets the model append.

  The memory is carried from call to call, so a call costs what its own tokens cost,
  however long the text has become.

      stream = m.stream("def main")
      for text in stream.write(max_tokens=40):
        print(text, end="")
      stream.read(" and then")  # continues all that was read and written
      stream.save("main.state")  # m.stream(state="main.state") continues from here
  """

  def __init__(self, loaded: Loaded, seed: int = 0, state: str | Path = ""):
    """Begins an empty text, or continues one that was saved.

    Args:
      loaded: the language model.
      seed: the seed of the draws of a text that begins here.
      state: a file of `save`, or of `jaxmem generate --save-state`, with one text; ""
        begins an empty text.

    Raises:
      SessionError: if the file is missing, damaged, or of another model.
    """
    self._loaded, self._seed = loaded, seed
    _, model, params, tokenizer, _ = loaded
    session = sessions.first_session(model, 1)
    if state:
      session = sessions.load(state, model, params, tokenizer)
      if len(session.length) != 1:
        raise sessions.SessionError(
          f"{state} holds {len(session.length)} texts, and a stream is one: continue "
          "with `jaxmem generate --load-state`"
        )
    self._writer = Writer(model, params, tokenizer, session)

  @property
  def session(self) -> Session:
    """What the text continues from, as arrays of one row."""
    return self._writer.session

  @property
  def length(self) -> int:
    """How many tokens were read or written, with what begins a document."""
    return int(self.session.length[0])

  def read(self, text: str | bytes | Ids) -> None:
    """Reads a text after all that was read and written before.

    Args:
      text: the text, or its ids.

    Raises:
      CapacityError: if a memory cannot hold it; then nothing is read.
    """
    seed = None if self.length else self._seed  # a text keeps the keys it began with
    prompt = encoded(text) if isinstance(text, str | bytes) else text
    self._writer.read([prompt], seed)

  def write(
    self,
    max_tokens: int = 256,
    sampling: Sampling | None = None,
    stop: Sequence[str | bytes] = (),
  ) -> Iterator[str]:
    """Continues the text, and yields it while it is drawn.

    Args:
      max_tokens: the most tokens of this call, >= 1.
      sampling: how tokens are drawn; None is temperature 0.8 and top-p 0.95.
      stop: the text ends before any of these strings.

    Yields:
      New text; bytes that are no UTF-8 become the replacement character.

    Raises:
      SamplingError: if a number is out of range or a stop string empty.
      CapacityError: if a memory cannot hold so many tokens more.
      UserError: if nothing was read, and nothing stands before a text of this model.
    """
    if not self.length:
      self.read("")  # the model predicts from what begins a document
    stops = [encoded(string) for string in stop]
    chunks = self._writer.write(sampling or DEFAULT, max_tokens, stops)
    return _decoded(chunk.text[0] for chunk in chunks)

  def save(self, path: str | Path) -> None:
    """Writes the state to a file, from which a stream of the same model continues.

    Args:
      path: the file.

    Raises:
      SessionError: if the file cannot be written.
    """
    _, model, params, tokenizer, _ = self._loaded
    sessions.save(path, self.session, model, params, tokenizer)


def _decoded(chunks: Iterator[bytes]) -> Iterator[str]:
  """Decodes bytes that may be split inside of a character."""
  decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
  for chunk in chunks:
    if text := decoder.decode(chunk):
      yield text
  if text := decoder.decode(b"", final=True):
    yield text
