"""Bytes that are unusual and legal, written by hand."""

import http.client
import socket
import time


def _say(place, *pieces, pause=0.0, half_close=False):
    """Everything that is answered until the edge closes. With a pause every piece is a segment of its own."""
    pieces = [piece.replace("HOST", place.host("odd")) for piece in pieces]
    with socket.create_connection(("127.0.0.1", place.plain), 20) as one:
        for piece in pieces:
            one.sendall(piece.encode())
            time.sleep(pause)
        if half_close:
            one.shutdown(socket.SHUT_WR)
        read = b""
        while came := one.recv(65536):
            read += came
    return read.decode("latin-1")


CLOSE = "GET /last HTTP/1.1\r\nHost: HOST\r\nConnection: close\r\n\r\n"


def pipelined_requests_are_answered_in_turn(place):
    asked = "".join(f"GET /{number} HTTP/1.1\r\nHost: HOST\r\n\r\n" for number in range(20))
    text = _say(place, asked + "POST /p HTTP/1.1\r\nHost: HOST\r\nContent-Length: 3\r\n\r\nabc" + CLOSE)
    found = [line for line in text.splitlines() if line.startswith(("GET /", "POST /"))]
    assert found == [f"GET /{number}" for number in range(20)] + ["POST /p", "GET /last"], found


def a_pipeline_with_a_switch_of_bodies(place):
    text = _say(place, "HEAD /h HTTP/1.1\r\nHost: HOST\r\n\r\nGET /no-content HTTP/1.1\r\nHost: HOST\r\n\r\nGET /not-modified HTTP/1.1\r\nHost: HOST\r\n\r\nGET /chunks HTTP/1.1\r\nHost: HOST\r\n\r\n" + CLOSE)
    assert text.count("HTTP/1.1 ") == 5 and text.endswith("GET /last\n"), text


def http_1_0_with_and_without_host(place):
    assert _say(place, "GET /a HTTP/1.0\r\nHost: HOST\r\n\r\n").endswith("GET /a\n")
    # A proxy keeps no connection of HTTP/1.0 (RFC 9112, appendix C.2.2).
    assert _say(place, "GET /a HTTP/1.0\r\nHost: HOST\r\nConnection: keep-alive\r\n\r\n").endswith("GET /a\n")
    return _say(place, "GET /a HTTP/1.0\r\n\r\n").split("\r\n")[0]


def absolute_form_wins_over_host(place):
    text = _say(place, "GET http://HOST/abs?x HTTP/1.1\r\nHost: elsewhere.test\r\nConnection: close\r\n\r\n")
    assert text.endswith("GET /abs?x\n"), text


def a_request_byte_by_byte(place):
    host = place.host("odd")
    text = _say(place, *f"POST /digest HTTP/1.1\r\nHost: {host}\r\nTransfer-Encoding: chunked\r\nTrailer: X-T\r\nConnection: close\r\n\r\n3\r\nabc\r\n0\r\nX-T: 1\r\n\r\n", pause=0.002)
    assert "\r\n\r\n3 " in text and "x-t: 1" in text.lower(), text


def a_client_that_has_closed_its_half_is_answered(place):
    text = _say(place, "GET /slow?0.5 HTTP/1.1\r\nHost: HOST\r\n\r\n", half_close=True)
    return "answered" if text.endswith("at last\n") else f"not answered: {text[:100]!r}"


def blank_lines_before_a_request(place):
    assert _say(place, "\r\n\r\n" + CLOSE).endswith("GET /last\n")


def options_star_and_long_targets(place):
    assert "OPTIONS *" in _say(place, "OPTIONS * HTTP/1.1\r\nHost: HOST\r\nConnection: close\r\n\r\n")
    long = "/" + "a" * 15_000
    assert _say(place, f"GET {long} HTTP/1.1\r\nHost: HOST\r\nConnection: close\r\n\r\n").endswith(f"GET {long}\n")


def methods_that_nobody_knows(place):
    for method in ("PROPFIND", "M-SEARCH", "X", "DELETE"):
        assert _say(place, f"{method} /m HTTP/1.1\r\nHost: HOST\r\nConnection: close\r\n\r\n").endswith(f"{method} /m\n"), method


def a_body_with_get_and_delete(place):
    for method in ("GET", "DELETE"):
        text = _say(place, f"{method} /digest HTTP/1.1\r\nHost: HOST\r\nContent-Length: 5\r\nConnection: close\r\n\r\nhello")
        assert "\r\n\r\n5 2cf24d" in text, text


def interim_answers_between_pipelined_requests(place):
    text = _say(place, "GET /hints HTTP/1.1\r\nHost: HOST\r\n\r\n" * 3 + CLOSE)
    assert text.count("hinted\n") == 3 and text.endswith("GET /last\n"), text


def keep_alive_is_the_same_connection_to_the_dyno(place):
    connection = http.client.HTTPConnection("127.0.0.1", place.plain, timeout=20)
    for number in range(200):
        connection.request("GET", f"/{number}", headers={"Host": place.host("kept")})
        answer = connection.getresponse()
        assert answer.status == 200 and answer.read() == f"GET /{number}\n".encode()
    for path in ("/until-close", "/nothing", "/cut-head"):
        connection.request("GET", path, headers={"Host": place.host("kept")})
        answer = connection.getresponse()
        answer.read()
        if answer.will_close:
            connection.close()
        connection.request("POST", "/digest", b"abc", headers={"Host": place.host("kept")})
        answer = connection.getresponse()
        assert answer.status == 200 and answer.read().startswith(b"3 "), path
