"""Everything in the CRDs about a field beyond its type: text for people, bounds, patterns and CEL rules.

The API server holds writers to all of it. Parsing never looks at it, so that an object which an older or newer CRD let in
cannot make the operator stumble.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    import pydantic
    from pydantic_core import core_schema

VALIDATIONS: Final = "x-kubernetes-validations"
LIST_TYPE: Final = "x-kubernetes-list-type"
LIST_KEYS: Final = "x-kubernetes-list-map-keys"
PRESERVE: Final = "x-kubernetes-preserve-unknown-fields"

LATER: Final = " Validated, not yet acted on."


@dataclasses.dataclass(frozen=True)
class Rule:
    """A CEL expression over `self` (with `oldSelf`: on updates only) that must be true, and the message when it is not."""

    check: str
    otherwise: str
    at: str | None = None
    """The field to name instead of the field that has the rule, such as `.digest`."""

    def dump(self) -> dict[str, str]:
        """Return the rule as in `x-kubernetes-validations`."""
        return {"rule": self.check, "message": self.otherwise} | ({"fieldPath": self.at} if self.at else {})


class Says:
    """Metadata for `Annotated`: a description, CEL rules, and any other keyword of the schema; a keyword of None is removed."""

    def __init__(self, text: str = "", *rules: Rule, **keywords: Any) -> None:
        self.text = text
        self.rules = rules
        self.keywords = keywords

    def __get_pydantic_json_schema__(self, core: core_schema.CoreSchema, handler: pydantic.GetJsonSchemaHandler) -> dict[str, Any]:
        """Return the annotated schema with this description and these keywords; rules add up."""
        keywords = {**handler(core), **self.keywords}
        if self.text:
            keywords["description"] = self.text
        if self.rules:
            keywords[VALIDATIONS] = [*keywords.get(VALIDATIONS, []), *(rule.dump() for rule in self.rules)]
        return {keyword: value for keyword, value in keywords.items() if value is not None}


def matching(pattern: str, otherwise: str, *rules: Rule, most: int) -> Says:
    """Text of at most `most` characters; the pattern appears twice, as only CEL gives a message that a person can act on."""
    return Says("", Rule(f"self.matches(r'{pattern}')", otherwise), *rules, pattern=pattern, maxLength=most)


def text(words: str, most: int = 512) -> Says:
    """Text that is not empty, of at most `most` characters, with its description."""
    return Says(words, maxLength=most, minLength=1)


def listed_by(*fields: str, most: int, least: int | None = None) -> dict[str, Any]:
    """Keywords of a list that is keyed by these fields: several people can own entries of it."""
    return {LIST_TYPE: "map", LIST_KEYS: list(fields), "maxItems": most, "minItems": least}


def rules(*several: Rule) -> dict[str, Any]:
    """Return CEL rules of a whole model, for its `json_schema_extra`."""
    return {VALIDATIONS: [rule.dump() for rule in several]}


def unchanged(field: str, otherwise: str | None = None) -> Rule:
    """Rule: an optional field can neither be added, changed nor removed."""
    equal = f"has(oldSelf.{field}) == has(self.{field}) && (!has(self.{field}) || self.{field} == oldSelf.{field})"
    return Rule(equal, otherwise or f"{field} cannot change: put it back, or create another object", f".{field}")


def kept(field: str, otherwise: str) -> Rule:
    """Rule: a field that is set cannot be removed."""
    return Rule(f"!has(oldSelf.{field}) || has(self.{field})", otherwise, f".{field}")


def one_way(field: str, final: str, otherwise: str) -> Rule:
    """Rule: once a field has this value (a CEL literal), it keeps it."""
    final_value = f"has(self.{field}) && self.{field} == {final}"
    return Rule(f"!({final_value.replace('self', 'oldSelf')}) || ({final_value})", otherwise, f".{field}")


def exactly_one(*fields: str) -> Rule:
    """Rule: exactly one of these fields is set."""
    presence = ", ".join(f"has(self.{field})" for field in fields)
    return Rule(f"[{presence}].exists_one(given, given)", f"give exactly one of {', '.join(fields)}")
