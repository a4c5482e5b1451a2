"""Processes of one run: started together, ended together, none forgotten.

Every command line names the run's own directory, so that at the end one look at the process table tells whether something was left.
"""

import os
import pathlib
import shutil
import signal
import socket
import subprocess
import time

PACKAGES = {"nginx": "nginx-light", "haproxy": "haproxy", "wrk": "wrk", "h2load": "nghttp2-client"}
# A mesh hands leadership over and takes up to six seconds to end what does not end by itself.
STOP_MAX = 15.0
LOOK = 0.05


class Trouble(Exception):
    """What keeps the run from going on, in words for its user."""


def need(tools):
    """Refuses to start without its tools, and says how to get them."""
    os.environ["PATH"] += ":/usr/sbin:/sbin"
    missing = sorted({PACKAGES[tool] for tool in tools if not shutil.which(tool)})
    if missing:
        names = ", ".join(tool for tool in tools if not shutil.which(tool))
        raise Trouble(f"{names} not found; on Debian: apt-get install {' '.join(missing)}")


class Group:
    """The processes of a run, ended in the reverse order of their start."""

    def __init__(self, directory):
        self.directory = directory
        self.started = []

    def __enter__(self):
        return self

    def __exit__(self, *_):
        # A second Ctrl-C must not leave half of them.
        handler = signal.signal(signal.SIGINT, signal.SIG_IGN)
        for process in reversed(self.started):
            process.terminate()
        deadline = time.monotonic() + STOP_MAX
        for process in reversed(self.started):
            try:
                process.wait(max(0.0, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        signal.signal(signal.SIGINT, handler)

    def start(self, name, command, **environment):
        """Starts `command`, which writes into a log of that name. A session of its own keeps Ctrl-C away from it."""
        with open(self.log(name), "wb") as log:
            process = subprocess.Popen(
                [str(word) for word in command],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=os.environ | environment,
                start_new_session=True,
            )
        self.started.append(process)
        return process

    def log(self, name):
        return self.directory / f"{name}.log"

    def wait(self, what, seconds, look):
        """Waits until `look` is true, and gives up if a process ends meanwhile."""
        deadline = time.monotonic() + seconds
        while not look():
            self.check()
            if time.monotonic() > deadline:
                raise Trouble(f"no {what} after {seconds} s")
            time.sleep(LOOK)

    def check(self):
        for process in self.started:
            if process.poll() is not None:
                logs = "\n".join(tail(path) for path in sorted(self.directory.glob("*.log")))
                raise Trouble(f"{process.args[0]} ended by itself with {process.returncode}\n{logs}")


def tail(path):
    lines = path.read_text(errors="replace").splitlines()[-5:]
    return "\n".join(f"{path.name}: {line}" for line in lines)


def ports(number):
    """Free ports, all different."""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(number)]
    found = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return found


def listens(port):
    with socket.socket() as one:
        return one.connect_ex(("127.0.0.1", port)) == 0


def end_all(directory):
    """What of the run still runs although all was stopped: its command lines. It is killed."""
    deadline = time.monotonic() + STOP_MAX
    while (left := running(directory)) and time.monotonic() < deadline:
        time.sleep(LOOK)
    for pid in left:
        os.kill(pid, signal.SIGKILL)
    return list(left.values())


def running(directory):
    """Command lines by pid of all processes that name `directory`."""
    found = {}
    for path in pathlib.Path("/proc").glob("[0-9]*/cmdline"):
        try:
            line = path.read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue
        if str(directory) in line and int(path.parent.name) != os.getpid():
            found[int(path.parent.name)] = line
    return found
