"""curl: HTTP/1.1 and HTTP/2, plain and by TLS."""

import hashlib
import subprocess

SPOKEN = {"h1": ["--http1.1"], "h2": ["--http2-prior-knowledge"], "tls-h1": ["--http1.1"], "tls-h2": ["--http2"]}
# curl 7.88 (Debian 12) cannot use a connection of HTTP/2 by prior knowledge twice, nor read an early answer there; with any server.
SOUND = ["h1", "tls-h1", "tls-h2"]
BIG = 50_000_000
SLOWEST = 60


def _curl(place, spoken, path, *more, app="odd", ok=True):
    """What curl wrote, and how it ended."""
    tls = spoken.startswith("tls")
    port = place.tls if tls else place.plain
    host = place.host(app)
    target = ["--connect-to", f"{host}:{port}:127.0.0.1:{port}", *(["-k"] if tls else []), f"{'https' if tls else 'http'}://{host}:{port}{path}"]
    done = subprocess.run(["curl", "-sS", "--max-time", str(SLOWEST), *SPOKEN[spoken], *map(str, more), *target], capture_output=True)
    if ok:
        assert done.returncode == 0, f"{spoken} {path}: {done.returncode} {done.stderr.decode()}"
    return done


def _all(place, path, *more, app="odd", ok=True, spoken=tuple(SPOKEN)):
    return {one: _curl(place, one, path, *more, app=app, ok=ok) for one in spoken}


def get_head_and_statuses_without_a_body(place):
    for spoken, done in _all(place, "/a?b=c").items():
        assert done.stdout == b"GET /a?b=c\n", (spoken, done.stdout)
    for spoken, done in _all(place, "/a", "--head").items():
        head = done.stdout.decode().lower()
        assert "200" in head and "content-length: 8" in head, (spoken, head)
    for path, status in [("/no-content", "204"), ("/not-modified", "304")]:
        for spoken, done in _all(place, path, "-i").items():
            head, _, body = done.stdout.partition(b"\r\n\r\n")
            assert status in head.decode() and body == b"", (spoken, done.stdout)
            assert status != "204" or b"content-length" not in head.lower(), head


def a_certificate_of_our_own_is_believed(place):
    done = subprocess.run(["curl", "-sS", "--cacert", place.ca, "-H", f"Host: {place.host('odd')}", "--http1.1", f"https://localhost:{place.tls}/x"], capture_output=True)
    assert done.stdout == b"GET /x\n", done


