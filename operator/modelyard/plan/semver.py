"""Which of two versions is the higher: SemVer's precedence (semver.org, item 11), plain numbers among them as `n.0.0`."""

from __future__ import annotations

import functools
import re

_SEMVER = re.compile(r"(\d+)(?:\.(\d+)\.(\d+)(?:-([0-9a-z.-]+))?)?")

Rank = tuple[int, int, int, int, tuple[tuple[int, int, str], ...]]


@functools.lru_cache(1 << 16)  # every decision of a model ranks all of its versions
def rank(version: str) -> Rank:
    """Return a key to sort versions by, lowest first; what is no version at all sorts before all that are.

    >>> sorted(["1.10.0", "1.9.0", "1.10.0-rc.2", "1.10.0-rc.10", "2"], key=rank)
    ['1.9.0', '1.10.0-rc.2', '1.10.0-rc.10', '1.10.0', '2']
    """
    match = _SEMVER.fullmatch(version)
    if not match:
        return (-1, 0, 0, 0, ((1, 0, version),))
    major, minor, patch, prerelease = match.groups()
    identifiers = tuple((0, int(part), "") if part.isdigit() else (1, 0, part) for part in (prerelease or "").split(".") if part)
    return (int(major), int(minor or 0), int(patch or 0), 0 if identifiers else 1, identifiers)
