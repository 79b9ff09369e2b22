"""QR codes, for a screen."""

from io import BytesIO
from typing import Literal


def svg(text: str, *, error: Literal["L", "M", "Q", "H"] = "L") -> str:
    """A QR code, as an SVG that stands alone. `error`: how much of it may be unreadable, 7, 15, 25 or 30 percent; more
    where the code does not grow by it.
    """
    import segno

    file = BytesIO()
    segno.make(text, error=error, micro=False).save(file, kind="svg", scale=4, light="white", xmldecl=False, nl=False)
    return file.getvalue().decode()
