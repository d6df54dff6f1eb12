"""The command as a whole: quick to start, the same under both names, and its help fit for a page."""

from __future__ import annotations

import os
import pathlib
import subprocess
import sys

import pytest

from modelyard.cli import app
from modelyard.cli.terminal import output

PACKAGES = pathlib.Path(app.__file__).parents[2]
VERBS = (
    "push", "attest", "verify", "list", "show", "status", "diff", "history", "explain", "dossier", "promote", "rollback", "approve", "reject", "withdraw",
    "abort", "pause", "resume", "deprecate", "retire", "restore", "gc", "ledger", "ledger verify", "ledger export", "ledger accept", "ledger trust", "operator", "fetch",
)  # fmt: skip
HEAVY = {"jinja2", "cryptography", "kubernetes", "kopf", "minio", "urllib3", "aiohttp", "yaml", "rich", "modelyard.api"}


def python(code: str) -> subprocess.CompletedProcess[str]:
    """A fresh interpreter, which knows what it has loaded."""
    environment = {**os.environ, "PYTHONPATH": str(PACKAGES)}
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, env=environment, timeout=60)


@pytest.mark.parametrize("words", [["--help"], ["push", "--help"], ["verify"]])
def test_help_and_usage_load_nothing_heavy(words: list[str]) -> None:
    done = python(
        f"import atexit, sys; atexit.register(lambda: print(sorted(sys.modules)))\nfrom modelyard.cli import app\napp.run({words})"
    )

    loaded = set(done.stdout.splitlines()[-1].replace("'", "").strip("[]").split(", "))
    assert "modelyard.cli.app" in loaded
    assert not loaded & HEAVY


@pytest.mark.parametrize(("called", "name"), [("/bin/kubectl-modelyard", "kubectl modelyard"), ("/bin/modelyard", "modelyard")])
def test_usage_names_the_command_as_it_was_called(called: str, name: str) -> None:
    done = python(f"import sys; sys.argv = ['{called}', 'verify', '/no/such/thing']\nfrom modelyard import __main__\n__main__.main()")

    assert done.returncode == 4
    assert done.stderr.startswith(f"{name} verify: /no/such/thing: there is no such file")


def test_the_manual_has_every_verb() -> None:
    text = app.manual()

    assert [line for line in text.splitlines() if line.startswith("$ ")] == [
        "$ modelyard --help",
        *(f"$ modelyard {verb} --help" for verb in VERBS),
    ]
    assert max(map(len, text.splitlines())) <= 120


def test_a_table_shows_what_a_terminal_would_obey() -> None:
    table = output.columns(["NAME", "PHASE"], [["a\x1b[2Jb", "Ready"], ["日本", "Failed"]], colour=True)

    assert table == "NAME        PHASE\na\\x1b[2Jb   \x1b[32mReady \x1b[0m\n日本        \x1b[31mFailed\x1b[0m\n"


@pytest.mark.parametrize(
    ("count", "text"), [(0, "0 B"), (1023, "1023 B"), (1024, "1.0 KiB"), (48211, "47.1 KiB"), (1 << 30, "1.0 GiB"), (1 << 52, "4096.0 TiB")]
)
def test_sizes(count: int, text: str) -> None:
    assert output.size(count) == text


def test_ctrl_c_ends_work_in_several_threads_at_once() -> None:
    """Files without an end: only who is told to stop ever stops."""
    code = (
        "import itertools, os, signal, threading, time\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"  # a shell's background job ignores it, and so would its children
        "from modelyard.cli.terminal import progress\n"
        "bar = progress.Work(lambda _: None)\n"
        "begun = threading.Barrier(3)\n"
        "def endless(number):\n"
        "    begun.wait()\n"
        "    for _ in itertools.count():\n"
        "        bar.advance(1)\n"
        "        time.sleep(0.001)\n"  # endless work in pure Python would hold the interpreter
        "def press():\n"
        "    begun.wait()\n"
        "    os.kill(os.getpid(), signal.SIGINT)\n"
        "threading.Thread(target=press).start()\n"
        "try:\n"
        "    bar.each(endless, [1, 2])\n"
        "except KeyboardInterrupt:\n"
        "    print('stopped')\n"
    )

    assert python(code).stdout == "stopped\n"
