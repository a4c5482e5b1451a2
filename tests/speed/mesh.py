"""dynomesh: one edge, blocks of three replicas, one control replica, over the same dynos as HAProxy."""

import json
import subprocess

import dynos
import processes

APP = "speed"
HOST = "speed.test"
START_MAX = 90
# Idle connections to a dyno are kept this long, where the binary can.
KEEP_ALIVE = "5s"


class Mesh:
    def __init__(self, group, binary, slots):
        self.name = f"dynomesh, {slots}"
        self.host = HOST
        self.binary = binary
        self.directory = group.directory / slots
        self.ready = self.directory / "ready.json"
        self.notes = []

    def now(self):
        """What runs where, as `dev` tells it; it tells it anew whenever a leader changes."""
        return json.loads(self.ready.read_text())

    @property
    def ports(self):
        port = int(self.now()["edges"][0]["http"].rpartition(":")[2])
        return {"h1": port, "h2": port}

    def roles(self):
        """Pids by role, as they are now."""
        now = self.now()
        replicas = [replica for block in now["blocks"].values() for replica in block]
        return {
            "edge": [edge["pid"] for edge in now["edges"]],
            "leaders": [replica["pid"] for replica in replicas if replica["leader"]],
            "followers": [replica["pid"] for replica in replicas if not replica["leader"]],
            "control": [control["pid"] for control in now["control"]],
        }

    def ask(self, *words, stdin=None):
        """Runs a command of the command line against this mesh."""
        command = [str(self.binary), "--admin", self.now()["admin"], *map(str, words)]
        done = subprocess.run(command, input=stdin, capture_output=True, text=True)
        if done.returncode != 0:
            raise processes.Trouble(f"dynomesh {' '.join(command[3:])}: {done.stderr.strip()}")
        return done.stdout

    def create_app(self):
        words = ["app", "create", APP, "--host", HOST, "--max-conns", dynos.MAX_CONNS, "--serial", "no"]
        if "--keep-alive" in self.ask("app", "create", "--help"):
            words += ["--keep-alive", KEEP_ALIVE]
        else:
            self.notes.append("this binary cannot keep connections to dynos alive: it makes one for each request")
        self.ask(*words)

    def add_dynos(self, backends):
        lines = [
            json.dumps({"id": f"n{port}", "addr": f"127.0.0.1:{port}", "block": f"b{number}"})
            for number, ports in enumerate(backends, 1)
            for port in ports
        ]
        self.ask("dyno", "add", APP, "--file", "-", "--wait", stdin="\n".join(lines))

    def serves(self, backends):
        """Whether all dynos are in use and every block has a leader."""
        listed = json.loads(self.ask("dyno", "list", "--app", APP, "-o", "json"))
        up = sum(dyno["state"] == "up" for dyno in listed)
        return up == sum(map(len, backends)) and len(self.roles()["leaders"]) == len(backends)


def start(group, backends, binary, slots, *more):
    """A mesh over `backends`, ports of dynos by block; `more` are words for `dev`."""
    mesh = launch(group, len(backends), binary, slots, *more)
    mesh.create_app()
    mesh.add_dynos(backends)
    group.wait(f"mesh ({slots}) that uses all dynos", START_MAX, lambda: mesh.serves(backends))
    return mesh


def launch(group, blocks, binary, slots, *more):
    """A mesh that has one dyno, a sample that nobody uses."""
    mesh = Mesh(group, binary, slots)
    mesh.directory.mkdir()
    sizes = ["--edges", 1, "--blocks", blocks, "--replicas", 3, "--control", 1, "--dynos", 1, "--threads", 1, "--port", 0]
    files = ["--data-dir", mesh.directory / "data", "--ready-file", mesh.ready]
    group.start(
        f"mesh-{slots}",
        [binary, "dev", *sizes, "--slots", slots, *files, *more],
        DYNOMESH_EDGE_ACCESS_LOG="off",
        DYNOMESH_LOG="warn",
    )
    group.wait(f"mesh ({slots})", START_MAX, mesh.ready.exists)
    return mesh
