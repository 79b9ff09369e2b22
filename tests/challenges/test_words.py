"""How texts and searches are folded and split, in many scripts, against what a reader would call the same word."""

import time
import unicodedata
from collections.abc import Callable

import pytest

from challenges import words
from tests.support.database import Database

# What is typed, and a title in which it is found.
FOUND = {
    "an accent": ("cafe", "Café au lait"),
    "an accent in the search": ("Café", "CAFE"),
    "combining marks": ("Zoë", "Zoe\u0308 runs"),
    "many combining marks": ("hello", "h\u0335\u0321e\u0337\u0322l\u0334l\u0338o\u0336"),
    "a stroke": ("lodz smorrebrod", "Łódź smørrebrød"),
    "Vietnamese": ("dien bien phu", "Điện Biên Phủ"),
    "a ligature": ("fitness oeuvre", "ﬁtness œuvre"),
    "full width": ("abc 123", "ABC 123".translate({code: code + 0xFEE0 for code in range(0x21, 0x7F)})),
    "German": ("strasse", "Straße"),
    "German in capitals": ("straße", "STRASSE"),
    "a capital sharp s": ("STRASSE", "STRAẞE"),
    "Turkish dotted capital": ("istanbul", "İstanbul"),
    "Turkish dotless": ("isparta", "Isparta ve \u0131s\u0131"),
    "Turkish dotless in the search": ("\u0131sparta", "ISPARTA"),
    "Greek final sigma": ("ΟΔΥΣΣΕΥΣ", "οδυσσεύς"),
    "polytonic Greek": ("ωδη", "ᾠδή"),
    "Cyrillic": ("ежик", "Ёжик"),
    "Arabic vowels": ("محمد", "مُحَمَّد"),
    "Arabic hamza": ("احمد", "أحمد يجري"),
    "Arabic tatweel": ("رياضة", "ريـــاضة"),
    "Arabic alef maksura": ("علي", "على"),
    "Persian letters": ("كتاب يك", "کتاب یک"),
    "Persian non-joiner": ("ميخواهم", "می‌خواهم"),
    "Arabic digits": ("10", "\u0661\u0660 كيلومتر"),
    "Hebrew points": ("שלום", "שָׁלוֹם"),
    "Hindi": ("हिन्दी", "मेरी हिन्दी"),
    "Japanese, inside": ("勉強", "日本語の勉強会"),
    "Japanese, one character": ("語", "日本語の勉強会"),
    "Japanese, last character": ("会", "日本語の勉強会"),
    "Japanese, half width": ("ランニング", "朝ﾗﾝﾆﾝｸﾞ"),
    "Japanese beside Latin": ("Java入門", "Java 入門"),
    "Chinese": ("跑步", "每天早上跑步五公里"),
    "Thai, inside": ("ไทย", "เรียนภาษาไทยทุกวัน"),
    "Thai sara am": ("น้ำ", "ดื่มน้\u0e4d\u0e32ทุกวัน"),
    "Khmer": ("ភាសា", "រៀនភាសាខ្មែរ"),
    "Burmese": ("ဗမာ", "မြန်မာဗမာစာ"),
    "Lao": ("ລາວ", "ພາສາລາວ"),
    "Korean, inside": ("공부", "한국어공부합니다"),
    "Korean, decomposed": (unicodedata.normalize("NFD", "공부"), "한국어 공부"),
    "Korean, decomposed title": ("공부", unicodedata.normalize("NFD", "한국어공부")),
    "Korean, single letters": ("ㄱㅗㅇㅂㅜ", "한국어공부"),
    "C++": ("C++", "Learn C++ in 30 days"),
    "C#": ("c#", "C# and F#"),
    "a sign alone": ("++", "C++"),
    "a dot": (".net", "Learn .NET"),
    "an emoji": ("🏃", "Run 🏃 daily"),
    "an emoji beside a word": ("🏃run", "🏃 Run"),
    "another skin tone": ("🏃🏾", "🏃🏻 daily"),
    "no skin tone": ("🏃", "🏃🏿"),
    "a variant": ("❤", "❤️ health"),
    "a variant in the search": ("❤️", "❤"),
    "part of a family": ("👧", "👨‍👩‍👧 walk"),
    "a flag": ("🇳🇴", "🇸🇪🇳🇴"),
    "a keycap": ("1️⃣", "1 a day"),
    "a circled number": ("3", "③ laps"),
    "a price": ("$ 5", "$5 a day"),
    "a hashtag": ("#running", "Running club"),
    "a hashtag in the title": ("running", "#running"),
    "any order, any place": ("eight run", "Run before eight"),
    "a beginning": ("mar", "Marathon"),
}
NOT_FOUND = {
    "another sign": ("C++", "C# and Java"),
    "a letter alone": ("C++", "Cooking"),
    "signs elsewhere": ("C++", "C, but better ++"),
    "another emoji": ("🏃", "🏊 daily"),
    "another flag": ("🇴🇸", "🇳🇴 and 🇸🇪"),
    "the middle of a word": ("unning", "Running"),
    "the same characters apart": ("日語", "日本語"),
    "pairs that are not neighbours": ("京都大", "東京都と大阪都大"),
    "another voicing": ("か", "がぎぐ"),
    "another Thai vowel": ("กา", "กิ"),
    "one word of two": ("run swim", "Run before eight"),
    "nothing but punctuation": ("!!!", "Run!!!"),
    "syntax": (r"'a' & b | c <-> \ :*", "Run"),
}


