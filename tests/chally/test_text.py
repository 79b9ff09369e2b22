"""What can be seen of a text: blank ones in every disguise, and scripts and emoji that must stay as they are."""

import time
import unicodedata
from typing import Annotated, Any

import pytest
from pydantic import BaseModel, StringConstraints, ValidationError

from chally.text import SHOWN_LINE, SHOWN_TEXT, visible, visible_line

BLANK = [
    "", " ", "\t\r\n", "\u00a0", "\u3000\u2003", "\u200b", "\u200b\u200c\u200d\ufeff", "\u2060", "\u00ad", "\u034f",
    "\u202e\u202c", "\u2066\u2069", "\u200e\u200f\u061c", "\x01\x07\x1b\x7f\x9f", "\u2028\u2029", "\u2800",
    "\u3164", "\u115f\u1160", "\uffa0", "\ufe0f", "\U000e0001\U000e0041", "\U000e0100", "\u180e", "\u17b4",
    "\u200b \u200b\n\u200b",
]  # fmt: skip
UNCHANGED = {
    "Polish": "\u0141\u00f3d\u017a",
    "Japanese": "\u65e5\u672c\u8a9e",
    "Thai": "\u0e20\u0e32\u0e29\u0e32\u0e44\u0e17\u0e22",
    "Hebrew": "\u05e9\u05dc\u05d5\u05dd",
    "Persian with a non-joiner": "\u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645",
    "Hindi with a joiner": "\u0915\u094d\u200d\u0937",
    "a variant of a Japanese character": "\u845b\U000e0100",
    "a family": "\U0001f469\u200d\U0001f469\u200d\U0001f467",
    "the flag of England": "\U0001f3f4\U000e0067\U000e0062\U000e0065\U000e006e\U000e0067\U000e007f",
    "the flag of Norway": "\U0001f1f3\U0001f1f4",
    "a red heart": "\u2764\ufe0f",
    "a skin tone": "\u261d\U0001f3fd",
    "a programming language": "C++",
    "two lines": "two\nlines",
    "a tab": "a\tb",
}


class TestVisible:
    @pytest.mark.parametrize("text", BLANK, ids=ascii)
    def test_a_text_that_shows_nothing_is_empty(self, text: str) -> None:
        assert visible(text) == visible_line(text) == ""

    def test_no_character_that_unicode_calls_invisible_makes_a_text(self) -> None:
        """Each alone, except private and unassigned ones, which fonts draw as a box."""
        unseen = [
            character
            for character in map(chr, range(1, 0x110000))  # NUL is left for Postgres to refuse
            if unicodedata.category(character) in ("Cc", "Cf", "Zs", "Zl", "Zp")
            # signs of numbers and verses in Arabic, Syriac, Kaithi and Egyptian, which are drawn
            and not unicodedata.name(character, "").startswith(("ARABIC", "SYRIAC", "KAITHI", "EGYPTIAN"))
        ]
        assert len(unseen) > 150
        assert [ascii(character) for character in unseen if visible(character)] == []

    @pytest.mark.parametrize("text", UNCHANGED.values(), ids=UNCHANGED)
    def test_scripts_and_emoji_keep_what_shapes_them(self, text: str) -> None:
        assert visible(text) == text

    @pytest.mark.parametrize(
        ("typed", "seen"),
        [
            ("\u00a0Nadia \n", "Nadia"),
            ("\ufeffNadia\u200b", "Nadia"),
            ("a\u200bdmin", "admin"),
            ("\u202egnp.exe", "gnp.exe"),
            ("Zoe\u0308", "Zo\u00eb"),
            ("one\r\ntwo\u2028three", "one\ntwo\nthree"),
            ("\u200d\u2764\ufe0f\u200d", "\u2764\ufe0f"),
        ],
    )
    def test_spaces_at_the_ends_and_invisible_characters_are_removed(self, typed: str, seen: str) -> None:
        assert visible(typed) == seen
        assert visible(seen) == seen

    def test_a_line_has_no_line_breaks(self) -> None:
        assert visible_line("Run\r\n\r\nYOUR ACCOUNT IS\u2028LOCKED \u00a0 now") == "Run YOUR ACCOUNT IS LOCKED now"

    def test_a_long_text_of_spaces_takes_linear_time(self) -> None:
        took = []
        for length in (20_000, 200_000):
            began = time.process_time()
            visible("x" + (" \u200b" * length + "x") * 2)
            took.append(time.process_time() - began)
        assert took[1] < 100 * max(took[0], 0.001)  # a quadratic pattern takes minutes


class TestFields:
    class Form(BaseModel):
        title: Annotated[str, StringConstraints(min_length=1, max_length=5), SHOWN_LINE] = "x"
        note: Annotated[str, StringConstraints(min_length=1, max_length=5), SHOWN_TEXT] = "x"

    def test_the_limits_count_what_is_seen(self) -> None:
        form = self.Form(title=" \u200ba\nb\u00a0c ", note="\u200ba\nb  ")
        assert (form.title, form.note) == ("a b c", "a\nb")

    @pytest.mark.parametrize("value", ["\u200b", "abcdef", 1, None, "\ud800"])
    @pytest.mark.parametrize("field", ["title", "note"])
    def test_what_is_blank_long_or_no_text_is_refused(self, field: str, value: Any) -> None:
        with pytest.raises(ValidationError) as refused:
            self.Form.model_validate({field: value})
        (error,) = refused.value.errors()
        assert error["type"].startswith("string")  # the message is about a text

    @pytest.mark.parametrize("field", ["title", "note"])
    @pytest.mark.parametrize(
        "character",
        ["\x00", "\x07", "\x08", "\x1b", "\x7f", "\x9b", *map(chr, range(0x202A, 0x202F)), "\u2066", "\u2068"],
    )
    def test_controls_and_turns_of_direction_are_refused(self, field: str, character: str) -> None:
        for value in (f"a{character}b", f"{character}ab"):
            with pytest.raises(ValidationError, match="type the text again"):
                self.Form.model_validate({field: value})

    def test_marks_of_right_to_left_texts_and_isolates_around_a_text_are_left_out(self) -> None:
        form = self.Form(title="\u200f\u05e8\u05d9\u05e6\u05d4\u200f", note=" \u2068Kari\u2069 ")
        assert (form.title, form.note) == ("\u05e8\u05d9\u05e6\u05d4", "Kari")

    def test_the_schema_states_the_limits(self) -> None:
        schema = self.Form.model_json_schema()["properties"]["title"]
        assert (schema["type"], schema["minLength"], schema["maxLength"]) == ("string", 1, 5)
