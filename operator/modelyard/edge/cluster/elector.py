"""Leader election on a Lease of the API server, and the fence before irreversible steps.

Nobody's wall clock is compared with anybody else's. The leader counts from the moment it *sent* its last good renewal, the others
from the moment they *learnt* of it, which is later; and the leader stops (`Pace.deadline`) before the others start (`Pace.lease`).
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import datetime
import logging
import math
import secrets
import socket
import time
from collections.abc import Awaitable, Callable
from typing import Any, Final, Protocol

from modelyard import edge
from modelyard.api.reason import Reason
from modelyard.edge.cluster import client, term

log = logging.getLogger(__name__)

# CLOCK_BOOTTIME goes on while the machine sleeps: a leader that slept must not believe that it leads.
_CLOCK: Final = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


@dataclasses.dataclass(frozen=True, slots=True)
class Pace:
    """Seconds; the time between `deadline` and `lease` is for requests that passed the fence and are still under way."""

    renew: float = 2.0
    deadline: float = 10.0
    lease: int = 15
    look: float = 1.0
    """How often a standby looks at the Lease."""
    patience: float = 4.0
    """How long one attempt may take."""


class Leases(Protocol):
    """The methods of `client.Cluster` that the elector needs."""

    async def get(self, kind: client.Kind, namespace: str, name: str) -> client.Json | None: ...

    async def create(self, obj: client.Json) -> client.Json: ...

    async def replace(self, obj: client.Json) -> client.Json: ...


class _Lost(Exception):
    """Another replica leads, or it is unknown who leads."""


def _now() -> datetime.datetime:
    return datetime.datetime.now(datetime.UTC)


def identity() -> str:
    """Return this process's identity: the name of its pod or machine, and a random suffix."""
    return f"{socket.gethostname()}_{secrets.token_hex(4)}"


