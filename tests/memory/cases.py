"""What is tried, and how much memory it may take."""

import dataclasses

MB = 1_000_000


@dataclasses.dataclass(frozen=True)
class Case:
    name: str
    # What the clients do: see crowd.py.
    kind: str
    number: int
    what: str
    tls: bool = False
    # Most bytes for the edge and for each replica; what has no limit is only told.
    edge: int | None = None
    block: int | None = None


def slow(name, kind, what, tls=False):
    """Slow clients, limited where they come without TLS."""
    limit = None if tls else 300 * MB
    return Case(name, kind, 1000, what, tls, limit, limit)


ALL = [
    slow("readers", "readers", "1,000 slow readers of 100 MB, half of them in chunks, every fifth with pauses of 20 s"),
    slow("readers-h2", "readers_h2", "1,000 streams on 10 connections that read slowly, with the largest windows"),
    slow("windows-h2", "windows_h2", "1,000 streams on 10 connections that give little window"),
    slow("uploads", "uploads", "1,000 slow uploads of 100 MB"),
    slow("uploads-unread", "uploads_unread", "1,000 fast uploads of 100 MB to dynos that read slowly"),
    slow("readers-tls", "readers", "the slow readers by TLS, with mutual TLS between the tiers", True),
    slow("readers-h2-tls", "readers_h2", "the slow streams by TLS", True),
    slow("uploads-unread-tls", "uploads_unread", "the fast uploads by TLS", True),
    Case("idle", "idle_h1", 10_000, "10,000 idle connections after a request each", edge=200 * MB),
    Case("idle-h2", "idle_h2", 10_000, "10,000 idle connections of HTTP/2"),
    Case("idle-tls", "idle_h1", 10_000, "10,000 idle connections by TLS", True),
    Case("idle-h2-tls", "idle_h2", 10_000, "10,000 idle connections of HTTP/2 by TLS", True),
]
