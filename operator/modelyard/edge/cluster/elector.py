"""Which of several replicas leads: an elector on a Lease of the API server, and the fence before what cannot be taken back.

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

# Where there is a clock that goes on while the machine sleeps, a leader that slept must not believe it leads.
_CLOCK: Final = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


@dataclasses.dataclass(frozen=True, slots=True)
class Pace:
    """Seconds; what lies between `deadline` and `lease` is for requests that were allowed and still travel."""

    renew: float = 2.0
    deadline: float = 10.0
    lease: int = 15
    look: float = 1.0
    """How often who stands by looks."""
    patience: float = 4.0
    """How long one attempt may take."""


class Leases(Protocol):
    """What is needed of `cluster.Cluster`."""

    async def get(self, kind: client.Kind, namespace: str, name: str) -> client.Json | None: ...

    async def create(self, obj: client.Json) -> client.Json: ...

    async def replace(self, obj: client.Json) -> client.Json: ...


class _Lost(Exception):
    """Somebody else leads, or nobody can tell any more."""


def _now() -> datetime.datetime:
    return datetime.datetime.now(datetime.UTC)


def identity() -> str:
    """Of this process: the name of its pod or machine, and something no other process has."""
    return f"{socket.gethostname()}_{secrets.token_hex(4)}"


class Elector:
    """One candidate. `acquire`, then `hold` beside the work; `check` before each irreversible step; `release` when the work has ended.

    Args:
        clock: seconds that only ever grow, by which renewals are judged.
        now: the wall clock, for people and for what the Lease says.
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
        """Who leads, as far as is known."""
        self.trouble: str | None = None
        """Why the last attempt failed, if it did."""
        self._reach = reach
        self._place = (namespace, name)
        self._clock = clock
        self._now = now
        self._pace = pace
        self._renewed: float | None = None
        self._told: datetime.datetime | None = None
        """The renewTime that was written last."""
        self._lease: client.Json | None = None
        """As the API server answered it last."""
        self._taking: term.Term | None = None
        """What was last tried, should the answer have got lost."""
        self._heard: tuple[tuple[Any, ...], float] | None = None
        """What the Lease said last, and when it was first heard to say so."""
        self._looked = -math.inf
        self._writing = asyncio.Lock()

    def leads(self) -> bool:
        """Whether nobody else can lead now."""
        return self._renewed is not None and self._clock() < self._renewed + self._pace.deadline

    def check(self) -> None:
        """The fence: passes while `leads`.

        Raises:
            edge.Unavailable: this step is another's to do.
        """
        if not self.leads():
            raise edge.Unavailable(Reason.CLUSTER_UNAVAILABLE, f"this replica, {self.identity}, does not hold {self}: nothing is written")

    def __str__(self) -> str:
        """As messages name the Lease."""
        return "the Lease " + "/".join(self._place)

    async def acquire(self) -> term.Term:
        """Wait until this one leads."""
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
            except Exception as error:  # whatever it is, this one does not lead, and looks again
                self._failed("cannot take", error)
            await asyncio.sleep(self._pace.look)

    async def hold(self) -> str:
        """Renew until it is lost; why. From then on nothing that cannot be taken back may be done."""
        try:
            while (left := self._left()) > 0:
                await asyncio.sleep(min(self._pace.renew, left))
                try:
                    async with asyncio.timeout(min(self._pace.patience, self._left())), self._writing:
                        await self._renew()
                    self.trouble = None
                except _Lost:
                    raise
                except Exception as error:  # whatever it is, it was no renewal
                    self._failed("cannot renew", error)
        except _Lost as lost:
            return str(lost)
        else:
            return f"{self} was not renewed for {self._pace.deadline:.0f} s: {self.trouble}"
        finally:
            self._renewed = None

    async def settle(self) -> None:
        """Forget `unsettled_since`: what could have happened while nobody watched has been dealt with.

        Raises:
            edge.Unavailable: it could not be written; try again.
        """
        self.check()
        try:
            async with asyncio.timeout(self._pace.patience), self._writing:
                lease = await self._own()
                if lease["metadata"].get("annotations", {}).pop(term.UNSETTLED, None):
                    await self._reach.replace(lease)
        except (_Lost, TimeoutError, client.Conflict, client.Refused) as error:
            message = f"{self} could not be settled: {str(error) or 'the API server does not answer'}"
            raise edge.Unavailable(Reason.CLUSTER_UNAVAILABLE, message) from error

    async def release(self) -> None:
        """Let another lead at once. The fence closes first; call it when `hold` and the work have ended. Never fails."""
        self._renewed = None
        try:
            async with asyncio.timeout(self._pace.patience), self._writing:
                await self._let_go()
        except _Lost:
            return
        except Exception as error:  # the others wait until it expires instead
            self._failed("cannot let go of", error)

    # --- one attempt each

    async def _try(self) -> term.Term | None:
        lease = await self._reach.get(client.LEASE, *self._place)
        if not self._free(lease):
            return None
        self._taking = began = self._next(lease)
        about: client.Json = (lease or {}).get("metadata") or {"namespace": self._place[0], "name": self._place[1]}
        if noted := term.noted(began, lease, self._now()):
            about["annotations"] = noted
        else:
            about.pop("annotations", None)
        spec = {
            **((lease or {}).get("spec") or {}),
            "holderIdentity": self.identity,
            "leaseDurationSeconds": self._pace.lease,
            "leaseTransitions": began.number,
            "acquireTime": term.written(self._now()),
        }
        obj = {"apiVersion": client.LEASE.api_version, "kind": client.LEASE.name, "metadata": about, "spec": spec}
        await self._write(obj, self._reach.replace if lease else self._reach.create)
        self.holder = self.identity
        return began

    async def _renew(self) -> None:
        """One request as long as nobody else writes: what was written last is what is there."""
        if known := self._lease:
            self._lease = None
            with contextlib.suppress(client.Conflict):
                return await self._write(known, self._reach.replace)
        return await self._write(await self._own(), self._reach.replace)

    async def _let_go(self) -> None:
        lease = await self._own()
        lease["spec"] |= {"holderIdentity": "", "renewTime": term.written(self._later())}
        try:
            await self._reach.replace(lease)
        except client.Conflict:  # a last renewal of our own that was still on its way
            await self._reach.replace({**lease, "metadata": (await self._own())["metadata"]})

    async def _own(self) -> client.Json:
        """The Lease, if it is still this one's."""
        lease = await self._reach.get(client.LEASE, *self._place)
        if lease is None:
            raise _Lost(f"{self} is gone")
        spec = lease.get("spec") or {}
        if (holder := spec.get("holderIdentity")) != self.identity:
            self.holder = holder
            raise _Lost(f"{self} is held by {holder or 'nobody'}")
        renewed = term.read(spec.get("renewTime"))
        if self._told and (renewed is None or renewed < self._told):
            # What else was written since is gone, too: begin anew, as who takes over, with `unsettled_since`.
            raise _Lost(f"{self} is older than what was written: the API server's store was restored from a backup")
        return {"apiVersion": client.LEASE.api_version, "kind": client.LEASE.name, **lease}

    async def _write(self, lease: client.Json, write: Callable[[client.Json], Awaitable[client.Json]]) -> None:
        """Write a renewal; it counts from before it was sent."""
        told, sent = self._later(), self._clock()
        lease["spec"]["renewTime"] = term.written(told)
        self._lease = await write(lease)
        self._told, self._renewed = told, sent

    def _free(self, lease: client.Json | None) -> bool:
        """Whether the Lease may be taken: it was let go, or its holder cannot believe any more that it leads.

        One that is missing may have been deleted under a leader that does not know yet, so that is waited for in the same way; it
        bears no renewTime that would tell whether it was there meanwhile, so who did not look all the time begins anew.
        """
        spec = (lease or {}).get("spec") or {}
        said = (lease is None, *(spec.get(field) for field in ("holderIdentity", "renewTime", "leaseTransitions")))
        now = self._clock()  # after the answer: the holder counts from before it asked
        blind = lease is None and now - self._looked > self._pace.look + self._pace.patience
        self._looked = now
        if self._heard is None or self._heard[0] != said or blind:
            self._heard = (said, now)
        self.holder = spec.get("holderIdentity") or None
        if lease is not None and self.holder in {None, self.identity}:
            return True
        return now - self._heard[1] > max(self._pace.lease, spec.get("leaseDurationSeconds") or 0)

    def _next(self, lease: client.Json | None) -> term.Term:
        """The term that begins when the Lease is taken as it is now."""
        if self._taking and ((lease or {}).get("spec") or {}).get("holderIdentity") == self.identity:
            return self._taking  # it was written after all
        return term.begin(self.identity, lease)

    def _later(self) -> datetime.datetime:
        """Now, but after what was last written: a wall clock may be set back."""
        now = self._now()
        return now if self._told is None else max(now, self._told + datetime.timedelta(microseconds=1))

    def _left(self) -> float:
        """Seconds for which the fence still holds."""
        return 0.0 if self._renewed is None else self._renewed + self._pace.deadline - self._clock()

    def _failed(self, what: str, error: Exception) -> None:
        """Say what is wrong, once."""
        said = f"{what} {self}: {str(error) or type(error).__name__}"
        if isinstance(error, client.Refused) and error.status == 404:
            said += "; create the namespace, or name another in MODELYARD_OPERATOR_NAMESPACE"
        if said != self.trouble:
            log.warning("%s", said)
        self.trouble = said