def uploads_come_whole(place):
    source = place.directory / "upload"
    source.write_bytes(b"0123456789abcde\n" * (BIG // 16))
    digest = hashlib.sha256(source.read_bytes()).hexdigest()
    for method in ("PUT", "POST"):
        for more in ([], ["-H", "Expect:"], ["-H", "Transfer-Encoding: chunked"]):
            for spoken in SPOKEN:
                if "h2" in spoken and "Transfer-Encoding: chunked" in more:
                    continue
                done = _curl(place, spoken, "/digest", "-X", method, *more, "--data-binary" if method == "POST" else "-T", f"@{source}" if method == "POST" else source)
                assert done.stdout.decode().startswith(f"{BIG} {digest} "), (spoken, method, more, done.stdout)


def expect_is_answered_by_the_dyno(place):
    source = place.directory / "expected"
    source.write_bytes(b"x" * 3_000_000)
    done = _curl(place, "h1", "/digest", "-v", "-T", source, "--expect100-timeout", "20")
    words = done.stderr.decode()
    assert "HTTP/1.1 100 Continue" in words and done.stdout.startswith(b"3000000 "), words
    refused = _curl(place, "h1", "/refuse", "-v", "-T", source, "--expect100-timeout", "20")
    words = refused.stderr.decode()
    assert "413" in words and "100 Continue" not in words, words


def an_early_answer_comes_through_while_the_upload_runs(place):
    source = place.directory / "early"
    source.write_bytes(b"x" * 20_000_000)
    found = {}
    for spoken, done in _all(place, "/refuse", "-H", "Expect:", "-o", "/dev/null", "-w", "%{http_code} %{time_total}", "-T", source, ok=False, spoken=SOUND).items():
        assert done.stdout.startswith(b"413"), (spoken, done.returncode, done.stdout, done.stderr)
        found[spoken] = done.returncode
    return f"curl ended with {found}"


def downloads_come_whole_side_by_side(place):
    for spoken in SOUND:
        done = _curl(place, spoken, "/big?[1-4]", "-Z", "-o", "/dev/null", "-w", "%{http_code} %{size_download}\\n")
        assert done.stdout.decode().split() == ["200", str(BIG)] * 4, (spoken, done.stdout)


def trailers_arrive_where_they_are_asked_for(place):
    for spoken, done in _all(place, "/chunks", "-i", "-H", "TE: trailers").items():
        text = done.stdout.decode().lower()
        assert "hellohellohello" in text and "x-sum: 15" in text, (spoken, text)


def what_breaks_off_looks_broken(place):
    codes = {}
    for path in ("/cut-length", "/cut-chunks"):
        for spoken, done in _all(place, path, ok=False).items():
            assert done.returncode in (18, 56, 92), (spoken, path, done.returncode, done.stderr)
            codes[path, spoken] = done.returncode
    for path in ("/cut-head", "/nothing"):
        for spoken, done in _all(place, path, "-o", "/dev/null", "-w", "%{http_code}").items():
            assert done.stdout == b"502", (spoken, path, done.stdout)
    return f"curl ended with {sorted(set(codes.values()))}"


def a_body_that_ends_by_closing_is_whole(place):
    for spoken, done in _all(place, "/until-close").items():
        assert done.stdout == b"until close\n", (spoken, done.stdout)


def early_hints_do_not_disturb(place):
    for app in ("odd", "kept"):
        for spoken, done in _all(place, "/hints", "-i", app=app).items():
            assert done.stdout.endswith(b"hinted\n") and b" 200" in done.stdout, (spoken, done.stdout)
    return "103 reached the client" if b" 103" in done.stdout else "103 is consumed"


def http_1_0_is_answered(place):
    for path, body in [("/a", b"GET /a\n"), ("/chunks", b"hello" * 3), ("/until-close", b"until close\n")]:
        done = _curl(place, "h1", path, "--http1.0")
        assert done.stdout == body, (path, done.stdout)


def ranges_and_conditions_reach_the_dyno(place):
    for spoken, done in _all(place, "/heads", "-r", "0-99", "-H", 'If-None-Match: "x"', "-b", "a=1; b=2", "--compressed").items():
        text = done.stdout.decode().lower()
        for line in ("range: bytes=0-99", 'if-none-match: "x"', "cookie: a=1; b=2", "accept-encoding: deflate, gzip"):
            assert line in text, (spoken, line, text)


def events_stream_as_they_come(place):
    """Each event is seen well before the next."""
    import time

    worst = 0
    for spoken in SPOKEN:
        tls = spoken.startswith("tls")
        port, host = (place.tls if tls else place.plain), place.host("odd")
        words = ["curl", "-sSN", "--max-time", "20", *SPOKEN[spoken], "-k", "--connect-to", f"{host}:{port}:127.0.0.1:{port}", f"{'https' if tls else 'http'}://{host}:{port}/events"]
        with subprocess.Popen(words, stdout=subprocess.PIPE) as running:
            late = [time.time() - float(line.split()[1]) for line in running.stdout if line.startswith(b"data:")]
        assert len(late) == 5, (spoken, late)
        worst = max(worst, *late)
    assert worst < 2, worst
    return f"at most {worst * 1000:.0f} ms late"


def a_connection_is_used_again(place):
    for spoken in SOUND:
        done = _curl(place, spoken, "/x?[1-5]", "-o", "/dev/null", "-w", "%{num_connects} ")
        assert done.stdout.split() == [b"1", b"0", b"0", b"0", b"0"], (spoken, done.stdout)
