"""Request bodies: what their models share, and how their JSON is read within bounds."""

import json
from typing import Any

from pydantic import BaseModel, ConfigDict

from chally.errors import FieldError, InvalidRequest, UnsupportedEncoding

# Our largest body has about fifty values. The bounds hold before validation, which is slower than reading and would
# report every unknown field.
MAX_VALUES = 1_000
MAX_DEPTH = 20
GZIP = b"\x1f\x8b"


class Body(BaseModel):
    """A request body, or a part of one.

    Unknown fields are refused, so that a typo is not silently ignored. Types are strict: `"10"` is not a number. In
    responses every field is present.
    """

    model_config = ConfigDict(extra="forbid", strict=True, json_schema_serialization_defaults_required=True)


def parse(raw: bytes, *, encoding: str) -> Any:
    """Parse the JSON of a body. `encoding` is the header Content-Encoding, or empty.

    Raises `UnsupportedEncoding`, and `InvalidRequest` for other bytes than JSON and for too many or too deep values.
    """
    if encoding.strip().lower() not in ("", "identity") or raw.startswith(GZIP):
        raise UnsupportedEncoding
    try:
        parsed = json.loads(raw.decode("utf-8-sig"))
    except UnicodeDecodeError:
        raise _invalid("The body is not valid JSON: its text is not UTF-8.") from None
    except json.JSONDecodeError as error:
        raise _invalid(f"The body is not valid JSON (line {error.lineno}, column {error.colno}).") from None
    except RecursionError:
        raise _too_deep() from None
    except ValueError:  # Python bounds the digits of a whole number
        raise _invalid("The body has a number with too many digits.") from None
    _check_size(parsed)
    return parsed


def _check_size(parsed: Any) -> None:
    values, level, depth = 0, [parsed], 0
    while level:
        values += len(level)
        if values > MAX_VALUES:
            raise _invalid(f"The body has more than {MAX_VALUES} values. No call needs as many.")
        if depth > MAX_DEPTH:
            raise _too_deep()
        depth += 1
        inner: list[Any] = []
        for value in level:
            if isinstance(value, dict | list):
                if len(value) > MAX_VALUES:
                    raise _invalid(f"The body has more than {MAX_VALUES} values. No call needs as many.")
                inner += value.values() if isinstance(value, dict) else value
        level = inner


def _too_deep() -> InvalidRequest:
    return _invalid(f"The body is nested more than {MAX_DEPTH} levels deep.")


def _invalid(message: str) -> InvalidRequest:
    return InvalidRequest(errors=[FieldError(pointer="", message=message)])
