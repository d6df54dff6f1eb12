from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from modelyard.plan import semver


def test_semver_order_as_the_specification_lists_it() -> None:
    ordered = ["1.0.0-alpha", "1.0.0-alpha.1", "1.0.0-alpha.beta", "1.0.0-beta", "1.0.0-beta.2", "1.0.0-beta.11", "1.0.0-rc.1", "1.0.0"]

    assert sorted(set(ordered), key=semver.rank) == ordered


def test_plain_numbers_count_as_major_versions() -> None:
    assert sorted(["10", "9", "9.5.0", "10.0.1"], key=semver.rank) == ["9", "9.5.0", "10", "10.0.1"]


def test_what_is_no_version_comes_first() -> None:
    assert sorted(["1", "", "v1"], key=semver.rank)[:2] == ["", "v1"]


@given(st.lists(st.text(alphabet="0123456789.-rcab", max_size=12)))
def test_any_text_can_be_ranked(texts: list[str]) -> None:
    assert len(sorted(texts, key=semver.rank)) == len(texts)
