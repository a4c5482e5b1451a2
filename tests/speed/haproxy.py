"""HAProxy before HAProxy: an edge that draws a block at random, the less loaded of two, and blocks that know their dynos' loads."""

import dataclasses

import dynos
import processes

START_MAX = 10

COMMON = """
global
    nbthread 1
    maxconn 4000
defaults
    mode http
    option http-keep-alive
    http-reuse always
    timeout connect 5s
    timeout client 60s
    timeout server 60s
    timeout queue 10s
"""


@dataclasses.dataclass
class HaProxy:
    name: str
    ports: dict
    pids: dict
    # HAProxy routes by what it was configured with, whatever the host.
    host: str = "speed.test"
    notes: tuple = ()

    def roles(self):
        """Pids by role."""
        return self.pids


def start(group, backends):
    blocks, pids = processes.ports(len(backends)), []
    for number, (port, servers) in enumerate(zip(blocks, backends), 1):
        name = f"haproxy-block-{number}"
        pids.append(one(group, name, block(port, servers)))
    h1, h2 = processes.ports(2)
    edge_pid = one(group, "haproxy-edge", edge(h1, h2, blocks))
    group.wait("HAProxy that listens", START_MAX, lambda: all(map(processes.listens, [h1, h2, *blocks])))
    return HaProxy("HAProxy", {"h1": h1, "h2": h2}, {"edge": [edge_pid], "leaders": pids})


def one(group, name, text):
    file = group.directory / f"{name}.cfg"
    file.write_text(COMMON + text)
    return group.start(name, ["haproxy", "-db", "-f", file]).pid


def edge(h1, h2, blocks):
    return f"""
frontend clients
    bind 127.0.0.1:{h1}
    bind 127.0.0.1:{h2} proto h2
    option forwardfor
    default_backend blocks
backend blocks
    balance random(2)
{servers(blocks, "")}
"""


def block(port, ports):
    return f"""
frontend edges
    bind 127.0.0.1:{port}
    default_backend dynos
backend dynos
    balance leastconn
{servers(ports, f"maxconn {dynos.MAX_CONNS}")}
"""


def servers(ports, more):
    return "\n".join(f"    server s{port} 127.0.0.1:{port} check inter 1s {more}" for port in ports)
