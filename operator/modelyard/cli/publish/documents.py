"""Documents that are registered with a version and stored in its Model's storage."""

from __future__ import annotations

from collections.abc import Sequence

from modelyard.cli.publish import manifest
from modelyard.cli.reach import local_files, model_storage, uploads


def upload_items(
    documents: Sequence[manifest.Document], version: str, depot: model_storage.ModelStorage
) -> list[tuple[model_storage.Json, uploads.Item]]:
    """Return each piece of evidence as an entry of the manifest and as an item to upload."""
    folder = depot.below(f"evidence/{version}")
    pairs = []
    for document in documents:
        files = local_files.find(document.file)
        sha256 = local_files.read(files).hashes[files[0].path]
        item = uploads.Item(f"{folder.key}{document.name}", files[0], sha256)
        pairs.append(({**document.fields, "uri": f"{folder}{document.name}", "sha256": f"sha256:{sha256}"}, item))
    return pairs
