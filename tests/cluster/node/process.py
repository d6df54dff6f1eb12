"""Programs that go on running after `up` ends, and are stopped by exactly their own process id."""

from __future__ import annotations

import contextlib
import os
import pathlib
import select
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence

from tests.cluster.node import layout

_BOOT = pathlib.Path("/proc/sys/kernel/random/boot_id")
# Detached by a shell that ends at once: a child of init, not of this process.
_DETACH = 'setsid "$@" &'
# The pid is on record before the program begins: a crash between the two leaves nothing unknown behind. A process id is
# used again after its process ended, so what is kept is /proc's line with the start time, and this boot's name.
_RECORD = 'cat "/proc/$$/stat" /proc/sys/kernel/random/boot_id > "$0.new" && mv "$0.new" "$0" && exec "$@"'


def start(name: str, command: Sequence[str | pathlib.Path], environment: Mapping[str, str] | None = None) -> None:
    """Start one program in the background, its output in `logs/NAME.log`."""
    layout.LOGS.mkdir(parents=True, exist_ok=True)
    _file(name).unlink(missing_ok=True)
    recording = ["/bin/sh", "-c", _RECORD, str(_file(name)), *map(str, command)]
    with (layout.LOGS / f"{name}.log").open("ab") as log:
        subprocess.run(
            ["/bin/sh", "-c", _DETACH, "sh", *recording],
            stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd="/", env=quiet() | dict(environment or {}), check=True,
        )  # fmt: skip
    until(f"starting {name}", 10, _file(name).exists)


def quiet() -> dict[str, str]:
    """This environment without proxies: nothing in the cluster may be reached through one."""
    return {k: v for k, v in os.environ.items() if not k.lower().endswith("_proxy")}


def running(name: str) -> int | None:
    """The pid of the program of this name while it runs, never that of a stranger who got the same number."""
    return recorded(_file(name))


def recorded(record: pathlib.Path) -> int | None:
    """The pid in a record made by `start`, if that very process still runs."""
    try:
        stat, boot = record.read_text().splitlines()
    except (OSError, ValueError):
        return None
    if boot != _BOOT.read_text().strip():
        return None
    pid = int(stat.split(" ", 1)[0])
    return pid if _born(stat) == born(pid) else None


def born(pid: int) -> str | None:
    """When a live process started, in ticks since boot; None when there is none (a zombie is none)."""
    try:
        return _born(pathlib.Path(f"/proc/{pid}/stat").read_text())
    except (FileNotFoundError, ProcessLookupError):
        return None


def known() -> list[str]:
    """The names of all programs on record, the youngest first."""
    files = sorted(layout.STATE.glob("*.pid"), key=lambda file: file.stat().st_mtime_ns, reverse=True)
    return [file.stem for file in files]


def stop(name: str, *, grace: float = 10) -> None:
    """Ask a program to end, insist after `grace` seconds, and forget it."""
    if pid := running(name):
        end(pid, grace=grace, same=lambda: running(name) == pid)
    _file(name).unlink(missing_ok=True)


def end(pid: int, *, grace: float, same: Callable[[], bool]) -> None:
    """End one process; `same` is asked once the process is held, so a reused number is never signalled."""
    try:
        handle = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    try:
        if not same():
            return
        for number, seconds in ((signal.SIGTERM, grace), (signal.SIGKILL, 10.0)):
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(handle, number)
            if select.select([handle], [], [], seconds)[0]:
                return
    finally:
        os.close(handle)


def commands() -> Iterator[tuple[int, list[str]]]:
    """Every process of this machine with its command line."""
    for folder in pathlib.Path("/proc").iterdir():
        if folder.name.isdigit():
            yield int(folder.name), command(int(folder.name))


def command(pid: int) -> list[str]:
    """The command line of a process, at least one word; an empty one when it is gone."""
    try:
        return pathlib.Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace").split("\0")
    except OSError:
        return [""]


def tail(name: str, lines: int = 15) -> str:
    """The last lines of a program's log, for an error message."""
    with contextlib.suppress(OSError):
        return "\n".join((layout.LOGS / f"{name}.log").read_text(errors="replace").splitlines()[-lines:])
    return ""


def until(what: str, seconds: float, ready: Callable[[], bool], *, logs: str = "", needs: Sequence[str] = ()) -> None:
    """Wait until something holds.

    Raises:
        TimeoutError: it did not in time, or a program it needs has ended; carries the end of its log.
    """
    deadline = time.monotonic() + seconds
    while not ready():
        dead = [name for name in needs if not running(name)]
        if dead or time.monotonic() > deadline:
            why = f"{', '.join(dead)} has ended" if dead else f"not after {seconds:.0f} s"
            name = dead[0] if dead else logs
            raise TimeoutError(f"{what}: {why}; see {layout.LOGS}\n{tail(name)}")
        time.sleep(0.1)


def _file(name: str) -> pathlib.Path:
    return layout.STATE / f"{name}.pid"


def _born(stat: str) -> str | None:
    # The command's name, in parentheses, may hold anything, spaces and parentheses too.
    fields = stat.rpartition(")")[2].split()
    return None if fields[0] in "ZX" else fields[19]
