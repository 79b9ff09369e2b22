"""Sentences for values that pydantic refuses. Its own messages show patterns and the names of types to people."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from pydantic import Field
from pydantic.fields import FieldInfo

# By pydantic's error type; placeholders come from the error's context.
_SENTENCES = {
    "missing": "This field is required.",
    "extra_forbidden": "Unknown field. Remove it, or check its spelling.",
    "literal_error": "Must be {expected}.",
    "string_type": "Must be a string.",
    "string_unicode": "Must be valid Unicode text.",
    "string_too_long": "Must have at most {max_length} {characters}.",
    "string_too_short": "Must have at least {min_length} {characters}.",
    "int_type": "Must be a whole number.",
    "int_parsing": "Must be a whole number.",
    "int_parsing_size": "Must be a smaller number.",
    "int_from_float": "Must be a whole number.",
    "float_type": "Must be a number.",
    "float_parsing": "Must be a number.",
    "finite_number": "Must be a finite number.",
    "bool_type": "Must be true or false.",
    "bool_parsing": "Must be true or false.",
    "greater_than": "Must be more than {gt}.",
    "greater_than_equal": "Must be {ge} or more.",
    "less_than": "Must be less than {lt}.",
    "less_than_equal": "Must be {le} or less.",
    "too_short": "Must have at least {min_length} {items}.",
    "too_long": "Must have at most {max_length} {items}.",
    "list_type": "Must be a list.",
    "dict_type": "Must be a JSON object.",
    "model_type": "Must be a JSON object.",
    "model_attributes_type": "Must be a JSON object.",
    "value_error": "{error}",
}
_DATE_BOUNDS = {
    "greater_than_equal": "Must be {ge:%Y-%m-%d} or later.",
    "less_than": "Must be before {lt:%Y-%m-%d}.",
}
_DAY, _INSTANT = "Must be a date, such as 2026-11-28.", "Must be an instant, such as 2026-11-28T05:00:00Z."
_INVALID = "This value is not valid. See /docs for what is."

_patterns: dict[str, str] = {}


def pattern(expression: str, sentence: str, **field: Any) -> FieldInfo:
    """Declare a field's pattern, with the sentence for values that do not match. `field`: as for `Field`."""
    _patterns[expression] = sentence
    made: FieldInfo = Field(pattern=expression, **field)
    return made


def has_pattern(expression: str) -> bool:
    """Whether a pattern was declared with a sentence."""
    return expression in _patterns


def sentence(error: Mapping[str, Any]) -> str:
    """Return the sentence for one of pydantic's errors: what the value must be."""
    kind, context = str(error["type"]), dict(error.get("ctx", {}))
    if "message" in context:  # an error of our own
        return str(context["message"])
    if "reason" in context:  # of an email address
        return _finished(str(context["reason"]))
    if kind == "string_pattern_mismatch":
        return _patterns.get(context["pattern"], _INVALID)
    if kind.startswith("date_"):
        return _DAY
    if kind.startswith(("datetime_", "timezone_")):
        return _INSTANT
    if kind in _DATE_BOUNDS and any(isinstance(bound, datetime) for bound in context.values()):
        return _DATE_BOUNDS[kind].format_map(context)
    if kind not in _SENTENCES:
        return _INVALID
    plural = "" if 1 in (context.get("min_length"), context.get("max_length")) else "s"
    context = {name: int(each) if _is_round(each) else each for name, each in context.items()}
    return _finished(
        _SENTENCES[kind].format_map({**context, "characters": f"character{plural}", "items": f"item{plural}"})
    )


def _is_round(value: object) -> bool:
    return isinstance(value, float) and value.is_integer()


def _finished(text: str) -> str:
    """Begin with a capital and end with a full stop: sentences of libraries often do not."""
    text = text.strip()
    text = text[:1].upper() + text[1:]
    return text if text.endswith((".", "!", "?")) else f"{text}."