@pytest.fixture
def matches(database: Database) -> Callable[[str, str], bool]:
    def matches(typed: str, title: str, description: str = "") -> bool:
        ((found,),) = database.execute(
            "select %(document)s::tsvector @@ %(query)s::tsquery",
            document=words.document(title, description),
            query=words.query(typed),
        )
        return bool(found)

    return matches


def test_what_a_reader_calls_the_same_is_found(matches: Callable[[str, str], bool]) -> None:
    assert {name for name, (typed, title) in FOUND.items() if not matches(typed, title)} == set()


def test_what_is_something_else_is_not_found(matches: Callable[[str, str], bool]) -> None:
    assert {name for name, (typed, title) in NOT_FOUND.items() if matches(typed, title)} == set()


def test_every_title_is_found_by_itself(matches: Callable[[str, str], bool]) -> None:
    titles = {title for _, title in (*FOUND.values(), *NOT_FOUND.values()) if words.query(title)}
    assert {title for title in titles if not matches(title, title)} == set()


def test_a_word_is_not_found_across_title_and_description(database: Database) -> None:
    document = words.document("日", "本")
    assert database.execute("select %(d)s::tsvector @@ %(q)s::tsquery", d=document, q=words.query("日本")) == [(False,)]


@pytest.mark.parametrize(
    "text",
    ["\u00df" * 2000, "\ufdfa" * 2000, "日" * 2000, "🏃" * 2000, "+" * 2000, "x" * 2000, "a+" * 1000, "日a" * 1000,
     "\u0345" * 2000, "'" * 2000, "\\" * 2000, "".join(map(chr, range(0x20, 0x800))),
     "".join(map(chr, range(0x3000, 0x3800)))],
    ids=lambda text: ascii(text[:2]),
)  # fmt: skip
def test_any_text_can_be_stored_and_searched_at_little_cost(database: Database, text: str) -> None:
    began = time.process_time()
    document, query = words.document("x" * 120, text), words.query(text[:100])
    assert time.process_time() - began < 0.5
    assert len(query) < 10_000
    ((size,),) = database.execute(
        "select pg_column_size(%(document)s::tsvector) where %(query)s::tsquery is not null",
        document=document,
        query=query,
    )
    assert size < 100_000
