"""The library websockets, and HTTP/2 by the library h2 with frames of WebSocket written by hand."""

import asyncio
import os
import socket
import ssl
import struct
import threading
import time

import h2.config
import h2.connection
import h2.events
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import connect as connect_in_threads

LARGE = 20_000_000


class _Talk:
    """A connection, one call after the other. The library's own form of that reads TLS in one thread and writes in another at the same time,
    which loses a request now and then (CPython, gh-124984)."""

    def __init__(self, place, tls=False, host="talk", **more):
        one = socket.create_connection(("127.0.0.1", place.tls if tls else place.plain), 10)
        security = {"ssl": ssl.create_default_context(cafile=place.ca), "server_hostname": "localhost"} if tls else {}
        url = f"{'wss' if tls else 'ws'}://{place.host(host)}/chat"
        self.loop = asyncio.new_event_loop()

        async def connected():
            return await connect(url, sock=one, max_size=None, proxy=None, ping_interval=None, **security, **more)

        self.connection = self.loop.run_until_complete(connected())

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def send(self, message):
        self.loop.run_until_complete(self.connection.send(message))

    def recv(self, seconds):
        return self.loop.run_until_complete(asyncio.wait_for(self.connection.recv(), seconds))

    def ping(self, seconds):
        async def answered():
            await asyncio.wait_for(await self.connection.ping(), seconds)

        self.loop.run_until_complete(answered())

    def close(self, *code):
        self.loop.run_until_complete(self.connection.close(*code))
        self.loop.close()


def messages_are_echoed(place):
    for tls in (False, True):
        for compression in (None, "deflate"):
            with _Talk(place, tls, compression=compression, subprotocols=["chat"]) as one:
                assert one.connection.subprotocol == "chat"
                for message in ("text", "\u00e4\u20ac", b"\x00\xff", "", b"", os.urandom(LARGE), "x" * 1_000_000):
                    one.send(message)
                    assert one.recv(60) == message
                one.send("count 5000")
                assert [one.recv(20) for _ in range(5000)] == [str(number) for number in range(5000)]


def a_fragmented_message_and_pings(place):
    with _Talk(place) as one:
        one.send(iter(["a", "b", "c"]))
        assert one.recv(10) == "abc"
        for _ in range(20):
            one.ping(5)
        one.send("after")
        assert one.recv(10) == "after"


def close_codes_pass_both_ways(place):
    for tls in (False, True):
        with _Talk(place, tls) as one:
            one.send("close")
            try:
                one.recv(10)
                raise AssertionError("still open")
            except ConnectionClosed as closed:
                assert (closed.rcvd.code, closed.rcvd.reason) == (4001, "as you wish"), closed
        one = _Talk(place, tls)
        one.close(4002, "bye")
        assert one.connection.close_code == 4002, one.connection.close_code


def a_server_that_dies_is_seen(place):
    with _Talk(place) as one:
        one.send("drop")
        try:
            one.recv(10)
            raise AssertionError("still open")
        except ConnectionClosed as closed:
            assert closed.rcvd is None, closed


def headers_of_the_handshake_reach_the_server(place):
    with _Talk(place, additional_headers={"X-Own": "1", "Cookie": "a=b"}, origin="http://example.test") as one:
        one.send("who")
        told = one.recv(10).lower()
    for word in ("'x-own': '1'", "'cookie': 'a=b'", "http://example.test", "x-forwarded-for", "sec-websocket-key"):
        assert word in told, (word, told)


def a_server_that_does_not_switch_is_passed_on(place):
    try:
        _Talk(place, host="odd")
        raise AssertionError("switched")
    except InvalidStatus as refused:
        assert refused.response.status_code == 200, refused


def many_at_once_beside_each_other(place):
    crowd = [_Talk(place, tls=number % 2 == 0) for number in range(30)]
    for number, one in enumerate(crowd):
        one.send(f"m{number}")
    for number, one in enumerate(crowd):
        assert one.recv(20) == f"m{number}"
    for one in crowd:
        one.close()


def a_closed_one_frees_its_slot_at_once(place):
    """Also where its client closes without the word of TLS for it, as many do. The app has one slot."""
    slowest = 0
    for number in range(40):
        began = time.monotonic()
        with _raw(place, tls=number % 2 == 0) as one:
            head = f"GET / HTTP/1.1\r\nHost: {place.host('talk-one')}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
            one.sendall(f"{head}Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n".encode())
            assert one.recv(4096).startswith(b"HTTP/1.1 101 ")
            one.sendall(b"\x88\x82" + bytes(4) + struct.pack(">H", 1000))
            while one.recv(4096):
                pass
        slowest = max(slowest, time.monotonic() - began)
    assert slowest < 0.9, slowest
    return f"slowest {slowest * 1000:.0f} ms"


