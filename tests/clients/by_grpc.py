"""grpcio, plain and by TLS, against grpcio."""

import contextlib
import pathlib
import threading
import time

import grpc

LARGE = 20_000_000
UNLIMITED = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]


@contextlib.contextmanager
def _channel(place, tls):
    options = [*UNLIMITED, ("grpc.enable_retries", 0)]
    if tls:
        trust = grpc.ssl_channel_credentials(pathlib.Path(place.ca).read_bytes())
        channel = grpc.secure_channel(f"localhost:{place.tls}", trust, options)
    else:
        channel = grpc.insecure_channel(f"127.0.0.1:{place.plain}", [*options, ("grpc.default_authority", place.host("calls"))])
    with channel:
        yield channel


def _each(place):
    for tls in (False, True):
        with _channel(place, tls) as channel:
            yield channel


def _call(channel, name):
    return channel.unary_unary(f"/trial.Calls/{name}")


def unary_calls_with_metadata_and_large_messages(place):
    for channel in _each(place):
        echo = _call(channel, "echo")
        for message in (b"", b"hello", b"m" * LARGE):
            answer, call = echo.with_call(message, timeout=60, metadata=(("x-own", "1"), ("x-raw-bin", b"\x00\xff")))
            assert answer == message
            assert dict(call.initial_metadata())["x-begin"] == "1"
            assert dict(call.trailing_metadata())["x-end"] == "2"
            assert dict(call.trailing_metadata())["x-bytes-bin"] == b"\x00\xff"


def errors_come_with_their_trailers(place):
    for channel in _each(place):
        error = _failure(lambda: _call(channel, "fail")(b"why", timeout=20))
        assert error.code() == grpc.StatusCode.FAILED_PRECONDITION and error.details() == "no: why \u00e4", error
        assert dict(error.trailing_metadata())["x-why"] == "asked"
        error = _failure(lambda: _call(channel, "unknown")(b"", timeout=20))
        assert error.code() == grpc.StatusCode.UNIMPLEMENTED, error
        got = []
        error = _failure(lambda: got.extend(channel.unary_stream("/trial.Calls/breaks")(b"", timeout=20)))
        assert got == [b"one"] and error.code() == grpc.StatusCode.DATA_LOSS, (got, error)


def _failure(call):
    try:
        call()
    except grpc.RpcError as error:
        return error
    raise AssertionError("no error")


def streams_of_either_side(place):
    for channel in _each(place):
        counted = list(channel.unary_stream("/trial.Calls/count")(b"2000", timeout=60))
        assert counted == [str(number).encode() for number in range(2000)]
        assert list(channel.unary_stream("/trial.Calls/count")(b"0", timeout=60)) == []
        total = channel.stream_unary("/trial.Calls/total")
        assert total((b"x" * 1000 for _ in range(1000)), timeout=60) == b"1000000"
        assert total(iter([]), timeout=60) == b"0"


def many_small_messages_come_through(place):
    """Each in a frame of its own, faster than they are read."""
    for channel in _each(place):
        for _ in range(10):
            assert sum(1 for _ in channel.unary_stream("/trial.Calls/count")(b"5000", timeout=60)) == 5000
        total = channel.stream_unary("/trial.Calls/total")
        assert total((b"x" * 10 for _ in range(20_000)), timeout=60) == b"200000"


def both_sides_by_turns(place):
    worst = 0
    for channel in _each(place):
        said = []
        more = threading.Semaphore(0)

        def talk():
            for number in range(50):
                more.acquire()
                said.append(time.monotonic())
                yield f"m{number}".encode()

        more.release()
        for number, answer in enumerate(channel.stream_stream("/trial.Calls/turns")(talk(), timeout=60)):
            worst = max(worst, time.monotonic() - said[-1])
            assert answer == f"m{number}".encode()[::-1]
            more.release()
        assert number == 49
    return f"slowest turn {worst * 1000:.1f} ms"


def a_silent_client_is_waited_for(place):
    for channel in _each(place):
        def talk():
            time.sleep(3)
            yield b"ab"
            time.sleep(3)
            yield b"cd"

        assert list(channel.stream_stream("/trial.Calls/turns")(talk(), timeout=60)) == [b"ba", b"dc"]


def deadlines_are_kept(place):
    for channel in _each(place):
        began = time.monotonic()
        error = _failure(lambda: _call(channel, "late")(b"5", timeout=0.5))
        assert error.code() == grpc.StatusCode.DEADLINE_EXCEEDED and time.monotonic() - began < 2, error
        assert _call(channel, "echo")(b"after", timeout=10) == b"after"


def a_cancelled_call_ends_at_the_server(place):
    for channel in _each(place):
        call = channel.unary_stream("/trial.Calls/endless")(b"", timeout=30)
        assert next(call) == b"0"
        call.cancel()
        began = time.monotonic()
        assert _call(channel, "told")(b"", timeout=20) == b"yes"
    return f"{time.monotonic() - began:.1f} s later"


def many_calls_at_once_share_a_connection(place):
    for channel in _each(place):
        calls = [_call(channel, "echo").future(str(number).encode(), timeout=60) for number in range(500)]
        assert [call.result() for call in calls] == [str(number).encode() for number in range(500)]
