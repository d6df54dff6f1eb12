"""The object store as somebody with its keys sees it, for doing what should never happen."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Iterator, Mapping
from urllib import parse

import minio


def connect(url: str, keys: Mapping[str, str]) -> minio.Minio:
    """A client; `keys` holds AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY."""
    return minio.Minio(
        parse.urlsplit(url).netloc,
        access_key=keys["AWS_ACCESS_KEY_ID"],
        secret_key=keys["AWS_SECRET_ACCESS_KEY"],
        secure=False,
        region="us-east-1",
    )


def clear(client: minio.Minio, bucket: str, prefix: str) -> int:
    """Remove every version of every object below a prefix, so that a name may mean other bytes again; how many there were.

    Each version is removed by its id: an unversioned delete would only put a marker on top.
    """
    found = list(client.list_objects(bucket, prefix, recursive=True, include_version=True))
    for each in found:
        client.remove_object(bucket, str(each.object_name), version_id=each.version_id)
    return len(found)


@contextlib.contextmanager
def tampered(client: minio.Minio, bucket: str, key: str) -> Iterator[tuple[int, int]]:
    """One byte of an object is another while this lasts; gives its position and the object's size.

    The bucket keeps versions, so what was there is still there below, and comes back when the wrong bytes are removed.
    """
    with contextlib.closing(client.get_object(bucket, key)) as answer:
        data = bytearray(answer.read())
    position = len(data) // 2
    data[position] ^= 0x01
    wrong = client.put_object(bucket, key, io.BytesIO(bytes(data)), len(data))
    try:
        yield position, len(data)
    finally:
        client.remove_object(bucket, key, version_id=wrong.version_id)
