"""A crowd of clients that behave alike, until it is told to end. It tells how they do by a file.

Usage: crowd.py KIND NUMBER PORT STATUS [CA], where KIND is one of `KINDS`, STATUS the file, and CA the authority of a port that speaks TLS.
"""

import asyncio
import collections
import json
import os
import pathlib
import socket
import ssl
import sys

import descriptors
import frames

HOST = "speed.test"
SIZE = 100_000_000
# What a slow client reads or writes in a second.
SLOW = 4096
# Every fifth reader stands still for so long, and every so many seconds; the mesh would cut it after 55 s.
PAUSE, PAUSE_EVERY = 20, 10
# The kernel doubles it.
RECEIVE_BUFFER = 4096
# As the dyno's.
SEND_BUFFER = 65536
# Beyond what an edge gathers before it asks a block.
AT_ONCE = 100_000
STREAMS = 100
OPENING_AT_ONCE = 20
TELL_EVERY = 0.5


class Unavailable(Exception):
    """503: nobody was there for this request."""


class Crowd:
    def __init__(self, port, authority):
        self.port = port
        self.context = authority and ssl.create_default_context(cafile=authority)
        self.scheme = "https" if authority else "http"
        self.door = asyncio.Semaphore(OPENING_AT_ONCE)
        self.answered = 0
        self.again = 0
        self.bytes = 0
        self.failures = collections.Counter()

    async def connect(self, number, alpn, receive_buffer=None):
        """A connection from an address of its own for every few thousand: there are not more ports."""
        one = socket.socket()
        if receive_buffer:
            one.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        one.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER)
        one.setblocking(False)
        one.bind((f"127.0.{os.getpid() % 250 + 1}.{number // 4000 + 1}", 0))
        await asyncio.get_running_loop().sock_connect(one, ("127.0.0.1", self.port))
        security = {}
        if self.context:
            self.context.set_alpn_protocols([alpn])
            security = {"ssl": self.context, "server_hostname": "localhost"}
        return await asyncio.open_connection(sock=one, limit=SLOW, **security)

    def head(self, method, path, length=None):
        framing = "" if length is None else f"Content-Length: {length}\r\n"
        return f"{method} {path} HTTP/1.1\r\nHost: {HOST}\r\n{framing}\r\n".encode()

    async def expect_ok(self, reader):
        head = await reader.readuntil(b"\r\n\r\n")
        if not head.startswith(b"HTTP/1.1 200 "):
            # The status, and what the mesh says of it.
            lines = head.decode(errors="replace").split("\r\n")
            kind = Unavailable if b" 503 " in head[:16] else ConnectionError
            raise kind(" ".join([lines[0], *(line for line in lines if line.startswith("x-dynomesh-error"))]))

    async def idle_h1(self, number):
        async with self.door:
            reader, writer = await self.connect(number, "http/1.1")
            writer.write(self.head("GET", "/word"))
            await self.expect_ok(reader)
            await reader.readexactly(2)
            self.answered += 1
        if await reader.read(1) == b"":
            raise ConnectionError("closed by the edge")

    async def idle_h2(self, number):
        async with self.door:
            reader, writer = await self.connect(number, "h2")
            writer.write(frames.opening(frames.WINDOW_DEFAULT) + frames.get(1, self.scheme, HOST, "/word"))
            while True:
                kind, flags, stream, _ = await frames.read(reader)
                if kind == frames.SETTINGS and not flags & frames.ACK:
                    writer.write(frames.frame(frames.SETTINGS, frames.ACK, 0))
                if kind in (frames.RESET, frames.GOAWAY):
                    raise ConnectionError(f"frame of kind {kind}")
                if stream == 1 and flags & frames.END_STREAM:
                    break
            self.answered += 1
        if await reader.read(1) == b"":
            raise ConnectionError("closed by the edge")

    async def readers(self, number):
        async with self.door:
            reader, writer = await self.connect(number, "http/1.1", RECEIVE_BUFFER)
            writer.write(self.head("GET", ("/length", "/chunked")[number % 2]))
            await self.expect_ok(reader)
            self.answered += 1
        await self.read_slowly(reader, SLOW, number % 5 == 0)

    async def read_slowly(self, reader, rate, pauses):
        seconds = 0
        while read := await reader.read(rate):
            self.bytes += len(read)
            seconds += 1
            await asyncio.sleep(PAUSE if pauses and seconds % PAUSE_EVERY == 0 else 1)
        raise ConnectionError("closed by the edge")

    async def readers_h2(self, number):
        """A connection with all the windows it can have, whose client reads slowly; it is one of `STREAMS`."""
        if number % STREAMS:
            return
        async with self.door:
            reader, writer = await self.connect(number, "h2", RECEIVE_BUFFER)
            writer.write(frames.opening(frames.WINDOW_MAX))
            for stream in range(STREAMS):
                writer.write(frames.get(2 * stream + 1, self.scheme, HOST, "/length"))
            await reader.read(1)
            writer.write(frames.frame(frames.SETTINGS, frames.ACK, 0))
            self.answered += STREAMS
        await self.read_slowly(reader, SLOW * STREAMS // 10, False)

    async def windows_h2(self, number):
        """A connection that reads all, but gives each of its `STREAMS` a little window every second."""
        if number % STREAMS:
            return
        reader, writer = await self.connect(number, "h2")
        writer.write(frames.opening(SLOW))
        streams = range(1, 2 * STREAMS, 2)
        for stream in streams:
            writer.write(frames.get(stream, self.scheme, HOST, "/length"))
        giving = asyncio.create_task(self.give(writer, streams))
        try:
            while True:
                kind, flags, _, payload = await frames.read(reader)
                if kind == frames.SETTINGS and not flags & frames.ACK:
                    writer.write(frames.frame(frames.SETTINGS, frames.ACK, 0))
                elif kind == frames.HEADERS:
                    self.answered += 1
                elif kind == frames.DATA:
                    self.bytes += len(payload)
                elif kind in (frames.RESET, frames.GOAWAY):
                    raise ConnectionError(f"frame of kind {kind}: {payload!r}")
        finally:
            giving.cancel()

    async def give(self, writer, streams):
        while True:
            await asyncio.sleep(1)
            # The connection's own is as large as it can be.
            writer.write(b"".join(frames.update(stream, SLOW) for stream in streams))

    async def uploads(self, number):
        """The first bytes at once, the rest slowly."""
        writer = await self.upload(number, "/fast")
        while True:
            await asyncio.sleep(1)
            writer.write(bytes(SLOW))
            await writer.drain()
            self.bytes += SLOW

    async def uploads_unread(self, number):
        """As fast as it is taken, for a dyno that takes little."""
        writer = await self.upload(number, "/slow")
        while True:
            writer.write(bytes(65536))
            await writer.drain()
            self.bytes += 65536

    async def upload(self, number, path):
        async with self.door:
            _, writer = await self.connect(number, "http/1.1")
            writer.write(self.head("POST", path, SIZE) + bytes(AT_ONCE))
            await writer.drain()
            self.answered += 1
        return writer

    async def one(self, kind, number):
        """A client. A busy machine may cost a block its leader for a moment: who is told so comes again."""
        while True:
            try:
                return await getattr(self, kind)(number)
            except Unavailable:
                self.again += 1
                await asyncio.sleep(1)
            except (OSError, EOFError, asyncio.LimitOverrunError) as error:
                self.failures[f"{type(error).__name__}: {error}"] += 1
                return

    def status(self):
        return {"answered": self.answered, "bytes": self.bytes, "again": self.again, "failures": dict(self.failures)}


KINDS = [name for name in vars(Crowd) if name.partition("_")[0] in ("idle", "readers", "windows", "uploads")]


async def main(kind, number, port, status, authority=None):
    descriptors.raise_limit()
    crowd = Crowd(int(port), authority)
    clients = [asyncio.create_task(crowd.one(kind, one)) for one in range(int(number))]
    while clients:
        tell(pathlib.Path(status), crowd.status())
        await asyncio.sleep(TELL_EVERY)


def tell(path, what):
    new = path.with_suffix(".new")
    new.write_text(json.dumps(what))
    new.replace(path)


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
