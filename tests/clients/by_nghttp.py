"""nghttp and h2load of nghttp2."""

import re
import subprocess

PARALLEL = 20


def _url(place, tls, path):
    host, port = place.host("odd"), place.tls if tls else place.plain
    return f"{'https' if tls else 'http'}://localhost:{port}{path}", ["-H", f":authority: {host}"]


def _nghttp(place, tls, path, *more):
    url, words = _url(place, tls, path)
    done = subprocess.run(["nghttp", "-v", *words, *map(str, more), url], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout


def streams_share_a_connection(place):
    for tls in (False, True):
        url, words = _url(place, tls, "/chunks")
        done = subprocess.run(["nghttp", "-ns", "-m", str(PARALLEL), *words, url], capture_output=True, text=True, timeout=60)
        found = re.findall(r"\s200\s", done.stdout)
        assert len(found) == PARALLEL, done.stdout


def trailers_and_padding(place):
    for tls in (False, True):
        text = _nghttp(place, tls, "/chunks", "-H", "te: trailers", "--padding", 100)
        assert "x-sum: 15" in text.lower(), text
        source = place.directory / "padded"
        source.write_bytes(b"y" * 300_000)
        text = _nghttp(place, tls, "/digest", "--padding", 100, "-d", source, "--trailer", "x-sum: 9")
        assert "300000 " in text, text[-2000:]


def an_http1_request_asks_for_h2c_and_is_answered(place):
    """`Upgrade: h2c` is ignored, which nghttp takes for a failure: what counts is that an answer came."""
    url, words = _url(place, False, "/a")
    done = subprocess.run(["nghttp", "-v", "-u", "-H", f"Host: {place.host('odd')}", url], capture_output=True, text=True, timeout=20)
    assert "200" in done.stdout + done.stderr, done.stdout + done.stderr


def a_small_window_is_kept(place):
    for tls in (False, True):
        text = _nghttp(place, tls, "/big", "-w", 14, "-W", 16)
        assert text.count("END_STREAM") >= 1 and "RST_STREAM" not in text


def h2load_counts_no_error(place):
    found = []
    for tls in (False, True):
        for path, number in (("/a", 2000), ("/big", 20)):
            url, words = _url(place, tls, path)
            done = subprocess.run(["h2load", "-n", str(number), "-c", "4", "-m", "5", *words, url], capture_output=True, text=True, timeout=100)
            counted = re.search(r"(\d+) succeeded, (\d+) failed, (\d+) errored, (\d+) timeout", done.stdout)
            statuses = re.search(r"status codes: (\d+) 2xx", done.stdout)
            assert counted and counted.groups() == (str(number), "0", "0", "0") and statuses[1] == str(number), done.stdout
            found.append(re.search(r"finished in [^,]+, ([\d.]+) req/s", done.stdout)[1])
    return f"requests/s {found}"


def h2load_speaks_http1(place):
    target = [f"--connect-to=127.0.0.1:{place.plain}", f"http://{place.host('odd')}/a"]
    done = subprocess.run(["h2load", "--h1", "-n", "1000", "-c", "4", *target], capture_output=True, text=True, timeout=100)
    assert re.search(r"status codes: 1000 2xx", done.stdout), done.stdout
