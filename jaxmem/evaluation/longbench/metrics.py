"""The scores of answers, as the papers of the probes define them."""

import re
import string
from collections.abc import Collection, Mapping, Sequence

from jaxmem.evaluation.longbench import Draft


def tidy(output: str) -> str:
  """Strips an output, and replaces control characters in it by line breaks."""
  return re.sub(r"[\x00-\x1f]", "\n", output.strip()).strip()


def string_match_all(output: str, draft: Draft) -> float:
  """Returns the fraction of the answers that the output contains, ignoring case.

  Source: Hsieh et al. 2024, arXiv:2404.06654, section 3 (recall), as its code has it.
  """
  text = tidy(output).lower()
  return sum(a.lower() in text for a in draft.answers) / len(draft.answers)


def string_match_part(output: str, draft: Draft) -> float:
  """Returns 1 if the output contains any of the answers, ignoring case.

  Source: Hsieh et al. 2024, arXiv:2404.06654, for its questions over documents.
  """
  text = tidy(output).lower()
  return float(any(a.lower() in text for a in draft.answers))


def exact_match(output: str, draft: Draft) -> float:
  """Returns 1 if the first word of the output, without punctuation, is the answer.

  Source: Mohtashami and Jaggi 2023, arXiv:2305.16300, section 4.2 (pass key).
  """
  first = (output.split() or [""])[0].strip(string.punctuation)
  return float(first.lower() == draft.answers[0].lower())


def label_match(output: str, draft: Draft, labels: Collection[str]) -> float:
  """Returns 1 if the first sentence names the right labels and no other of the task.

  Labels that the question names do not count. A label is found anywhere in the text;
  where one label is a part of another ("one" in "none"), it has to be a whole word, or
  the longer could never be right.

  Source: Kuratov et al. 2024, arXiv:2406.10149, and its `babilong/metrics.py`.

  Args:
    output: the text that the model wrote.
    draft: the sample; its first answer is the target, labels separated by commas.
    labels: all labels of the task.
  """
  # a model that is not tuned to stop continues with examples of its own, so only the
  # first sentence counts
  text = output.lower()
  for end in (".", "<context>", "<example>"):
    text = text.split(end)[0]
  names = {label.lower() for label in labels}
  # plain substrings, as in BABILong's code, unless they make a label ambiguous
  whole_words = any(a != b and a in b for a in names for b in names)

  def names_in(text: str) -> set[str]:
    pattern = r"\b{}\b" if whole_words else "{}"
    return {a for a in names if re.search(pattern.format(re.escape(a)), text)}

  named = names_in(text) - names_in(draft.question.lower())
  return float(named == set(draft.answers[0].lower().split(",")))


def mean(scores: Sequence[float]) -> float:
  """Returns the mean of scores 0 .. 1, as 0 .. 100."""
  return 100 * sum(scores) / len(scores)


def effective_length(by_length: Mapping[int, float], threshold: float) -> int:
  """Returns the longest length that, with all shorter ones, reaches the threshold.

  It is 0 if the shortest does not.

  Source: Hsieh et al. 2024, arXiv:2404.06654, section 4; 85.6 is Llama-2-7B at 4K.

  Args:
    by_length: length in tokens -> score, 0 .. 100.
    threshold: 0 .. 100.
  """
  longest = 0
  for length in sorted(by_length):
    if by_length[length] < threshold:
      break
    longest = length
  return longest
