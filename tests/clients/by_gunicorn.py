"""gunicorn as the dyno: with connections that are kept, and one request per connection."""

import concurrent.futures
import http.client

MANY = 300


def _ask(place, app, method, path, body=None, **headers):
    connection = http.client.HTTPConnection("127.0.0.1", place.plain, timeout=30)
    connection.request(method, path, body, {"Host": place.host(app)} | headers)
    answer = connection.getresponse()
    text = answer.read()
    connection.close()
    assert answer.status == 200, (answer.status, answer.getheader("x-dynomesh-error"), text)
    return text.decode()


def connections_are_kept_where_the_app_says_so(place):
    kept = {_ask(place, "wsgi", "GET", "/").split()[2] for _ in range(MANY)}
    fresh = {_ask(place, "wsgi-sync", "GET", "/").split()[2] for _ in range(MANY)}
    assert len(kept) <= MANY // 10 and len(fresh) == MANY, (len(kept), len(fresh))
    return f"{len(kept)} connections for {MANY} requests, {len(fresh)} without"


def bodies_of_every_kind(place):
    for app in ("wsgi", "wsgi-sync"):
        for method in ("POST", "PUT", "PATCH"):
            assert _ask(place, app, method, "/", bytes(3_000_000)).startswith(f"{method} 3000000 ")
            # http.client sends chunks where it does not know the length.
            assert _ask(place, app, method, "/", iter([b"a" * 1000] * 50)).startswith(f"{method} 50000 ")
        assert _ask(place, app, "GET", "/stream") == "line\n" * 1000


def many_at_once_queue_and_none_fails(place):
    for app in ("wsgi", "wsgi-sync"):
        with concurrent.futures.ThreadPoolExecutor(4) as pool:
            answers = list(pool.map(lambda number: _ask(place, app, ("GET", "POST")[number % 2], "/", (None, b"abc")[number % 2]), range(MANY)))
        assert len(answers) == MANY
