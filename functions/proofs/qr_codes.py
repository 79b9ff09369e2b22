"""Reads the QR codes in photos."""

import numpy as np
import zxingcpp
from numpy.typing import NDArray

_FORMATS = zxingcpp.BarcodeFormats(zxingcpp.BarcodeFormat.QRCodeModel2)  # no Micro QR: segno generates none for a token


def read_codes(luma: NDArray[np.uint8]) -> list[str]:
    """The texts of the QR codes in a picture, in any orientation; `luma` has the shape (height, width)."""
    codes = zxingcpp.read_barcodes(luma, formats=_FORMATS)
    return [code.bytes.decode("ascii", "replace") for code in codes]
