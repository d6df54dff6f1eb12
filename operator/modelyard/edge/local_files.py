"""Read local files that others wrote: a pipe without a writer does not block, and no read is endless."""

from __future__ import annotations

import errno
import os
import pathlib
import stat
from typing import BinaryIO, Final

LARGEST: Final = 128 << 20
"""The most bytes of one object of an exported ledger."""


def opened(path: pathlib.Path, *, regular: bool = True) -> BinaryIO:
    """Open a file for reading without a buffer.

    Args:
        path: where; a symbolic link leads on.
        regular: nothing but a file will do: no pipe, device or socket.

    Raises:
        OSError: it cannot be had; `strerror` says why to a person.
    """
    file = open(os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK), "rb", buffering=0)  # noqa: SIM115, PTH123  flags that no other way has
    mode = os.fstat(file.fileno()).st_mode
    if regular and not stat.S_ISREG(mode):
        file.close()
        if stat.S_ISDIR(mode):
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
        raise OSError(errno.EINVAL, "it is no file but a pipe, a device or a socket; take it away", str(path))
    os.set_blocking(file.fileno(), True)
    return file


def read(path: pathlib.Path, most: int = LARGEST, *, regular: bool = True) -> bytes:
    """Return all bytes of a file.

    Raises:
        OSError: it cannot be had, or has more bytes than that.
    """
    data = bytearray()
    with opened(path, regular=regular) as file:
        while piece := file.read(min(1 << 20, most + 1 - len(data))):
            data += piece
            if len(data) > most:
                raise OSError(errno.EFBIG, f"it is larger than {most >> 20} MiB; is it the right file?", str(path))
    return bytes(data)
