"""The schemas of the API's description: their names, and what FastAPI leaves out of them."""

import copy
import json
import re
from typing import Any

from system import glossary

# Problems with further members: by code, the schema's name and the members.
_METHODS = {
    "type": "array",
    "items": {"type": "string", "enum": ["totp", "backup_code", "passkey"]},
}
EXTENDED_PROBLEMS: dict[str, tuple[str, dict[str, Any]]] = {
    "mfa_required": ("MfaRequired", {"mfa_token": {"type": "string"}, "methods": _METHODS}),
    "second_factor_required": ("SecondFactorRequired", {"methods": _METHODS}),
}
# Bounds that only code checks, because its messages say more.
_NEW_PASSWORDS = ("RegisterIn.password", "ResetIn.password", "PasswordIn.new")
_FACTORS = {"MfaIn": (2, 2), "StepUpIn": (1, 1), "TotpOffIn": (0, 1)}  # how many properties


def describe(schemas: dict[str, Any]) -> None:
    """Complete the schemas in place."""
    for code, (name, members) in EXTENDED_PROBLEMS.items():
        schemas[name] = _extended(schemas["Problem"], name, code, members)
    for name in _NEW_PASSWORDS:
        schema, _, member = name.partition(".")
        schemas[schema]["properties"][member] |= {"minLength": 10, "maxLength": 128}
    for name, (least, most) in _FACTORS.items():
        schemas[name] |= {"minProperties": least, "maxProperties": most}
    for name, schema in schemas.items():
        _complete(_shown(name), schema, schemas)


def _extended(problem: dict[str, Any], name: str, code: str, members: dict[str, Any]) -> dict[str, Any]:
    made = copy.deepcopy(problem)
    made["title"], made["description"] = name, f"The problem `{code}`, with what is needed to continue."
    made["properties"] |= {"code": {"type": "string", "const": code}, **copy.deepcopy(members)}
    made["required"] = [*made["required"], *members]
    return made


def _complete(name: str, schema: dict[str, Any], schemas: dict[str, Any]) -> None:
    schema["title"] = name
    schema.setdefault("description", _words(name))
    for member, described in schema.get("properties", {}).items():
        described.pop("title", None)
        for variant in (described, *described.get("anyOf", ())):
            variant.pop("ge", None)  # bounds of instants, which JSON Schema cannot express
            variant.pop("lt", None)
        # generators drop a property with a default that is an object, and whatever refers to it
        if isinstance(described.get("default"), dict):
            del described["default"]
        _discriminate(described, schemas)
        owner = "Problem" if any(name == extended for extended, _ in EXTENDED_PROBLEMS.values()) else name
        texts = (glossary.PROPERTIES.get(key) for key in (f"{name}.{member}", f"{owner}.{member}", member))
        text = next(filter(None, texts), None)
        if "description" not in described and text:
            described["description"] = text


def _discriminate(described: dict[str, Any], schemas: dict[str, Any]) -> None:
    """Name the discriminator of a union whose variants all require it."""
    variants = [each.get("$ref", "").rpartition("/")[2] for each in described.get("oneOf", ())]
    kinds = {name: schemas[name]["properties"].get("kind", {}).get("const") for name in variants if name in schemas}
    if kinds and len(kinds) == len(variants) and all("kind" in schemas[name].get("required", ()) for name in kinds):
        mapping = {kind: f"#/components/schemas/{name}" for name, kind in kinds.items()}
        described["discriminator"] = {"propertyName": "kind", "mapping": mapping}
    elif kinds:  # one variant is the default, so a value without the property is not exclusive
        described["anyOf"] = described.pop("oneOf")


def renamed(document: dict[str, Any]) -> dict[str, Any]:
    """The document with names that read well in generated clients: RulesIn, RulesOut, ChallengePage."""
    names = {name: _shown(name) for name in document["components"]["schemas"]}
    if len(set(names.values())) < len(names):
        raise ValueError(f"two schemas would have one name: {sorted(names.values())}")
    text = re.sub(
        r"#/components/schemas/([^\"]+)",
        lambda match: f"#/components/schemas/{names[match[1]]}",
        json.dumps(document, ensure_ascii=False),
    )
    result: dict[str, Any] = json.loads(text)
    schemas = result["components"]["schemas"]
    result["components"]["schemas"] = {
        new: schemas[old] for old, new in sorted(names.items(), key=lambda each: each[1])
    }
    return result


def _shown(name: str) -> str:
    if page := re.fullmatch(r"Page_(\w+?)(Out)?_", name):
        return f"{page[1]}Page"
    return name.replace("-Input", "In").replace("-Output", "Out")


def _words(name: str) -> str:
    """A sentence from a schema's name: WindowTimesOut is "Window times."."""
    words = re.sub(r"(In|Out)$", "", name)
    return re.sub(r"(?<=[a-z])(?=[A-Z])", " ", words).capitalize() + "."
