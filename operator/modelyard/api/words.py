"""Words: members of closed lists, each with the sentence that the manuals print beside it."""

from __future__ import annotations

import enum
from typing import Self


class Word(enum.StrEnum):
    """One word for machines; its `text` is for people."""

    text: str

    def __new__(cls, value: str, text: str = "") -> Self:
        """A word with its sentence."""
        member = str.__new__(cls, value)
        member._value_ = value
        member.text = text
        return member
