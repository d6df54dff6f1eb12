"""`modelyard verify`: compute the digest of a folder, a file or an s3:// URI from every byte."""

from __future__ import annotations

import pathlib
from collections.abc import Mapping

from modelyard import edge
from modelyard.api import meta
from modelyard.cli.reach import local_files, store_address, uploads
from modelyard.cli.terminal import exits, output, validation
from modelyard.content import location, manifest
from modelyard.edge.s3 import store


def verify(source: str, expected: str | None, asked: str | None, endpoint: str | None, ca_file: pathlib.Path | None) -> None:
    """Read every byte, print the digest, and compare it with the expected one.

    Raises:
        exits.Stop: NO when the digest differs, NOT_FOUND when nothing is stored.
    """
    form = output.form(asked, output.Form.TABLE, output.Form.SUMS, output.Form.JSON, output.Form.YAML)
    if expected is not None:
        validation.check(meta.Digest, expected, "--digest")
    if "://" in source:
        hashes, size = _stored(source, endpoint, ca_file)
    else:
        artifact = local_files.read(local_files.find(pathlib.Path(source)))
        hashes, size = artifact.hashes, artifact.bytes
    digest = manifest.of(hashes)
    _tell(source, hashes, size, digest, form)
    if expected is not None and digest != expected:
        raise exits.Stop(exits.Code.NO, f"{source} differs: it has {digest}, not {expected}")
    if expected is not None and form is output.Form.TABLE:
        output.say("as expected")


def _tell(source: str, hashes: Mapping[str, str], size: int, digest: str, form: output.Form) -> None:
    if form is output.Form.SUMS:
        output.write(manifest.sums(hashes).decode())
    elif form is output.Form.TABLE:
        output.write(f"{digest}\n")
        output.say(f"{source}: {output.many(len(hashes), 'file')}, {output.size(size)}")
    else:
        files = [{"path": path, "sha256": hashes[path]} for path in sorted(hashes)]
        output.write(output.document({"artifact": source, "digest": digest, "bytes": size, "files": files}, form))


def _stored(uri: str, endpoint: str | None, ca_file: pathlib.Path | None) -> tuple[Mapping[str, str], int]:
    """Return path → sha256 in hex of the stored objects, and their total bytes."""
    place = location.place(uri)
    if place is None:
        raise exits.usage(f"{uri}: is no URI of a folder or an object; write it like s3://models/fraud/1.4.0/")
    address = store_address.of(None, endpoint, ca_file=ca_file)
    try:
        room = uploads.Uploads(store.Store(address), place.bucket)
        if place.is_prefix:
            objects = {obj.key[len(place.key) :]: obj for obj in room.below(place.key)}
        else:
            obj = room.head(place.key)
            objects = {place.name: obj} if obj else {}
        if not objects:
            hint = "" if place.is_prefix else "; a folder's URI ends in `/`"
            raise exits.Stop(exits.Code.NOT_FOUND, f"there is nothing at {uri} ({address}){hint}")
        if refusal := manifest.refuse(list(objects)):
            raise exits.Stop(exits.Code.NO, f"{uri}: {refusal.message}")
        read = room.read(list(objects.values()))
    except edge.Unavailable as trouble:
        raise store_address.explain(trouble, address) from None
    return {path: read[obj.key] for path, obj in objects.items()}, sum(obj.size for obj in objects.values())
