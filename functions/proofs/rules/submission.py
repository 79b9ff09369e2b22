"""Which proofs can be sent now, and until when one can be removed."""

from collections.abc import Collection
from datetime import datetime, timedelta
from typing import Protocol

from challenges.language import HEIC, NumberProof, PhotoProof, TextProof
from chally.errors import AppError, FieldError, InvalidRequest
from chally.text import visible_line
from proofs.rules.status import COUNTED, EXPIRES_AFTER, ProofStatus, ShownStatus

MAX_NUMBER = 10**12
# The storage that one person's photos may use. Each photo is kept for 30 days (infra/storage.py).
STORAGE_QUOTA = 2**30
STORED_FOR = timedelta(days=30)
# How many uploads of a window one person may have requested and not sent, besides those that it has room for.
SPARE_UPLOADS = 2
# How people with an iPhone, which takes HEIC, send a JPEG.
JPEG_ADVICE = (
    "To take JPEGs with an iPhone, choose Settings, Camera, Formats, Most Compatible. Or send this photo through a"
    " browser on the phone, which converts it to JPEG."
)
# How many versions of one upload get a verdict.
MAX_VERSIONS = 5


class WindowClosed(AppError):
    status = 409
    code = "window_closed"
    detail = "You have no open window in this challenge now."


class WindowFull(AppError):
    status = 409
    code = "window_full"
    detail = "This window already has all its proofs."


class StorageFull(AppError):
    status = 409
    code = "storage_full"
    detail = (
        f"Your photos of the last {STORED_FOR.days} days, and the uploads you requested in the last"
        f" {EXPIRES_AFTER // timedelta(minutes=1)} minutes, use all of your {STORAGE_QUOTA // 2**30} GiB. Send a"
        f" smaller photo, or wait: an upload you did not send frees its space after"
        f" {EXPIRES_AFTER // timedelta(minutes=1)} minutes, a photo after {STORED_FOR.days} days."
    )


class WindowBounds(Protocol):
    """When a window accepts proofs: [opens_at, closes_at)."""

    @property
    def opens_at(self) -> datetime: ...
    @property
    def closes_at(self) -> datetime: ...


def check_window[W: WindowBounds](window: W | None, challenge_status: str, now: datetime) -> W:
    """Return the window if it is open in an active challenge; raise `WindowClosed` otherwise."""
    if challenge_status != "active":
        raise WindowClosed(f"This challenge does not accept proofs now: its status is {challenge_status}.")
    if window is None or now >= window.closes_at:
        raise WindowClosed("You have no windows left in this challenge.")
    if now < window.opens_at:
        raise WindowClosed(f"Your window is not open yet. It opens at {window.opens_at:%Y-%m-%dT%H:%M:%SZ}.")
    return window


def check_room(proofs: Collection[ShownStatus], max_per_window: int) -> None:
    """Raise `WindowFull` if the window has all its proofs. Rejected proofs and uploads that expired do not count.

    Uploads that were requested take a place too, until they expire, so that one person cannot send forty at once. There
    are `SPARE_UPLOADS` more of these places: a request may have to be repeated, or a photo replaced by a better one.
    """
    if sum(status in COUNTED for status in proofs) >= max_per_window:
        raise _full(max_per_window, "To send another, remove one first (DELETE /v1/proofs/{id}).")
    requested = list(proofs).count("awaiting_upload")
    if sum(status in COUNTED for status in proofs) + requested >= max_per_window + SPARE_UPLOADS:
        raise WindowFull(
            f"You have requested {requested} uploads for this window and not sent them. Send one of these files to its"
            " URL, or remove one of these proofs first (DELETE /v1/proofs/{id}). Each ends"
            f" {EXPIRES_AFTER // timedelta(minutes=1)} minutes after its request."
        )


def check_room_to_accept(proofs: Collection[ProofStatus], max_per_window: int) -> None:
    """Raise `WindowFull` if the window already has as many other accepted proofs as it allows."""
    if list(proofs).count("accepted") >= max_per_window:
        raise _full(max_per_window, "To accept this one, reject another of them first.")


def _full(max_per_window: int, advice: str) -> WindowFull:
    number = "one proof" if max_per_window == 1 else f"{max_per_window} proofs"
    them = "it" if max_per_window == 1 else "them"
    return WindowFull(f"This window accepts {number} and already has {them}. {advice}")


def check_fields(sent: Collection[str], terms: PhotoProof | TextProof | NumberProof) -> None:
    """Raise `InvalidRequest` for missing fields, and for fields of another kind of proof than the challenge accepts."""
    photo_fields = {"content_type", "content_length", "sha256"}
    required = photo_fields if terms.kind == "photo" else {"value"}
    foreign = {"value"} if terms.kind == "photo" else photo_fields | {"captured_at"}
    accepts = "This challenge accepts text" if terms.kind == "text" else f"This challenge accepts a {terms.kind}"
    errors = [
        *(
            FieldError(pointer=f"/{name}", message=f"{accepts}: this field is required.")
            for name in required - set(sent)
        ),
        *(FieldError(pointer=f"/{name}", message=f"{accepts}: omit this field.") for name in foreign & set(sent)),
    ]
    if errors:
        raise InvalidRequest(errors=sorted(errors, key=lambda error: error["pointer"]))


def check_announced(content_type: str, content_length: int, terms: PhotoProof) -> None:
    """Raise `InvalidRequest` for a content type or a size (bytes) that the challenge does not accept."""
    errors = []
    accepted = {*terms.types, *(HEIC if set(HEIC) & set(terms.types) else ())}
    if content_type not in accepted:
        message = f"This challenge accepts {', '.join(terms.types)}."
        if content_type in HEIC:
            message = f"This is an HEIC picture. {message} {JPEG_ADVICE}"
        errors.append(FieldError(pointer="/content_type", message=message))
    if content_length > terms.max_bytes:
        message = f"This challenge accepts files of at most {terms.max_bytes} bytes."
        errors.append(FieldError(pointer="/content_length", message=message))
    if errors:
        raise InvalidRequest(errors=errors)


def check_value(value: str | float, terms: TextProof | NumberProof) -> None:
    """Raise `InvalidRequest` for a value of the wrong kind, or a text that is too short."""
    if isinstance(terms, TextProof):
        if not isinstance(value, str):
            raise _invalid("/value", "This challenge accepts text.")
        if len(visible_line(value)) < terms.min_length:
            raise _invalid("/value", f"This challenge accepts text of at least {terms.min_length} characters.")
    elif isinstance(value, str):
        raise _invalid("/value", f"This challenge accepts a number{f' ({terms.unit})' if terms.unit else ''}.")


def check_storage(stored: int, content_length: int) -> None:
    """Raise `StorageFull` if a photo of `content_length` bytes would exceed the quota of its sender."""
    if stored + content_length > STORAGE_QUOTA:
        raise StorageFull


def check_removal(closes_at: datetime, now: datetime) -> None:
    """Raise `WindowClosed` once the window of a proof has closed."""
    if now >= closes_at:
        raise WindowClosed("The window of this proof has closed: the proof can no longer be removed.")


def _invalid(pointer: str, message: str) -> InvalidRequest:
    return InvalidRequest(errors=[FieldError(pointer=pointer, message=message)])
