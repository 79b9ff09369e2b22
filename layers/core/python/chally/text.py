"""Text that people type: what of it can be seen.

    Title = Annotated[str, StringConstraints(min_length=1, max_length=120), SHOWN_LINE]

`SHOWN_LINE` and `SHOWN_TEXT` stand last, so that the limits count what is left.
"""

import re
import unicodedata
from collections.abc import Callable

from pydantic import BeforeValidator

_BREAKS = re.compile("\r\n|[\r\v\f\x1c-\x1e\x85\u2028\u2029]")
# Controls (all but tab, line feed, and NUL, which nobody types and Postgres refuses), and characters that turn the
# direction of the text around them, which can make a name or a link read as another.
_CONTROLS = "\x01-\x08\x0e-\x1b\x1f\x7f-\x9f"
_DIRECTIONS = "\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069"
# They take no place and shape nothing: soft hyphen, zero-width space, word joiner, byte order mark, fillers and others
# (Unicode's Default_Ignorable_Code_Point, without the next line's).
_NOTHING = (
    "\u00ad\u115f\u1160\u17b4\u17b5\u180e\u200b\u2060-\u2065\u206a-\u206f\u3164\ufeff\uffa0\ufff0-\ufffb"
    "\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e001f\U000e0080-\U000e00ff\U000e01f0-\U000e0fff"
)
# They shape their neighbours: joiners of emoji, Persian and Indic scripts, and selectors of a character's variant.
_JOINERS = "\u034f\u200c\u200d"
_SELECTORS = "\u180b-\u180d\u180f\ufe00-\ufe0f\U000e0020-\U000e007f\U000e0100-\U000e01ef"
_BLANK = r"\s\u2800"  # white space of every kind, and the empty pattern of Braille

# Nobody types these: they make a text look like another. Marks and isolates around a whole text are no forgery; phones
# add them to what people copy.
_FORGING = re.compile(f"[\x00{_CONTROLS}\u202a-\u202e\u2066-\u2069]")
_WRAPPED = re.compile("\\A\\s*[\u2066-\u2068]([^\u2066-\u2069]*)\u2069\\s*\\Z")

_REMOVED = re.compile(f"[{_CONTROLS}{_DIRECTIONS}{_NOTHING}]")
_LEADING = re.compile(f"\\A[{_BLANK}{_JOINERS}{_SELECTORS}]+")
# Joiners between blanks join nothing. A single blank of Braille stays: it is the space of that script.
_RUN = re.compile(f"(?!\u2800(?![{_BLANK}{_JOINERS}]))[{_BLANK}](?:[{_JOINERS}]*[{_BLANK}])*")
# For `rstrip`: a pattern for the end of the text would try every run of spaces inside it.
_TRAILING = "".join(filter(re.compile(f"[{_BLANK}{_JOINERS}]").match, map(chr, range(0x3001))))


def visible(text: str) -> str:
    """Return the text as readers see it, in Unicode's normal form C; empty if they see nothing.

    Controls, changes of direction and characters without width are removed, and white space at both ends, NBSP and the
    like included. Line breaks become line feeds. What shapes the characters around it stays: a family's emoji is one.
    """
    text = _REMOVED.sub("", _BREAKS.sub("\n", text))
    return unicodedata.normalize("NFC", _LEADING.sub("", text).rstrip(_TRAILING))


def visible_line(text: str) -> str:
    """`visible` on one line: each run of blanks, line breaks included, becomes one space."""
    return _RUN.sub(" ", visible(text))


def _validator(read: Callable[[str], str]) -> BeforeValidator:
    """A validator of strings in request bodies. Other types are left for their field to refuse."""

    def validate(value: object) -> object:
        if not isinstance(value, str):
            return value
        if _FORGING.search(_WRAPPED.sub(r"\1", value)):
            raise ValueError(
                "Must not contain control characters, or characters that turn the direction of text."
                " They cannot be seen: type the text again instead of pasting it."
            )
        return read(value)

    return BeforeValidator(validate)


SHOWN_TEXT = _validator(visible)
SHOWN_LINE = _validator(visible_line)
