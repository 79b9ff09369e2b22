"""What people typed, as our mails quote it: one line that no mail program turns into a link."""

import re
import time

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from notifications.quoting import LONGEST, quote
from tests.support.links import links_in

FULL_WIDTH = {code: code + 0xFEE0 for code in range(0x21, 0x7F)}  # as Japanese keyboards type them
LINKS = [
    "https://evil.example/x?y=1", "HTTPS://EVIL.COM", "http://1.2.3.4/a", "192.0.2.1/x", "http://[::1]/",
    "www.evil.com", "evil.com", "evil.co.uk/login", "see(evil.com)", "evil.com:443", "kari@evil.com",
    "mailto:kari@evil.com", "tel:+4712345678", "javascript:alert(1)", "file:///etc/passwd", "//evil.com/x",
    "\\\\host\\share", "xn--80ak6aa92e.com", "evil.xn--p1ai", "пример.рф", "例え.テスト", "💩.la", "evil。com",
    "evil｡com", "evil\u2024com", "evil.com".translate(FULL_WIDTH), "http://evil".translate(FULL_WIDTH),
    "kari@evil.com".translate(FULL_WIDTH), "evil.c\u200bom", "evil.\u200dcom", "ev\u00adil.com", "http\u200b://evil",
    "foo.museum", "a.b.cd", "evil.com\u202emoc", "go:evil.com,now", "t.me/x", "bit.ly", "evil..com", "x.evil.com.",
    "[evil](http://evil.com)",
]  # fmt: skip


class TestLinks:
    @pytest.mark.parametrize("text", LINKS, ids=ascii)
    def test_a_link_is_not_clickable(self, text: str) -> None:
        assert links_in(quote(text)) == []
        assert links_in(f"“{quote(f'Win a prize: {text} now')}”") == []

    def test_the_finder_finds_links(self) -> None:
        """Without this, the tests above could pass by finding nothing at all."""
        assert all(links_in(text) for text in ("https://evil.example", "evil.com", "kari@evil.com", "t.me/x"))

    @settings(max_examples=500)
    @given(st.text(alphabet="ab1é走.。:/@\\- \u200d\u200b\n”", max_size=20))
    @example("a.:ab")
    def test_no_text_has_links(self, text: str) -> None:
        assert links_in(quote(text)) == []

    @pytest.mark.parametrize(
        "text",
        [
            "Run before eight", "Run at 8.30, 5 km!", "10:30 to 11:00", "e.g. v1.5.2 at 6 a.m.", "50/50", "28.11.2026",
            "C++ & R&D", "走る、毎日", "Übung macht den Meister…", "100 % (ten)", "a/b test", "שלום עולם",
            "\U0001f468\u200d\U0001f469\u200d\U0001f467 walks", "It's OK",
        ],
    )  # fmt: skip
    def test_other_texts_stay_as_they_are(self, text: str) -> None:
        assert quote(text) == text

    def test_a_reader_still_sees_what_was_meant(self) -> None:
        assert quote("https://evil.com/x") == "https: // evil. com/x"
        assert quote("Learn Node.js") == "Learn Node. js"


class TestQuotations:
    @pytest.mark.parametrize(
        "breaks", ["\n\n", "\r\n", "\r", "\x0b", "\x0c", "\x1c", "\x1d", "\x1e", "\x85", "\u2028", "\u2029", "\x00\n"]
    )
    def test_a_quotation_is_one_line(self, breaks: str) -> None:
        assert quote(f"Run{breaks}YOUR ACCOUNT IS LOCKED") == "Run YOUR ACCOUNT IS LOCKED"

    @pytest.mark.parametrize(
        "mark",
        [
            *'\u201c\u201d\u201e\u201f\u00ab\u00bb"\uff02\u301d\u301e\u301f',
            *"\u275d\u275e\u2760\u2e42\U0001f676\U0001f677\U0001f678\u02ba\u02dd\u02ee\u2033\u2036\u3003\u05f4",
            *(
                "''",
                "\u2019\u2019",
                "``",
                "\u00b4\u00b4",
                "'\u2019",
                "\u2032\u2032",
                "\uff07\uff07",
                "\u2019\u200d\u2019",
            ),
        ],
        ids=ascii,
    )
    def test_a_text_cannot_end_its_quotation(self, mark: str) -> None:
        quoted = quote(f"Run{mark} Your account is locked. {mark}")
        assert re.fullmatch("Run[^ ] Your account is locked. [^ ]", quoted)
        assert not set(quoted) & set('\u201c\u201d"\u275e\u2033\u05f4')

    @pytest.mark.parametrize(
        "blank", ["\u2800", "\u00a0", "\u3000", "\u2003", " \u200d", "\u2800\u200d", "\u3164\u2800"], ids=ascii
    )
    def test_no_run_of_blanks_makes_a_new_line_of_the_rest(self, blank: str) -> None:
        """A mail program wraps a long line, so a hundred blanks would begin a paragraph."""
        quoted = quote(f"Run{blank * 100}YOUR ACCOUNT IS LOCKED")
        assert sum(each in " \u2800" for each in quoted) == 4

    def test_characters_that_are_not_seen_are_left_out(self) -> None:
        assert quote("\u202eRun\u202c\u200b\x07 now\ufeff") == "Run now"

    def test_a_long_text_is_cut(self) -> None:
        assert quote("x" * LONGEST) == "x" * LONGEST
        assert quote("x" * (LONGEST + 1)) == "x" * LONGEST + "…"

    def test_a_long_text_takes_little_time(self) -> None:
        began = time.process_time()
        for part in (".", "a:", "@", "a.", "\\", "\u200d", ":a.b@"):
            quote(part * 100_000)
        assert time.process_time() - began < 2
