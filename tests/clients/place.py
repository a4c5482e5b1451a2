"""The mesh that is tried, and the servers behind it."""

import dataclasses
import pathlib
import sys

import mesh
import processes

HERE = pathlib.Path(__file__).resolve().parent
START_MAX = 30

# Apps by name: the program of its dynos, how many there are, and how the app is made.
APPS = {
    "odd": ([sys.executable, "-B", HERE / "dynos/odd.py", "$PORT"], 2, ["--max-conns", 50, "--host", "127.0.0.1"]),
    "kept": ([sys.executable, "-B", HERE / "dynos/odd.py", "$PORT"], 1, ["--max-conns", 50, "--keep-alive", "5s"]),
    "talk": ([sys.executable, "-B", HERE / "dynos/talk.py", "$PORT"], 1, ["--max-conns", 50]),
    "talk-one": ([sys.executable, "-B", HERE / "dynos/talk.py", "$PORT"], 1, ["--max-conns", 1]),
    "calls": ([sys.executable, "-B", HERE / "dynos/calls.py", "$PORT"], 1, ["--max-conns", 50, "--dyno-protocol", "http2", "--host", "localhost"]),
    "wsgi": (["$GUNICORN", "--keep-alive", "5", "--threads", "4", "-b", "127.0.0.1:$PORT"], 1, ["--max-conns", 4, "--keep-alive", "2s"]),
    "wsgi-sync": (["$GUNICORN", "--workers", "1", "-b", "127.0.0.1:$PORT"], 2, ["--max-conns", 1]),
}


@dataclasses.dataclass
class Place:
    mesh: mesh.Mesh
    directory: pathlib.Path
    # Ports of the edge.
    plain: int
    tls: int
    # The authority of its certificates.
    ca: str

    def host(self, app):
        return f"{app}.test"


def start(group, binary):
    servers = {name: start_dynos(group, name, *APPS[name][:2]) for name in APPS}
    for ports in servers.values():
        for port in ports:
            group.wait(f"dyno that listens on {port}", START_MAX, lambda: processes.listens(port))
    running = mesh.launch(group, 2, binary, "committed", "--tls")
    for name, ports in servers.items():
        running.ask("app", "create", name, "--host", f"{name}.test", *APPS[name][2])
        for number, port in enumerate(ports):
            running.ask("dyno", "add", name, f"127.0.0.1:{port}", "--id", f"{name}-{number}", "--wait")
    now = running.now()
    edge = now["edges"][0]
    ports = [int(edge[kind].rpartition(":")[2]) for kind in ("http", "https")]
    return Place(running, group.directory, *ports, now["ca"])


def start_dynos(group, name, program, number):
    ports = processes.ports(number)
    gunicorn = pathlib.Path(sys.executable).parent / "gunicorn"
    for port in ports:
        words = [str(word).replace("$PORT", str(port)).replace("$GUNICORN", str(gunicorn)) for word in program]
        # The last names the run's directory, by which what was left behind is found.
        last = ["--chdir", HERE / "dynos", "--pid", group.directory / f"{port}.pid", "wsgi:application"] if "$GUNICORN" in program else [group.directory]
        group.start(f"{name}-{port}", [*words, *last], PYTHONDONTWRITEBYTECODE="1")
    return ports
