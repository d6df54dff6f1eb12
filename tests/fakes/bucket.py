"""A pretended bucket in memory, on which the real ledger and blobs run; passed where a `store.Store` goes."""

from __future__ import annotations

import datetime
from collections.abc import Callable, Iterator

from modelyard import edge
from modelyard.api.reason import Reason
from modelyard.edge.s3 import store, versions


class Bucket:
    """Every version of every object, by key; one bucket is as good as another."""

    def __init__(self) -> None:
        self.kept: dict[str, list[bytes | None]] = {}
        """Versions of a key, oldest first; None is a delete marker."""
        self.down: str | None = None
        """Why nothing answers."""
        self.before: Callable[[str], object] = lambda _key: None
        self.after: Callable[[str], object] = lambda _key: None
        """Called before and after each write; what they raise is what the writer hears."""
        self.asked: list[str] = []
        self.retained: dict[str, store.Retention] = {}
        self.locked = False
        self.ignores_conditions = False
        """As stores do that do not know If-None-Match."""
        self.forgets = True
        """A deleted key can be created again, as MinIO has it; False: never, as versitygw has it."""

    def get(self, bucket: str, key: str) -> bytes | None:
        self._answer(f"GET {key}")
        return self.kept.get(key, [None])[-1]

    def put(self, bucket: str, key: str, data: bytes) -> None:
        self._answer(f"PUT {key}")
        self.before(key)
        self.kept.setdefault(key, []).append(data)
        self.after(key)

    def create(self, bucket: str, key: str, data: bytes, retain: store.Retention | None = None) -> bool:
        self._answer(f"CREATE {key}")
        self.before(key)
        was = self.kept.get(key, [])
        if was and not self.ignores_conditions and (was[-1] is not None or not self.forgets):
            return False
        self.kept.setdefault(key, []).append(data)
        if retain:
            self.retained[key] = retain
        self.after(key)
        return True

    def delete(self, bucket: str, key: str) -> None:
        self.kept[key].append(None)

    def list(self, bucket: str, prefix: str = "") -> Iterator[store.Object]:
        self._answer(f"LIST {prefix}")
        for key, found in sorted(self.kept.items()):
            if key.startswith(prefix) and found[-1] is not None:
                yield store.Object(key, len(found[-1]), "etag")

    def folders(self, bucket: str, prefix: str) -> Iterator[str]:
        below = {
            prefix + each.key.removeprefix(prefix).partition("/")[0] + "/"
            for each in self.list(bucket, prefix)
            if "/" in each.key.removeprefix(prefix)
        }
        yield from sorted(below)

    def locks(self, bucket: str) -> bool:
        return self.locked

    def versions(self, bucket: str, prefix: str = "") -> Iterator[versions.Version]:
        self._answer(f"VERSIONS {prefix}")
        for key, found in sorted(self.kept.items()):
            for number, data in reversed(list(enumerate(found))):
                if key.startswith(prefix):
                    yield versions.Version(key, str(number), number == len(found) - 1, data is None, len(data or b""))

    def lose_answers(self, times: int) -> None:
        """The next writes arrive, and nobody hears that they did."""
        left = iter(range(times))

        def after(_key: str) -> None:
            if next(left, None) is not None:
                raise edge.Unavailable(Reason.STORE_UNREACHABLE, "the connection broke")

        self.after = after

    def _answer(self, asked: str) -> None:
        self.asked.append(asked)
        if self.down:
            raise edge.Unavailable(Reason.STORE_UNREACHABLE, self.down)


class Clock:
    """A time that goes on by a second whenever somebody looks."""

    def __init__(self) -> None:
        self.now = datetime.datetime(2026, 10, 1, 9, 0, tzinfo=datetime.UTC)

    def __call__(self) -> datetime.datetime:
        self.now += datetime.timedelta(seconds=1)
        return self.now