class Elector:
    """One candidate. Call `acquire`, then `hold` beside the work; `check` before each irreversible step; `release` when the work has ended.

    Args:
        clock: monotonic seconds, by which renewals are judged.
        now: the wall clock, for people and for the Lease's fields.
    """

    def __init__(
        self,
        reach: Leases,
        namespace: str,
        name: str,
        identity: str,
        *,
        clock: Callable[[], float] = lambda: time.clock_gettime(_CLOCK),
        now: Callable[[], datetime.datetime] = _now,
        pace: Pace = Pace(),
    ) -> None:
        self.identity = identity
        self.holder: str | None = None
        """The lease holder, as far as is known."""
        self.trouble: str | None = None
        """Why the last attempt failed, if it did."""
        self._reach = reach
        self._place = (namespace, name)
        self._clock = clock
        self._now = now
        self._pace = pace
        self._renewed: float | None = None
        self._written: datetime.datetime | None = None
        """The last renewTime that was written."""
        self._lease: client.Json | None = None
        """The API server's last answer."""
        self._taking: term.Term | None = None
        """The term that was last tried, in case the answer was lost."""
        self._observed: tuple[tuple[Any, ...], float] | None = None
        """The Lease's last content, and when it was first observed."""
        self._looked = -math.inf
        self._writing = asyncio.Lock()

    def leads(self) -> bool:
        """Whether this replica leads: nobody else can lead now."""
        return self._renewed is not None and self._clock() < self._renewed + self._pace.deadline

    def check(self) -> None:
        """Fence a step: pass while this replica leads.

        Raises:
            edge.Unavailable: another replica may lead.
        """
        if not self.leads():
            raise edge.Unavailable(Reason.CLUSTER_UNAVAILABLE, f"this replica, {self.identity}, does not hold {self}: nothing is written")

    def __str__(self) -> str:
        """Return the Lease's name in messages."""
        return "the Lease " + "/".join(self._place)

    async def acquire(self) -> term.Term:
        """Wait until this replica leads."""
        while True:
            try:
                async with asyncio.timeout(self._pace.patience), self._writing:
                    began = await self._try()
                self.trouble = None
                if began:
                    self._taking = None
                    return began
            except client.Conflict:
                log.debug("somebody else was quicker to take %s", self)
            except Exception as error:  # whatever failed, this replica does not lead, and looks again
                self._failed("cannot take", error)
            await asyncio.sleep(self._pace.look)

    async def hold(self) -> str:
        """Renew until the Lease is lost; return why. From then on no irreversible step may be done."""
        try:
            while (seconds := self._seconds_left()) > 0:
                await asyncio.sleep(min(self._pace.renew, seconds))
                try:
                    async with asyncio.timeout(min(self._pace.patience, self._seconds_left())), self._writing:
                        await self._renew()
                    self.trouble = None
                except _Lost:
                    raise
                except Exception as error:  # whatever failed, the Lease was not renewed
                    self._failed("cannot renew", error)
        except _Lost as lost:
            return str(lost)
        else:
            return f"{self} was not renewed for {self._pace.deadline:.0f} s: {self.trouble}"
        finally:
            self._renewed = None

    async def settle(self) -> None:
        """Forget `unsettled_since`: everything that could have happened while no operator watched has been handled.

        Raises:
            edge.Unavailable: the Lease could not be written; try again.
        """
        self.check()
        try:
            async with asyncio.timeout(self._pace.patience), self._writing:
                lease = await self._own_lease()
                if lease["metadata"].get("annotations", {}).pop(term.UNSETTLED, None):
                    await self._reach.replace(lease)
        except (_Lost, TimeoutError, client.Conflict, client.Refused) as error:
            message = f"{self} could not be settled: {str(error) or 'the API server does not answer'}"
            raise edge.Unavailable(Reason.CLUSTER_UNAVAILABLE, message) from error

    async def release(self) -> None:
        """Release the Lease, so that another replica leads at once. The fence closes first; call it when `hold` and the work have ended. Never fails."""
        self._renewed = None
        try:
            async with asyncio.timeout(self._pace.patience), self._writing:
                await self._let_go()
        except _Lost:
            return
        except Exception as error:  # the other replicas wait until the Lease expires
            self._failed("cannot let go of", error)

    # --- one attempt each

    async def _try(self) -> term.Term | None:
        lease = await self._reach.get(client.LEASE, *self._place)
        if not self._free(lease):
            return None
        self._taking = began = self._next(lease)
        metadata: client.Json = (lease or {}).get("metadata") or {"namespace": self._place[0], "name": self._place[1]}
        if noted := term.to_annotations(began, lease, self._now()):
            metadata["annotations"] = noted
        else:
            metadata.pop("annotations", None)
        spec = {
            **((lease or {}).get("spec") or {}),
            "holderIdentity": self.identity,
            "leaseDurationSeconds": self._pace.lease,
            "leaseTransitions": began.number,
            "acquireTime": term.written(self._now()),
        }
        obj = {"apiVersion": client.LEASE.api_version, "kind": client.LEASE.name, "metadata": metadata, "spec": spec}
        await self._write(obj, self._reach.replace if lease else self._reach.create)
        self.holder = self.identity
        return began

    async def _renew(self) -> None:
        """Renew the Lease; one request is enough while nobody else writes it."""
        if lease := self._lease:
            self._lease = None
            with contextlib.suppress(client.Conflict):
                return await self._write(lease, self._reach.replace)
        return await self._write(await self._own_lease(), self._reach.replace)

    async def _let_go(self) -> None:
        lease = await self._own_lease()
        lease["spec"] |= {"holderIdentity": "", "renewTime": term.written(self._later())}
        try:
            await self._reach.replace(lease)
        except client.Conflict:  # a last renewal of our own that was still on its way
            await self._reach.replace({**lease, "metadata": (await self._own_lease())["metadata"]})

    async def _own_lease(self) -> client.Json:
        """Return the Lease, if this replica still holds it."""
        lease = await self._reach.get(client.LEASE, *self._place)
        if lease is None:
            raise _Lost(f"{self} is gone")
        spec = lease.get("spec") or {}
        if (holder := spec.get("holderIdentity")) != self.identity:
            self.holder = holder
            raise _Lost(f"{self} is held by {holder or 'nobody'}")
        renewed = term.read(spec.get("renewTime"))
        if self._written and (renewed is None or renewed < self._written):
            # Everything else written since is lost too: begin again, as after a takeover, with `unsettled_since`.
            raise _Lost(f"{self} is older than what was written: the API server's store was restored from a backup")
        return {"apiVersion": client.LEASE.api_version, "kind": client.LEASE.name, **lease}

    async def _write(self, lease: client.Json, write: Callable[[client.Json], Awaitable[client.Json]]) -> None:
        """Write a renewal; it counts from the moment before it was sent."""
        renewal, sent = self._later(), self._clock()
        lease["spec"]["renewTime"] = term.written(renewal)
        self._lease = await write(lease)
        self._written, self._renewed = renewal, sent

    def _free(self, lease: client.Json | None) -> bool:
        """Whether the Lease may be taken: it was released, or its holder can no longer believe that it leads.

        A missing Lease may have been deleted under a leader that does not know yet, so this waits in the same way. A missing Lease
        has no renewTime that would show whether it existed meanwhile, so a replica that did not look all the time starts waiting again.
        """
        spec = (lease or {}).get("spec") or {}
        content = (lease is None, *(spec.get(field) for field in ("holderIdentity", "renewTime", "leaseTransitions")))
        now = self._clock()  # after the answer: the holder counts from before its request
        blind = lease is None and now - self._looked > self._pace.look + self._pace.patience
        self._looked = now
        if self._observed is None or self._observed[0] != content or blind:
            self._observed = (content, now)
        self.holder = spec.get("holderIdentity") or None
        if lease is not None and self.holder in {None, self.identity}:
            return True
        return now - self._observed[1] > max(self._pace.lease, spec.get("leaseDurationSeconds") or 0)

    def _next(self, lease: client.Json | None) -> term.Term:
        """Return the term that begins when the Lease is taken in its current state."""
        if self._taking and ((lease or {}).get("spec") or {}).get("holderIdentity") == self.identity:
            return self._taking  # it was written after all
        return term.begin(self.identity, lease)

    def _later(self) -> datetime.datetime:
        """Return the current time, but later than the last renewTime: a wall clock may be set back."""
        now = self._now()
        return now if self._written is None else max(now, self._written + datetime.timedelta(microseconds=1))

    def _seconds_left(self) -> float:
        """Return the seconds until the fence closes."""
        return 0.0 if self._renewed is None else self._renewed + self._pace.deadline - self._clock()

    def _failed(self, action: str, error: Exception) -> None:
        """Log a failure, once."""
        message = f"{action} {self}: {str(error) or type(error).__name__}"
        if isinstance(error, client.Refused) and error.status == 404:
            message += "; create the namespace, or name another in MODELYARD_OPERATOR_NAMESPACE"
        if message != self.trouble:
            log.warning("%s", message)
        self.trouble = message
