"""Quotations: what people typed, as it stands in mails that we sign. It must not look like our own text.

A mail is plain text, in which mail programs make links of their own. Someone else's words are therefore one line, with
no quotation mark that would end the quotation, and a space wherever a program would see a link: after the colon of a
scheme, after two slashes, after a dot before a letter, and after an at sign. A space is seen, but it always works:
programs that look for links stop at it, while they skip invisible characters, and IDNA reads look-alikes of the dot as
a dot.
"""

import re

from chally.text import visible_line

LONGEST = 500  # characters, as many as the reason of a review may have

# Between what could be labels of a domain, the dots that IDNA knows, or that Unicode's compatibility forms make of
# others. "8.30" and "e.g." stay: no top-level domain begins with a digit or has one letter.
_JOINERS = "\u034f\u200c\u200d\ufe00-\ufe0f"  # those that `visible_line` keeps
_DOTS = re.compile(rf"(?<=\S)([.\u2024\u3002\ufe52\uff0e\uff61]+)(?=[{_JOINERS}]*[^\W\d_][\w{_JOINERS}-])")
_NUMBERS = re.compile(r"(?<![\d.])(\d{1,3}\.\d{1,3}\.)(?=\d{1,3}\.\d)")  # of a host: 192.0.2.1
_SCHEMES = re.compile(r"(?<![^\W_])([A-Za-z\uff21-\uff5a][\w+.-]*[:\uff1a])(?=\S)")
_AT_SIGNS = re.compile(r"(?<=\S)([@\uff20])(?=\S)")
_SLASHES = re.compile(r"([/\\\uff0f\uff3c]{2,})(?=\S)")  # before a host: //host/path, \\host\path
_MARKS = str.maketrans({'"': "'", "\uff02": "'"} | dict.fromkeys("\u201c\u201e\u201f\u00ab", "\u2018"))
_MARKS |= str.maketrans(dict.fromkeys("\u201d\u00bb\u301d\u301e\u301f", "\u2019"))
# what only looks like a quotation mark: ornaments, marks of inches, seconds, ditto and Hebrew
_MARKS |= str.maketrans(dict.fromkeys("\u275d\u2760\u2e42\U0001f676\U0001f678", "\u2018"))
_MARKS |= str.maketrans(
    dict.fromkeys("\u275e\U0001f677\u02ba\u02dd\u02ee\u02f5\u02f6\u2033\u2036\u3003\u05f4", "\u2019")
)
_SINGLE = "['`\u00b4\u2018\u2019\u201b\u2032\u2035\uff07\u05f3]"
_PAIRS = re.compile(f"({_SINGLE})(?:[{_JOINERS}]*{_SINGLE})+")


def quote(text: str) -> str:
    """Return what a person typed, to stand between quotation marks in a mail."""
    line = _PAIRS.sub(r"\1", visible_line(text.replace("\0", "")).translate(_MARKS))
    line = line if len(line) <= LONGEST else f"{line[:LONGEST].rstrip()}\u2026"
    for mark in (_SCHEMES, _SLASHES, _DOTS, _NUMBERS, _AT_SIGNS):
        line = mark.sub(r"\1 ", line)
    return line
