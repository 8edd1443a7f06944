"""What Windows lacks is needed nowhere: a process that passes for one of its does all there is."""

from __future__ import annotations

import json
import sys

import pytest

from tests.packaging.environment import output_of

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="this is such a system")

MODULES = ["fcntl", "grp", "posix", "pty", "pwd", "readline", "resource", "termios", "tty"]
NAMES = {
    "os": [
        "O_CLOEXEC", "O_DIRECTORY", "O_NOFOLLOW", "O_NONBLOCK", "chown", "fchown", "fork",
        "getegid", "geteuid", "getgid", "getpgrp", "getuid", "killpg", "mkfifo", "openpty",
        "posix_fallocate", "pread", "pwrite", "register_at_fork", "sched_getaffinity", "setsid",
        "statvfs", "sync", "tcgetpgrp", "uname", "wait", "waitpid",
    ],
    "select": ["epoll", "kqueue", "poll"],
    "signal": [
        "SIGALRM", "SIGCHLD", "SIGCONT", "SIGHUP", "SIGKILL", "SIGPIPE", "SIGQUIT", "SIGSTOP",
        "SIGTSTP", "SIGUSR1", "SIGUSR2", "SIGWINCH", "alarm", "pause", "pthread_kill",
        "pthread_sigmask", "set_wakeup_fd", "setitimer", "siginterrupt", "sigpending", "sigwait",
    ],
}  # fmt: skip

COMMANDS = {
    "demo": ["demo"],
    "export": ["export", "azoth-demo.db", "--output", "letters.jsonl"],
    "requeue": ["requeue", "azoth-demo.db", "--all", "--yes"],
    "drain": ["drain", "azoth-demo.db", "--handlers", "azoth_dlq.demo:registry", "--now"],
    "discard": ["discard", "azoth-demo.db", "--all", "--yes"],
    "import": ["import", "azoth-demo.db", "letters.jsonl"],
    "status": ["status", "azoth-demo.db"],
}
# Python's own modules, and those of others, are there before: what they are on Windows is not ours.
# Ours are imported twice, the second time without what Windows lacks.
AS_ON_WINDOWS = f"""
import importlib, os, pkgutil, select, signal, sys, types
import azoth_dlq
def import_all():
    return [importlib.import_module(found.name)
            for found in pkgutil.walk_packages(azoth_dlq.__path__, "azoth_dlq.")
            if not found.name.endswith("__main__")]
for module in import_all():
    if module.__file__.endswith(".py"):
        del sys.modules[module.__name__]
del sys.modules["azoth_dlq"]
import getpass, platform
platform.uname()  # asks a process, and keeps the answer
sys.modules.update(dict.fromkeys({MODULES!r}))
for owner, names in {NAMES!r}.items():
    for name in names:
        sys.modules[owner].__dict__.pop(name, None)
sys.platform = "win32"
msvcrt = types.ModuleType("msvcrt")
msvcrt.LK_NBLCK, msvcrt.locking = 2, lambda descriptor, mode, size: None
msvcrt.kbhit, msvcrt.getwch = lambda: False, lambda: ""
sys.modules["msvcrt"] = msvcrt
imported = [module.__name__ for module in import_all()]
from azoth_dlq.cli import main
codes = [main([*command, "--json"]) for command in {[*COMMANDS.values()]!r}]
print(*imported)
print(*codes)
"""


@pytest.fixture(scope="module")
def printed(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("windows")
    return output_of(sys.executable, "-W", "error", "-c", AS_ON_WINDOWS, cwd=folder)


def test_every_module_is_imported(printed: str) -> None:
    found = set(printed.splitlines()[-2].split())
    assert {"azoth_dlq.cli.keys", "azoth_dlq.exchange.partial", "azoth_dlq.engine._loop"} <= found
    assert len(found) > 100


def test_commands_do_what_they_do_elsewhere(printed: str) -> None:
    codes = dict(zip(COMMANDS, printed.splitlines()[-1].split(), strict=True))
    assert [command for command, code in codes.items() if code != "0"] == ["drain"]  # all fail
    documents, rest = {}, printed
    for command in COMMANDS:
        documents[command], end = json.JSONDecoder().raw_decode(rest)
        rest = rest[end:].lstrip()
    assert documents["demo"]["report"]["succeeded"] == 17_998
    assert documents["requeue"]["matched"] == 2
    assert documents["drain"]["stopped"] == "failures"
    assert documents["discard"]["matched"] > 1_990
    assert documents["status"]["dead_letters"] == 0
