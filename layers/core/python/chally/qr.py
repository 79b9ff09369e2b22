"""QR codes for screens."""

from io import BytesIO
from typing import Literal


def svg(text: str, *, error: Literal["L", "M", "Q", "H"] = "L") -> str:
    """A QR code as a standalone SVG. `error` is how much of it may be unreadable: 7, 15, 25 or 30 percent, and more if
    the code does not grow by that.
    """
    import segno

    file = BytesIO()
    segno.make(text, error=error, micro=False).save(file, kind="svg", scale=4, light="white", xmldecl=False, nl=False)
    return file.getvalue().decode()
