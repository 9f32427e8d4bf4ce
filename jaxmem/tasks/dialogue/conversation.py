"""Conversations: messages are read and answered, the memory carried between them."""

from pathlib import Path

from jaxmem.generation.sampling import Sampling
from jaxmem.generation.text_stream import TextStream
from jaxmem.models.loaded import Loaded
from jaxmem.tasks.dialogue import chat
from jaxmem.tokenizers import continuation, start_ids


class Conversation:
  """A dialogue that goes on: messages are read, and the assistant's are written.

  Each message is read once, so a reply costs what its own tokens cost, and what was
  said before is known from the memory alone.

      talk = m.conversation()
      talk.read("user", "my cat is called Momo.")
      talk.read("assistant", "ok.")
      talk.read("user", "what is my cat called?")
      talk.reply()  # "Momo"
      talk.save("cat.state")  # m.conversation("cat.state") continues from here
  """

  def __init__(self, loaded: Loaded, state: str | Path = ""):
    """Begins a dialogue, or continues one that was saved.

    Args:
      loaded: the language model of a dialogue run.
      state: a file of `save`; "" begins a dialogue.

    Raises:
      SessionError: if the file is missing, damaged, or of another model.
    """
    self._tokenizer = loaded.tokenizer
    self._stream = TextStream(loaded, state=state)

  @property
  def length(self) -> int:
    """How many tokens were read or written."""
    return self._stream.length

  def read(self, role: str, content: str) -> None:
    """Reads a message after all that was read and written before.

    Args:
      role: the speaker, such as "user".
      content: the text of the message.

    Raises:
      DataError: if the role or the content is empty or no text.
      CapacityError: if a memory cannot hold the message; then nothing is read.
    """
    record = {"messages": [{"role": role, "content": content}]}
    # the stream itself reads what begins a document
    begins = not self.length
    (line,) = chat.lines(chat.dialogue(record), self._tokenizer, begins)
    self._stream.read(line.ids[len(start_ids(self._tokenizer)) if begins else 0 :])

  def reply(self) -> str:
    """Writes the assistant's next message, greedily, and returns it.

    A message ends with its line, or after `chat.LONGEST` tokens.

    Raises:
      CapacityError: if a memory cannot hold the longest reply.
    """
    tokenizer = continuation(self._tokenizer) if self.length else self._tokenizer
    self._stream.read(tokenizer.encode(chat.prompt(chat.ASSISTANT)))
    greedy = Sampling(temperature=0.0)
    text = "".join(self._stream.write(chat.LONGEST, greedy, stop=["\n"]))
    return chat.content(text.encode())

  def save(self, path: str | Path) -> None:
    """Writes the memory to a file, from which the same model continues.

    Args:
      path: the file.

    Raises:
      SessionError: if the file cannot be written.
    """
    self._stream.save(path)
