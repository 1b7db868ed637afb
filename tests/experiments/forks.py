"""Runs commands of this program in forks of one process that has imported already what they all import first.

A command is started by `program()`, a small process that hands on its words, environment, folder and streams, as
well as signals, and ends as the fork does. All else is as in a process of its own: `__main__` is run from its start.
"""

import atexit
import gc
import json
import os
import runpy
import selectors
import signal
import socket
import subprocess
import sys
import tempfile
from functools import cache
from importlib import import_module
from pathlib import Path

from wandb.sdk.data_types._private import MEDIA_TMP

from experiments.config.rows import find_rows
from experiments.signals import STARTER
from experiments.training.settings import Settings

ROOT = Path(__file__).parents[2]
COMMANDS = ["training.commands", "launch.command", "report.collect", "evaluation.intervals", "tracking.log_rows"]

ASKS = """
import json, os, signal, socket, sys
line = socket.socket(socket.AF_UNIX)
line.connect(sys.argv[1])
asked = json.dumps([sys.argv[2:], os.getcwd(), dict(os.environ)]).encode()
socket.send_fds(line, [len(asked).to_bytes(4)], [0, 1, 2])
line.sendall(asked)
told = line.makefile()
fork = int(told.readline())
for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
    signal.signal(number, lambda number, frame: os.kill(fork, number))
status = int(told.readline())
if status < 0:
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    os.kill(os.getpid(), -status)
os._exit(status)
"""


@cache
def program():
    """The words that a command of this program is started by, followed by its own; the forks' parent ends with us."""
    folder = tempfile.TemporaryDirectory()
    address = f"{folder.name}/forks"
    server = subprocess.Popen(
        [sys.executable, "-m", "tests.experiments.forks", address],
        cwd=ROOT,
        env={key: value for key, value in os.environ.items() if not key.startswith(("WANDB_", "PL_"))},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert server.stdout.readline() == b"ready\n"

    @atexit.register
    def end():
        server.stdin.close()
        server.wait()
        folder.cleanup()

    return (sys.executable, "-S", "-E", "-c", ASKS, address)


def serve(address):
    """Forks whenever somebody asks for it, until the input ends."""
    for name in COMMANDS:
        import_module(f"experiments.{name}")
    for row in find_rows(["demo"]):
        Settings().of(row)  # which imports the classes that it names
    gc.freeze()
    wake, woken = socket.socketpair()
    woken.setblocking(False)
    signal.set_wakeup_fd(woken.fileno())
    signal.signal(signal.SIGCHLD, lambda *_: None)
    listening = socket.socket(socket.AF_UNIX)
    listening.bind(address)
    listening.listen()
    threads = [path.read_text().strip() for path in Path("/proc/self/task").glob("*/comm")]
    assert set(threads[1:]) <= {"jemalloc_bg_thd"}, f"a fork would lack {threads[1:]}"  # which starts itself anew
    print("ready", flush=True)
    lines = {}
    with selectors.DefaultSelector() as waiting:
        for source in (sys.stdin.buffer, wake, listening):
            waiting.register(source, selectors.EVENT_READ)
        while True:
            for key, _ in waiting.select():
                if key.fileobj is sys.stdin.buffer:
                    return lines
                if key.fileobj is wake:
                    wake.recv(4096)
                    tell_ended(lines, waiting)
                elif key.fileobj is listening:
                    line, _ = listening.accept()
                    fork = start(line, [listening, wake, woken, *lines.values()])
                    lines[fork] = line
                    waiting.register(line, selectors.EVENT_READ, fork)
                elif key.data in lines:  # who asked was killed
                    os.killpg(key.data, signal.SIGKILL)
                    waiting.unregister(key.fileobj)


def tell_ended(lines, waiting):
    while lines:
        fork, status = os.waitpid(-1, os.WNOHANG)
        if not fork:
            return
        line = lines.pop(fork)
        if line in {key.fileobj for key in waiting.get_map().values()}:
            waiting.unregister(line)
            line.sendall(b"%d\n" % os.waitstatus_to_exitcode(status))
        line.close()


def start(line, others):
    """Forks a command; returns its number, also to who asked."""
    length, streams, _, _ = socket.recv_fds(line, 4, 3)
    words, folder, environment = json.loads(line.makefile("rb").read(int.from_bytes(length)))
    fork = os.fork()
    if fork:
        for stream in streams:
            os.close(stream)
        line.sendall(b"%d\n" % fork)
        return fork
    os.setsid()
    signal.set_wakeup_fd(-1)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    for number, stream in enumerate(streams):
        os.dup2(stream, number)
    for one in (line, *others):
        one.close()
    raise Begun(words, folder, environment)


class Begun(Exception):
    """Leaves the server's loop in a fork, with what it is to do."""


if __name__ == "__main__":
    try:
        for left in serve(sys.argv[1]):
            os.killpg(left, signal.SIGKILL)
    except Begun as begun:
        words, folder, environment = begun.args
    else:
        sys.exit()
    atexit.unregister(MEDIA_TMP.cleanup)  # the others' too: it was made by an import
    MEDIA_TMP._finalizer.detach()
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    os.environ.pop(STARTER, None)  # whose parent this one is not; it is killed with who asked for it
    sys.argv[1:] = words
    runpy.run_module("experiments", run_name="__main__", alter_sys=True)
