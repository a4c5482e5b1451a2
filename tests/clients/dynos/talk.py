"""A WebSocket server: echoes, and ends as its client asks. Usage: talk.py PORT [anything]."""

import asyncio
import sys

from websockets.asyncio.server import serve


async def talk(connection):
    async for message in connection:
        if message == "close":
            await connection.close(4001, "as you wish")
        elif message == "drop":
            connection.transport.abort()
        elif message == "who":
            await connection.send(str(dict(connection.request.headers)))
        elif isinstance(message, str) and message.startswith("count "):
            for number in range(int(message.partition(" ")[2])):
                await connection.send(str(number))
        else:
            await connection.send(message)


def choose(_, offered):
    """Who offers nothing is served too."""
    return "chat" if "chat" in offered else None


async def main(port):
    async with serve(talk, "127.0.0.1", port, max_size=None, select_subprotocol=choose) as server:
        await server.serve_forever()


asyncio.run(main(int(sys.argv[1])))
