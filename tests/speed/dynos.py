"""The dynos of all fields: one nginx process that listens on a port for each of them and serves files from memory."""

import processes

BLOCKS = 4
PER_BLOCK = 6
# Requests in flight at one dyno: with 64 in the mesh nothing ever queues.
MAX_CONNS = 64
START_MAX = 10


def start(group, sizes):
    """Ports of the dynos, a list for each block."""
    root = group.directory / "files"
    root.mkdir()
    for name, size in sizes.items():
        (root / name).write_bytes(b"x" * size)
    ports = processes.ports(BLOCKS * PER_BLOCK)
    file = group.directory / "nginx.conf"
    file.write_text(configuration(group.directory, ports))
    group.start("nginx", ["nginx", "-p", group.directory, "-c", file, "-e", "stderr"])
    group.wait("dyno that listens", START_MAX, lambda: all(map(processes.listens, ports)))
    return [ports[first : first + PER_BLOCK] for first in range(0, len(ports), PER_BLOCK)]


def configuration(directory, ports):
    listens = "\n".join(f"        listen 127.0.0.1:{port} backlog=4096;" for port in ports)
    paths = "\n".join(
        f"    {kind}_temp_path {directory}/temporary;" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    return f"""
daemon off;
master_process off;
pid {directory}/nginx.pid;
error_log stderr warn;
events {{ worker_connections 16384; }}
http {{
{paths}
    access_log off;
    sendfile on;
    tcp_nopush on;
    keepalive_timeout 1h;
    keepalive_requests 1000000000;
    open_file_cache max=100;
    open_file_cache_valid 1h;
    server {{
{listens}
        root {directory}/files;
    }}
}}
"""
