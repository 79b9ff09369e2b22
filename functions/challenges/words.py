"""The words of a text, as the search finds them: without accents and case, in every script. Pure.

A text becomes a `tsvector`: its words, and for scripts that are written without spaces (Chinese, Japanese, Thai, …, and
Korean with its particles) each pair of neighbouring characters. A search becomes a `tsquery`: each word must be the
beginning of a word, each run of such characters must occur as it is. Both keep positions, so pairs must be neighbours.
"""

import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

LONGEST_WORD = 60  # characters; a tsvector takes 2,046 bytes
LONGEST_QUERY = 200  # characters after folding, which makes some characters longer

# Letters with a stroke and the like, which Unicode does not decompose, and the dotless i, which Turkish writes as I.
_PLAIN = str.maketrans(
    {"ø": "o", "ł": "l", "đ": "d", "ð": "d", "ħ": "h", "ŧ": "t", "ƶ": "z", "ɨ": "i", "\u0131": "i", "ə": "e"}
    | {"æ": "ae", "œ": "oe", "þ": "th", "ŋ": "n", "ĸ": "q"}
    # as Lucene's normalisers of Arabic and Persian
    | {"\u0640": "", "\u0649": "\u064a", "\u06cc": "\u064a", "\u06d2": "\u064a", "\u0629": "\u0647", "\u06a9": "\u0643"}
)
# A consonant that ends a Korean syllable, for the same consonant at a beginning: keyboards type both alike.
_FINALS = dict(
    zip(
        "\u1100\u1101\u1102\u1103\u1105\u1106\u1107\u1109\u110a\u110b\u110c\u110e\u110f\u1110\u1111\u1112",
        "\u11a8\u11a9\u11ab\u11ae\u11af\u11b7\u11b8\u11ba\u11bb\u11bc\u11bd\u11be\u11bf\u11c0\u11c1\u11c2",
        strict=True,
    )
)
_FINAL = re.compile(f"(?<=[\u1100-\u1112][\u1161-\u1175])[{''.join(_FINALS)}](?![\u1161-\u1175])")
# Scripts that are written without spaces between words, and Hangul.
_UNSPACED = re.compile(
    "[\u0e00-\u0fff\u1000-\u109f\u1100-\u11ff\u1780-\u17ff\u1950-\u19df\u1a20-\u1aaf\u1b00-\u1b7f\u2e80-\u2fdf"
    "\u3005-\u3007\u3040-\u31ff\u3400-\u9fff\ua000-\ua4cf\ua980-\ua9df\uaa60-\uaadf\uac00-\ud7ff\uf900-\ufaff"
    "\U0001f1e6-\U0001f1ff\U00020000-\U0003ffff]"
)

# word: letters, marks and digits. unspaced: a character of a script without spaces, or half of a flag. symbol: emoji
# and other signs. suffix: what belongs to the word before it, as in C++ and C#. None: what separates words.
_Class = Literal["word", "unspaced", "symbol", "suffix"] | None


@dataclass(frozen=True, slots=True)
class _Run:
    """Neighbouring characters of one class. `position`: of the first, in units; a word is one unit."""

    kind: _Class
    text: str
    position: int


def document(title: str, description: str) -> str:
    """Return the `tsvector` of a challenge."""
    lexemes: dict[str, list[int]] = {}
    for run in _runs(_fold(f"{title}\n{description}")):
        for offset, lexeme in enumerate(_lexemes(run)):
            lexemes.setdefault(lexeme, []).append(run.position + offset)
    # more positions than 256 of one lexeme are not stored, nor those above 16,383
    return " ".join(f"'{lexeme}':{','.join(map(str, found[:256]))}" for lexeme, found in lexemes.items())


def query(text: str) -> str:
    """Return the `tsquery` of a search. It is empty, and finds nothing, if the text has no words and no signs."""
    phrases: dict[str, None] = {}
    runs = list(_runs(_fold(text)[:LONGEST_QUERY]))
    for index, run in enumerate(runs):
        following = runs[index + 1] if index + 1 < len(runs) else None
        if run.kind == "suffix" and index and _is_suffix(runs[index - 1], run):
            continue  # said with its word
        if following is not None and _is_suffix(run, following):
            phrases[" <-> ".join([f"'{run.text[:LONGEST_WORD]}'", *(f"'{sign}'" for sign in following.text)])] = None
        elif run.kind == "word" or (len(run.text) == 1 and run.kind == "unspaced"):
            phrases[f"'{run.text[:LONGEST_WORD]}':*"] = None
        elif run.kind == "unspaced":
            phrases[" <-> ".join(f"'{pair}'" for pair in _lexemes(run)[:-1])] = None
        else:  # the sign of a hashtag says nothing
            phrases |= dict.fromkeys(f"'{sign}'" for sign in run.text if sign != "#")
    return " & ".join(f"({phrase})" for phrase in phrases)


def _fold(text: str) -> str:
    """Return the text without what a search should ignore: case, accents, vowel points, widths, skin tones, joiners."""
    plain = _decompose(_decompose(text).casefold()).translate(_PLAIN)
    return unicodedata.normalize("NFC", _FINAL.sub(lambda found: _FINALS[found[0]], plain))


def _decompose(text: str) -> str:
    return "".join(map(_plain, unicodedata.normalize("NFKD", text)))


@lru_cache(maxsize=4096)
def _plain(character: str) -> str:
    """Return a decomposed character without accents. Digits of every script become 0 to 9.

    Marks that only modify a letter have a combining class of 1 (overlays), 10 to 36 (points of Hebrew, Arabic and
    Syriac) or from 200 on (accents). The others are kept: vowels and tones of Indic and South-East Asian scripts, and
    Kana's voicing marks.
    """
    category = unicodedata.category(character)
    if category == "Nd":
        return str(unicodedata.decimal(character))
    if category in ("Cf", "Me") or "\ufe00" <= character <= "\ufe0f" or "\U0001f3fb" <= character <= "\U0001f3ff":
        return ""
    position = unicodedata.combining(character)
    if category == "Mn" and (position == 1 or 10 <= position <= 36 or position >= 200):
        return ""
    return character


@lru_cache(maxsize=4096)
def _class(character: str) -> _Class:
    if character in "+#":
        return "suffix"
    category = unicodedata.category(character)
    if category[0] in "LMN" or "\U0001f1e6" <= character <= "\U0001f1ff":
        return "unspaced" if _UNSPACED.match(character) else "word"
    return "symbol" if category[0] == "S" and (not character.isascii() or character == "$") else None


def _runs(text: str) -> Iterator[_Run]:
    position = start = 0
    while start < len(text):
        kind, end = _class(text[start]), start + 1
        while end < len(text) and _class(text[end]) == kind:
            end += 1
        position += 1
        if kind is not None:
            yield _Run(kind, text[start:end], position)
            position += 0 if kind == "word" else end - start - 1
        start = end


def _lexemes(run: _Run) -> list[str]:
    """The lexemes of a run, one per unit: a word, each pair of characters and the last one, or each sign."""
    if run.kind == "word":
        return [run.text[:LONGEST_WORD]]
    if run.kind == "unspaced":
        return [run.text[index : index + 2] for index in range(len(run.text))]
    return list(run.text)


def _is_suffix(word: _Run, signs: _Run) -> bool:
    return word.kind == "word" and signs.kind == "suffix" and signs.position == word.position + 1
