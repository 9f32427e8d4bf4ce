"""Words and sentences in any script."""

import json
import re

import numpy as np
import pytest

from jaxmem.data.sentences import sentences
from jaxmem.tasks.classification.augment import AugmentConfig, Augmenter
from jaxmem.tasks.seq2seq import gap_sentences
from jaxmem.tokenizers import trained
from jaxmem.tokenizers.words import tokens, words

# The rule before marks were known, by which published numbers of English were counted.
OLD = re.compile(r"[\u3400-\u9fff]|[^\W\u3400-\u9fff]+|[^\w\s]")


@pytest.mark.parametrize(
  "word",
  [
    "हिन्दी",  # vowel signs and a virama
    "क्\u200dष",  # a joiner within a cluster
    "cafe\u0301",  # an accent of NFD
    "A\u030angstro\u0308m",
    "สวัสดี",  # Thai
    "می\u200cخواهم",  # a non-joiner within a Persian verb
    "العَرَبِيَّةُ",  # diacritics
    "שָׁלוֹם",  # points
    "צה״ל",  # gershayim
    "ג׳ורג",
    "தமிழ்",
    "မြန်မာ",
    "ខ្មែរ",
    "བོད",
    "co\u00adop",  # a soft hyphen
    "col·legi",
    "١٢٣",
    "४५६",
    "葛\U000e0100",  # an ideographic variation
    "\U00020bb7",  # a Han character beyond the first plane
    "o\u02bbzbek",
    "snake_case2",
  ],
)
def test_a_word_is_whole(word):
  assert words(f"({word}), {word}.") == [word, word]
  tokenizer = trained.make("words:300", [word.encode()])
  assert tokenizer.words == [word.lower()]


def test_han_characters_are_words_and_runs_of_kana_are_one():
  assert words("中文，测试々。") == ["中", "文", "测", "试", "々"]
  assert words("日本語のテスト") == ["日", "本", "語", "のテスト"]


@pytest.mark.parametrize(
  "sign", ["👩‍👩‍👧", "🇩🇪", "👍🏽", "❤️", "🏴\U000e0067\U000e007f", "!", "…"]
)
def test_an_emoji_sequence_is_one_sign(sign):
  assert [m[0] for m in tokens(f"a{sign}{sign}")] == ["a", sign, sign]
  assert words(f"a{sign}") == ["a"]


def test_nothing_but_white_space_is_left_out():
  awkward = "\u0301x 1️⃣ '\u200d' \u200c\u200b a\u0308!\u0301 ｱ ﷽ \x00 é\u2019s"
  assert "".join(m[0] for m in tokens(awkward)) == "".join(awkward.split())


def test_english_is_cut_as_it_was():
  text = (
    "Don't \u201cquote\u201d the O'Brien-Smiths: naïve co-op, 3.14 € at_home\u2014#1!\n"
  )
  assert [m[0] for m in tokens(text)] == OLD.findall(text)


@pytest.mark.parametrize(
  "text, count",
  [
    ("He left. Did he? Yes!", 3),
    ("Of 3.14 and e.g.x", 1),
    ("他走了。她说：「你好！」然后呢？！真的。", 4),
    ("क्या हाल है? मैं ठीक हूँ। और आप॥", 3),
    ("هل أنت بخير؟ نعم. لا۔جی", 4),
    ("ሰላም። ደህና", 2),
    ("。", 1),
    ("", 1),
  ],
)
def test_sentences_in_any_script(text, count):
  parts = sentences(text)
  assert len(parts) == count
  assert "".join("".join(parts).split()) == "".join(text.split())


def test_synonyms_are_of_words_in_any_script(tmp_path):
  table = tmp_path / "table.json"
  entries = {"film": ["movie"], "电影": ["影片"], "don't": ["do not"], "घर": ["मकान"]}
  table.write_text(json.dumps(entries), encoding="utf-8")
  change = Augmenter(AugmentConfig(synonyms=1.0, table=str(table)), 0).text
  for text, expected in {
    "The film, filmed: FILM\n film": "The movie, filmed: movie\n movie",
    "这部电影好，电话也好": "这部影片好，电话也好",
    "I don't": "I do not",
    "वह घर, घरों": "वह मकान, घरों",
    "": "",
  }.items():
    assert change(text, np.random.default_rng(0)) == expected


def test_gap_sentences_count_whole_words():
  # 2 / 3: one of two words is that of the other; by letters it was 4 / 5
  assert gap_sentences.importance(["राम घर", "राम"]) == [2 / 3, 2 / 3]
