"""A dyno of HTTP/1.1 that does what few servers do. Usage: odd.py PORT [anything]."""

import asyncio
import hashlib
import sys
import time

BIG = 50_000_000
PIECE = b"0123456789abcdef" * 4096


class Left(Exception):
    """The other side is gone."""


async def serve(reader, writer):
    try:
        while await one(reader, writer):
            pass
    except (Left, ConnectionError, asyncio.IncompleteReadError):
        pass
    finally:
        writer.close()


async def one(reader, writer):
    """A request; whether another may follow."""
    try:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    except asyncio.IncompleteReadError:
        raise Left from None
    line, *fields = head[:-4].split("\r\n")
    method, target, _ = line.split(" ")
    fields = [(name.lower(), value.strip()) for name, _, value in (field.partition(":") for field in fields)]
    request = Request(method, target, dict(fields), reader, writer)
    path = target.partition("?")[0].strip("/").replace("-", "_") or "hello"
    answer = getattr(request, f"do_{path}", request.do_hello)
    goes_on = await answer()
    await writer.drain()
    return goes_on and request.fields.get("connection", "").lower() != "close"


class Request:
    def __init__(self, method, target, fields, reader, writer):
        self.method, self.target, self.fields, self.reader, self.writer = method, target, fields, reader, writer

    def say(self, text):
        self.writer.write(text.replace("\n", "\r\n").encode() if isinstance(text, str) else text)

    async def whole(self, status, body=b"", *more):
        self.say("".join(f"{line}\n" for line in [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", *more, ""]))
        self.say(b"" if self.method == "HEAD" else body)
        return True

    async def body(self):
        """Its pieces; trailers are kept."""
        self.trailers = []
        if self.fields.get("expect"):
            self.say("HTTP/1.1 100 Continue\n\n")
        if self.fields.get("transfer-encoding"):
            while size := int((await self.reader.readuntil(b"\r\n")).split(b";")[0], 16):
                yield await self.reader.readexactly(size)
                await self.reader.readexactly(2)
            while (line := await self.reader.readuntil(b"\r\n")) != b"\r\n":
                self.trailers.append(line.decode().strip())
        else:
            left = int(self.fields.get("content-length", 0))
            while left > 0:
                piece = await self.reader.read(min(left, 65536))
                if not piece:
                    raise Left
                left -= len(piece)
                yield piece

    async def do_hello(self):
        async for _ in self.body():
            pass
        return await self.whole("200 OK", f"{self.method} {self.target}\n".encode(), "Content-Type: text/plain")

    async def do_page(self):
        return await self.whole("200 OK", b"<title>page</title><p id=p>old<script>p.textContent='new'</script>", "Content-Type: text/html")

    async def do_heads(self):
        return await self.whole("200 OK", "".join(f"{name}: {value}\n" for name, value in self.fields.items()).encode())

    async def do_digest(self):
        digest, size = hashlib.sha256(), 0
        async for piece in self.body():
            digest.update(piece)
            size += len(piece)
        return await self.whole("200 OK", f"{size} {digest.hexdigest()} {self.trailers}\n".encode())

    async def do_refuse(self):
        """Answers a body it has not read."""
        await self.whole("413 Payload Too Large", b"too much\n", "Connection: close")
        return False

    async def do_big(self):
        self.say(f"HTTP/1.1 200 OK\nContent-Length: {BIG}\n\n")
        left = BIG
        while left > 0:
            self.say(PIECE[:left])
            left -= len(PIECE)
            await self.writer.drain()
        return True

    async def do_chunks(self):
        self.say("HTTP/1.1 200 OK\nTransfer-Encoding: chunked\nTrailer: X-Sum\n\n")
        for _ in range(3):
            self.say("5;note=1\nhello\n")
            await self.writer.drain()
            await asyncio.sleep(0.05)
        self.say("0\nX-Sum: 15\n\n")
        return True

    async def do_no_content(self):
        self.say("HTTP/1.1 204 No Content\nX-Own: 1\n\n")
        return True

    async def do_not_modified(self):
        self.say('HTTP/1.1 304 Not Modified\nETag: "e"\nContent-Length: 1234\n\n')
        return True

    async def do_hints(self):
        self.say("HTTP/1.1 103 Early Hints\nLink: </a.css>; rel=preload\n\n")
        await self.writer.drain()
        await asyncio.sleep(0.05)
        return await self.whole("200 OK", b"hinted\n")

    async def do_until_close(self):
        self.say("HTTP/1.1 200 OK\n\n")
        self.say(b"until close\n")
        return False

    async def do_cut_length(self):
        self.say("HTTP/1.1 200 OK\nContent-Length: 100\n\nhalf")
        return False

    async def do_cut_chunks(self):
        self.say("HTTP/1.1 200 OK\nTransfer-Encoding: chunked\n\n5\nhello\n")
        return False

    async def do_cut_head(self):
        self.say("HTTP/1.1 200 OK\nContent-Le")
        return False

    async def do_nothing(self):
        """Closes without a word."""
        return False

    async def do_slow(self):
        await asyncio.sleep(float(self.target.partition("?")[2] or 1))
        return await self.whole("200 OK", b"at last\n")

    async def do_events(self):
        """Says when each event went off."""
        self.say("HTTP/1.1 200 OK\nContent-Type: text/event-stream\nTransfer-Encoding: chunked\n\n")
        for _ in range(5):
            event = f"data: {time.time():.6f}\n\n"
            self.say(f"{len(event):x}\r\n{event}\r\n".encode())
            await self.writer.drain()
            await asyncio.sleep(0.1)
        self.say("0\n\n")
        return True


async def main(port):
    server = await asyncio.start_server(serve, "127.0.0.1", port, limit=1 << 20)
    await server.serve_forever()


asyncio.run(main(int(sys.argv[1])))