def _raw(place, tls):
    one = socket.create_connection(("127.0.0.1", place.tls if tls else place.plain), 20)
    context = ssl.create_default_context(cafile=place.ca)
    return context.wrap_socket(one, server_hostname="localhost") if tls else one


def an_idle_one_stays(place):
    with _Talk(place) as one:
        time.sleep(5)
        one.send("still")
        assert one.recv(10) == "still"


def a_slow_reader_stops_the_server_and_loses_nothing(place):
    plain = socket.create_connection(("127.0.0.1", place.plain), 10)
    plain.settimeout(None)
    one = connect_in_threads(f"ws://{place.host('talk')}/chat", sock=plain, max_size=None, proxy=None, ping_interval=None, max_queue=1)
    sent = threading.Thread(target=lambda: [one.send(b"z" * 1_000_000) for _ in range(60)], daemon=True)
    sent.start()
    time.sleep(3)
    for _ in range(60):
        assert len(one.recv(30)) == 1_000_000
    sent.join(10)
    one.close()


def by_an_extended_connect(place):
    """RFC 8441, in plain text and by TLS."""
    for tls in (False, True):
        with _Http2(place, tls) as one:
            one.frame(0x1, b"hello")
            assert one.read_frame() == (0x1, b"hello")
            for size in (200, 100_000, 1_000_000):
                one.frame(0x2, b"y" * size)
                assert one.read_frame() == (0x2, b"y" * size)
            one.frame(0x9, b"p")
            assert one.read_frame() == (0xA, b"p")
            one.frame(0x8, struct.pack(">H", 4003))
            assert one.read_frame() == (0x8, struct.pack(">H", 4003))
            assert one.read_end()


class _Http2:
    def __init__(self, place, tls):
        self.socket = socket.create_connection(("127.0.0.1", place.tls if tls else place.plain), 20)
        if tls:
            context = ssl.create_default_context(cafile=place.ca)
            context.set_alpn_protocols(["h2"])
            self.socket = context.wrap_socket(self.socket, server_hostname="localhost")
        self.connection = h2.connection.H2Connection(h2.config.H2Configuration(validate_outbound_headers=False))
        self.bytes, self.ended, self.head = b"", False, None
        self.connection.initiate_connection()
        self.flush()
        while self.connection.remote_settings.enable_connect_protocol != 1:
            self.take()
        fields = {":method": "CONNECT", ":protocol": "websocket", ":scheme": "https" if tls else "http", ":path": "/chat", ":authority": place.host("talk")}
        self.connection.send_headers(1, [*fields.items(), ("sec-websocket-version", "13"), ("origin", "http://a.test")])
        self.flush()
        while self.head is None:
            self.take()
        assert self.head[":status"] == "200", self.head

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()

    def flush(self):
        self.socket.sendall(self.connection.data_to_send())

    def take(self):
        read = self.socket.recv(65536)
        assert read, "the edge has closed the connection"
        for event in self.connection.receive_data(read):
            if isinstance(event, h2.events.ResponseReceived):
                self.head = {name if isinstance(name, str) else name.decode(): value if isinstance(value, str) else value.decode() for name, value in event.headers}
            elif isinstance(event, h2.events.DataReceived):
                self.bytes += event.data
                self.connection.acknowledge_received_data(event.flow_controlled_length, 1)
            elif isinstance(event, h2.events.StreamEnded):
                self.ended = True
            elif isinstance(event, h2.events.StreamReset):
                raise AssertionError(f"reset with {event.error_code}")
        self.flush()

    def frame(self, kind, payload):
        size = len(payload)
        length = bytes([0x80 | size]) if size < 126 else b"\xfe" + struct.pack(">H", size) if size < 65536 else b"\xff" + struct.pack(">Q", size)
        self.write(bytes([0x80 | kind]) + length + bytes(4) + payload)

    def write(self, left):
        while left:
            room = min(self.connection.local_flow_control_window(1), self.connection.max_outbound_frame_size, len(left))
            if room == 0:
                self.take()
                continue
            self.connection.send_data(1, left[:room])
            left = left[room:]
            self.flush()

    def read_frame(self):
        kind, size = self.exactly(2)
        size &= 0x7F
        if size == 126:
            (size,) = struct.unpack(">H", self.exactly(2))
        elif size == 127:
            (size,) = struct.unpack(">Q", self.exactly(8))
        return kind & 0x0F, self.exactly(size)

    def exactly(self, size):
        while len(self.bytes) < size:
            self.take()
        read, self.bytes = self.bytes[:size], self.bytes[size:]
        return read

    def read_end(self):
        while not self.ended:
            self.take()
        return True
