"""slowhttptest in its four ways, and a good client beside it."""

import http.client
import statistics
import subprocess
import time

SECONDS = 15
WAYS = {
    "slow heads": ["-H", "-i", "5", "-r", "200"],
    "slow bodies": ["-B", "-i", "5", "-r", "200", "-s", "100000"],
    "slow reads": ["-X", "-r", "200", "-w", "512", "-y", "1024", "-n", "5", "-z", "32", "-k", "3"],
    "ranges": ["-R", "-r", "200"],
}


def a_good_client_keeps_working(place):
    found = []
    for tls in (False, True):
        for way, words in WAYS.items():
            path = "/big" if way in ("slow reads", "ranges") else "/digest"
            # It takes host and port from the address alone, so the app is the one that has this host.
            url = f"http{'s' if tls else ''}://{'localhost' if tls else '127.0.0.1'}:{place.tls if tls else place.plain}{path}"
            command = ["slowhttptest", *words, "-c", "800", "-l", str(SECONDS), "-u", url, "-p", "3"]
            with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as attack:
                times = []
                while attack.poll() is None:
                    times.append(_one(place))
                    time.sleep(0.05)
            times.sort()
            found.append(f"{way}{' by TLS' if tls else ''}: {len(times)} requests, median {statistics.median(times):.1f} ms, p99 {times[int(len(times) * 0.99)]:.1f} ms, worst {times[-1]:.1f} ms")
    return "\n  " + "\n  ".join(found)


def _one(place):
    """Milliseconds of a good request over a connection of its own."""
    began = time.monotonic()
    connection = http.client.HTTPConnection("127.0.0.1", place.plain, timeout=10)
    connection.request("POST", "/digest", b"good", {"Host": place.host("kept")})
    answer = connection.getresponse()
    assert answer.status == 200 and answer.read().startswith(b"4 "), answer.status
    connection.close()
    return (time.monotonic() - began) * 1000
