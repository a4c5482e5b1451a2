"""A gRPC server of plain bytes, without generated code. Usage: calls.py PORT [anything]."""

import concurrent.futures
import sys
import threading
import time

import grpc

cancelled = threading.Event()


def echo(request, context):
    context.send_initial_metadata((("x-begin", "1"),))
    context.set_trailing_metadata((("x-end", "2"), ("x-bytes-bin", b"\x00\xff")))
    return request


def fail(request, context):
    context.set_trailing_metadata((("x-why", "asked"),))
    context.abort(grpc.StatusCode.FAILED_PRECONDITION, "no: " + request.decode() + " \u00e4")


def late(request, context):
    time.sleep(float(request))
    return b"late"


def told(_, __):
    """Whether the call that waits for ever has ended."""
    return b"yes" if cancelled.wait(5) else b"no"


def count(request, context):
    for number in range(int(request)):
        yield str(number).encode()


def endless(request, context):
    cancelled.clear()
    context.add_callback(cancelled.set)
    number = 0
    while context.is_active():
        yield str(number).encode()
        number += 1
        time.sleep(0.05)


def breaks(request, context):
    yield b"one"
    context.abort(grpc.StatusCode.DATA_LOSS, "half way")


def total(requests, context):
    return str(sum(len(request) for request in requests)).encode()


def turns(requests, context):
    for request in requests:
        yield request[::-1]


UNARY = {"echo": echo, "fail": fail, "late": late, "told": told}
STREAM = {"count": count, "endless": endless, "breaks": breaks}


def main(port):
    options = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1), ("grpc.so_reuseport", 0)]
    server = grpc.server(concurrent.futures.ThreadPoolExecutor(32), options=options)
    handlers = {name: grpc.unary_unary_rpc_method_handler(call) for name, call in UNARY.items()}
    handlers |= {name: grpc.unary_stream_rpc_method_handler(call) for name, call in STREAM.items()}
    handlers["total"] = grpc.stream_unary_rpc_method_handler(total)
    handlers["turns"] = grpc.stream_stream_rpc_method_handler(turns)
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("trial.Calls", handlers),))
    server.add_insecure_port(f"127.0.0.1:{port}")
    server.start()
    server.wait_for_termination()


main(int(sys.argv[1]))
