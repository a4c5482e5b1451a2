"""As much HTTP/2 as a client needs that sends one kind of GET and counts what comes."""

import struct

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, RESET, SETTINGS, GOAWAY, WINDOW_UPDATE = 0, 1, 3, 4, 7, 8
END_STREAM, END_HEADERS, ACK = 1, 4, 1
INITIAL_WINDOW_SIZE = 4
WINDOW_DEFAULT = 65_535
WINDOW_MAX = 2**31 - 1


def frame(kind, flags, stream, payload=b""):
    return struct.pack(">I", len(payload))[1:] + struct.pack(">BBI", kind, flags, stream) + payload


def opening(window):
    """What a client says first. It lets `window` bytes come on each stream, and as much as there can be on the connection."""
    settings = frame(SETTINGS, 0, 0, struct.pack(">HI", INITIAL_WINDOW_SIZE, window))
    return PREFACE + settings + update(0, WINDOW_MAX - WINDOW_DEFAULT)


def update(stream, more):
    return frame(WINDOW_UPDATE, 0, stream, struct.pack(">I", more))


def get(stream, scheme, host, path):
    """A request, its fields without indexing but for the first two."""
    block = b"\x82" + {"http": b"\x86", "https": b"\x87"}[scheme] + literal(1, host) + literal(4, path)
    return frame(HEADERS, END_STREAM | END_HEADERS, stream, block)


def literal(name, value):
    return bytes([name, len(value)]) + value.encode()


async def read(reader):
    """The next frame: kind, flags, stream, payload."""
    head = await reader.readexactly(9)
    kind, flags, stream = struct.unpack(">BBI", head[3:])
    return kind, flags, stream, await reader.readexactly(int.from_bytes(head[:3], "big"))
