"""What an answer is worth, as the papers of the probes define it."""

import re
import string
from collections.abc import Collection, Mapping, Sequence

from jaxmem.evaluation.longbench import Draft


def tidy(output: str) -> str:
  """An output without its ends' white space, control characters as new lines."""
  return re.sub(r"[\x00-\x1f]", "\n", output.strip()).strip()


def string_match_all(output: str, draft: Draft) -> float:
  """The fraction of the answers that stand in the output, in any case of letters.

  Source: Hsieh et al. 2024, arXiv:2404.06654, section 3 (recall), as its code has it.
  """
  text = tidy(output).lower()
  return sum(a.lower() in text for a in draft.answers) / len(draft.answers)


def string_match_part(output: str, draft: Draft) -> float:
  """1 if any of the answers stands in the output, in any case of letters.

  Source: Hsieh et al. 2024, arXiv:2404.06654, for its questions over documents.
  """
  text = tidy(output).lower()
  return float(any(a.lower() in text for a in draft.answers))


def exact_match(output: str, draft: Draft) -> float:
  """1 if the first word of the output, without punctuation around it, is the answer.

  Source: Mohtashami and Jaggi 2023, arXiv:2305.16300, section 4.2 (pass key).
  """
  first = (output.split() or [""])[0].strip(string.punctuation)
  return float(first.lower() == draft.answers[0].lower())


def label_match(output: str, draft: Draft, labels: Collection[str]) -> float:
  """1 if the first sentence names the right labels and no other of the task.

  Labels that the question names do not count. A label is found anywhere in the text;
  where one label is a part of another ("one" in "none"), only as a whole word, or the
  longer could never be right.

  Source: Kuratov et al. 2024, arXiv:2406.10149, and its `babilong/metrics.py`.

  Args:
    output: what was written.
    draft: its first answer is the target, labels with commas between.
    labels: all that the task may ask for.
  """
  text = output.lower()
  for end in (".", "<context>", "<example>"):
    text = text.split(end)[0]
  known = {label.lower() for label in labels}
  whole = any(a != b and a in b for a in known for b in known)

  def within(text: str) -> set[str]:
    pattern = r"\b{}\b" if whole else "{}"
    return {a for a in known if re.search(pattern.format(re.escape(a)), text)}

  found = within(text) - within(draft.question.lower())
  return float(found == set(draft.answers[0].lower().split(",")))


def mean(scores: Sequence[float]) -> float:
  """Of scores 0 .. 1, as 0 .. 100."""
  return 100 * sum(scores) / len(scores)


def effective_length(by_length: Mapping[int, float], threshold: float) -> int:
  """The longest length such that it and all shorter ones reach the threshold, or 0.

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
