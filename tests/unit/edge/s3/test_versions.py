"""Listings of object versions as stores really write them."""

from __future__ import annotations

from xml.etree import ElementTree

import pytest

from modelyard.edge.s3 import versions

VERSITYGW = b"""<?xml version="1.0" encoding="UTF-8"?>
<ListVersionsResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><IsTruncated>true</IsTruncated><EncodingType>url</EncodingType>
<NextKeyMarker>a%2Fb+c</NextKeyMarker><NextVersionIdMarker>01K</NextVersionIdMarker>
<DeleteMarker><IsLatest>true</IsLatest><Key>a%2Fb+c</Key><LastModified>2026-10-03T14:00:02.123456789Z</LastModified><VersionId>01L</VersionId>
</DeleteMarker>
<Version><ETag>&quot;abc&quot;</ETag><IsLatest>false</IsLatest><Key>a%2Fb+c</Key><LastModified>2026-10-03T14:00:01.9Z</LastModified><Size>7</Size>
<VersionId>01K</VersionId></Version></ListVersionsResult>"""


def test_delete_markers_nanoseconds_and_odd_keys() -> None:
    found, marker = versions.read(VERSITYGW)

    assert found == [versions.Version("a/b c", "01L", True, True), versions.Version("a/b c", "01K", False, False, 7, "abc")]
    assert marker == {"key-marker": "a/b c", "version-id-marker": "01K"}


def test_the_last_page_of_a_bucket_without_versions() -> None:
    page = b"<ListVersionsResult><Version><Key>a%20b+c</Key><VersionId>null</VersionId><IsLatest>true</IsLatest></Version></ListVersionsResult>"

    assert versions.read(page) == ([versions.Version("a%20b+c", None, True, False)], None)


@pytest.mark.parametrize(
    "page",
    [
        b"",
        b"not XML",
        b"<Error/>",
        b"<ListVersionsResult><IsTruncated>true</IsTruncated></ListVersionsResult>",
        b"<ListVersionsResult><Version><Size>x</Size></Version></ListVersionsResult>",
    ],
)
def test_what_is_no_listing(page: bytes) -> None:
    with pytest.raises((ValueError, ElementTree.ParseError)):
        versions.read(page)
