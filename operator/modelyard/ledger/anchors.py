"""Anchors of chains, which are kept outside the bucket, as text: `anchors.json` of the ConfigMaps and of an exported folder. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from modelyard.api import meta
from modelyard.content import canonical, jsontext
from modelyard.ledger import integrity, record

FORMAT: Final = "modelyard.dev/anchors/v1"
KEY: Final = "anchors.json"
"""The key in the ConfigMaps, and the file of an exported folder."""
PUBLIC: Final = "public.pem"
"""The public keys that records are trusted from: the key in the ConfigMap `OPERATORS` alone, and the file of an exported folder."""
OPERATORS: Final = "modelyard-anchors"
"""The ConfigMap of the installation's own chain."""
LABELS: Final = {f"{meta.GROUP}/ledger": "anchors"}
SELECTOR: Final = f"{meta.GROUP}/ledger=anchors"


def config_map(chain: record.Chain) -> str:
    """The name of the ConfigMap that keeps a chain's anchor: one for each namespace, as one object holds some 5,000."""
    return OPERATORS if chain.namespace == "_" else f"{OPERATORS}.{chain.namespace}"


def write(anchors: Mapping[record.Chain, integrity.Anchor]) -> str:
    """Write every chain with its number and head, sorted."""
    rows: list[dict[str, Any]] = [
        {"registry": chain.registry, "namespace": chain.namespace, "model": chain.model, "sequence": anchor.sequence, "head": anchor.head}
        for chain, anchor in sorted(anchors.items(), key=lambda item: item[0].prefix)
    ]
    return canonical.dumps({"format": FORMAT, "anchors": rows}).decode()


def read(text: str, source: str) -> dict[record.Chain, integrity.Anchor]:
    """Read the anchors that `write` wrote; `source` is their name in flaws.

    Raises:
        ValueError: it is something else.
    """
    try:
        raw = jsontext.loads(text)
        if raw["format"] != FORMAT:
            raise ValueError(f"its format is {raw['format']!r}")
        return {
            record.Chain(str(row["registry"]), str(row["namespace"]), str(row["model"])): integrity.Anchor(
                int(row["sequence"]), str(row["head"]), source
            )
            for row in raw["anchors"]
        }
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{source} cannot be read: {type(error).__name__} {error}") from None
