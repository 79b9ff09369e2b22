"""Links that mail programs find in plain text."""

import re
import unicodedata

from linkify_it import LinkifyIt
from linkify_it.tlds import TLDS

FINDER = LinkifyIt(options={"fuzzy_ip": True})
FINDER.tlds(TLDS, True)
FINDER.add("tel:", "http:").add("javascript:", "http:").add("file:", "http:")
# What Android links (android.util.Patterns), shortened: a host with a dot before two letters, an address, a scheme.
ANDROID = re.compile(r"(?i)[a-z][a-z0-9+.-]*://\S|[\w-]\.[^\W\d_]{2,}|\S@\S+\.\S|^www\.\S|\\\\\w")


def links_in(text: str) -> list[str]:
    found = FINDER.match(unicodedata.normalize("NFKC", text)) or []
    return [match.raw for match in found] + [match[0] for match in ANDROID.finditer(text)]
