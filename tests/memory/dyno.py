"""A dyno on many ports: sends a large body as fast as it is taken, takes one fast or slowly, and says a word.

Usage: dyno.py BYTES PORT... The paths: /length and /chunked send BYTES; POST /fast reads what comes, POST /slow a little every second;
anything else is answered with two bytes.
"""

import asyncio
import socket
import sys

import descriptors

CHUNK = b"x" * 65536
READ = 65536
SLOW_READ = 4096
BACKLOG = 4096
# On this machine alone: kernel memory of what no mesh would hold.
SEND_BUFFER = 65536


async def main(size, ports):
    descriptors.raise_limit()
    loop = asyncio.get_running_loop()
    listeners = []
    for port in ports:
        one = socket.create_server(("127.0.0.1", port), backlog=BACKLOG)
        one.setblocking(False)
        one.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER)
        listeners.append(accept(loop, one, size))
    await asyncio.gather(*listeners)


async def accept(loop, listener, size):
    running = set()
    while True:
        connection, _ = await loop.sock_accept(listener)
        connection.setblocking(False)
        task = loop.create_task(serve(loop, connection, size))
        running.add(task)
        task.add_done_callback(running.discard)


async def serve(loop, connection, size):
    """Requests of one connection, one after the other. It ends by a request with a body."""
    read = b""
    with connection:
        try:
            while True:
                while b"\r\n\r\n" not in read:
                    came = await loop.sock_recv(connection, READ)
                    if not came:
                        return
                    read += came
                head, _, read = read.partition(b"\r\n\r\n")
                method, path, _ = head.split(b"\r\n")[0].split(b" ")
                if method == b"POST":
                    return await swallow(loop, connection, path == b"/slow")
                await answer(loop, connection, path, size)
        except ConnectionError:
            return


async def answer(loop, connection, path, size):
    if path == b"/length":
        await loop.sock_sendall(connection, b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % size)
        await send(loop, connection, size, lambda piece: piece)
    elif path == b"/chunked":
        await loop.sock_sendall(connection, b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n")
        await send(loop, connection, size, lambda piece: b"%x\r\n%s\r\n" % (len(piece), piece))
        await loop.sock_sendall(connection, b"0\r\n\r\n")
    else:
        await loop.sock_sendall(connection, b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok")


async def send(loop, connection, left, framed):
    while left > 0:
        piece = CHUNK[:left]
        await loop.sock_sendall(connection, framed(piece))
        left -= len(piece)


async def swallow(loop, connection, slowly):
    while await loop.sock_recv(connection, SLOW_READ if slowly else READ):
        if slowly:
            await asyncio.sleep(1)


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]), [int(word) for word in sys.argv[2:] if word.isdigit()]))
