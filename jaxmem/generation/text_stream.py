"""One text that a language model reads and writes in turns, its memory carried."""

import codecs
from collections.abc import Iterator, Sequence
from pathlib import Path

from jaxmem.core.utf8 import encoded
from jaxmem.generation import session as sessions
from jaxmem.generation.generate import Writer
from jaxmem.generation.sampling import Sampling
from jaxmem.generation.session import Session
from jaxmem.models.loaded import Loaded


class TextStream:
  """A text that continues: `read` adds to it, `write` lets the model add to it.

  The memory after every token is carried, so a call costs what its own tokens cost,
  however long the text has become.

      stream = m.stream("def main")
      for text in stream.write(max_tokens=40):
        print(text, end="")
      stream.read(" and then")  # continues from all that was read and written
      stream.save("main.state")  # m.stream(state="main.state") continues from here
  """

  def __init__(self, loaded: Loaded, seed: int = 0, state: str | Path = ""):
    """Begins an empty text, or one that was saved.

    Args:
      loaded: the language model.
      seed: of the draws of a text that begins here.
      state: a file of `save`, or of `jaxmem generate --save-state`, with one text.

    Raises:
      SessionError: if the file is missing, damaged, or not of this model.
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
    """Tokens that were read or written, the EOS token before the text included."""
    return int(self.session.length[0])

  def read(self, text: str | bytes) -> None:
    """Reads a text behind all that was read and written before.

    Raises:
      CapacityError: if a memory does not hold it; nothing is read then.
    """
    seed = None if self.length else self._seed  # a text keeps the keys it began with
    self._writer.read([encoded(text)], seed)

  def write(
    self,
    max_tokens: int = 256,
    sampling: Sampling | None = None,
    stop: Sequence[str | bytes] = (),
  ) -> Iterator[str]:
    """Writes on, and yields the text as it comes.

    Args:
      max_tokens: of this call, >= 1.
      sampling: how tokens are drawn; None is from the model's distribution.
      stop: the text ends before any of these strings.

    Yields:
      New text; bytes that are no UTF-8 become the replacement character.

    Raises:
      SamplingError: if a number is out of range or a stop string empty.
      CapacityError: if a memory does not hold so many tokens more.
    """
    if not self.length:
      self.read("")  # the model predicts from the EOS token on
    chunks = self._writer.write(
      sampling or Sampling(), max_tokens, [encoded(each) for each in stop]
    )
    return _decoded(chunk.text[0] for chunk in chunks)

  def save(self, path: str | Path) -> None:
    """Writes the state to a file, with which a stream of the same model continues.

    Raises:
      SessionError: if the file cannot be written.
    """
    _, model, params, tokenizer, _ = self._loaded
    sessions.save(path, self.session, model, params, tokenizer)


def _decoded(chunks: Iterator[bytes]) -> Iterator[str]:
  """Yields the text of chunks, whose borders may lie inside a character."""
  decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
  for chunk in chunks:
    if text := decoder.decode(chunk):
      yield text
  if text := decoder.decode(b"", final=True):
    yield text
