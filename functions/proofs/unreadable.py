"""Why a file cannot be used as a photo: a code, and a sentence for its sender."""

from typing import Literal

type UnreadableCode = Literal["not_an_image", "too_large", "type_mismatch", "damaged"]


class UnreadableImage(Exception):
    """The bytes are not a picture that we accept. `detail` is for the sender."""

    def __init__(self, code: UnreadableCode, detail: str) -> None:
        super().__init__(code, detail)
        self.code: UnreadableCode = code
        self.detail = detail


def incomplete() -> UnreadableImage:
    """A part of the picture is missing or broken."""
    return UnreadableImage("not_an_image", "This picture is damaged or incomplete. Send it again.")


def unusual_structure() -> UnreadableImage:
    """The file has so many parts that reading it could take a very long time."""
    return UnreadableImage(
        "not_an_image",
        "No camera or app writes pictures with this structure. Save the photo again and send that.",
    )


def damaged() -> UnreadableImage:
    """Reading the file took too long, too much memory, or crashed the decoder."""
    return UnreadableImage(
        "damaged",
        "We could not read this picture with the time and memory that a photo needs, so its file is probably damaged."
        " Open it, save it as a new JPEG and send that, or take a new photo.",
    )
