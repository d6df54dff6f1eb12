"""A dossier as one HTML page: self-contained, without scripts, and with the dossier itself inside, so that the page can be checked as well."""

from __future__ import annotations

import json
from importlib import resources
from typing import Any, Final

import jinja2

from modelyard.audit.dossier import fields
from modelyard.content import jsontext
from modelyard.ledger import codec, coverage

Json = dict[str, Any]

_BEGIN: Final = '<script type="application/json" id="dossier">'
_END: Final = "</script>"


def write(dossier: Json) -> str:
    """Render the page of a dossier; the same dossier always gives the same page."""
    template = resources.files("modelyard.cli.query").joinpath("dossier.html").read_text(encoding="utf-8")
    # No value can end the script element, or begin any other.
    inside = json.dumps(dossier, ensure_ascii=False, separators=(",", ":"))
    for sign, code in (("&", "\\u0026"), ("<", "\\u003c"), (">", "\\u003e"), ("\u2028", "\\u2028"), ("\u2029", "\\u2029")):
        inside = inside.replace(sign, code)
    shown = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    shown.filters |= {"shown": text, "longest": lambda words: max(map(len, words.split()), default=0)}
    return shown.from_string(template).render(d=dossier, states=list(fields.State), inside=f"{_BEGIN}{inside}{_END}")


def read(page: str) -> Json | None:
    """Return the dossier inside a page; None when there is none.

    Raises:
        ValueError: the embedded text is no JSON.
    """
    before, begin, rest = page.partition(_BEGIN)
    inside, end, _ = rest.partition(_END)
    content = jsontext.loads(inside) if before and begin and end else None
    return content if isinstance(content, dict) else None


def text(value: Any) -> str:
    """Render a value for people."""
    match value:
        case None:
            return "–"
        case bool():
            return "yes" if value else "no"
        case list():
            return ", ".join(text(item) for item in value)
        case dict():
            return ", ".join(f"{key}={text(item)}" for key, item in value.items())
        case int():
            return f"{value:,}"
        case str():
            return "".join(sign if sign.isprintable() or sign == "\n" else ascii(sign)[1:-1] for sign in _clock(value))
        case _:
            return str(value)


def _clock(value: str) -> str:
    """Render a time of the ledger for people."""
    if len(value) != 27 or not value.endswith("Z"):
        return value
    try:
        return coverage.clock(codec.read_time(value))
    except ValueError:
        return value
