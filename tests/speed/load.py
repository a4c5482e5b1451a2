"""Load and its figures: wrk for HTTP/1.1 and h2load for HTTP/2, each of one thread and with 64 requests in flight."""

import dataclasses
import http.client
import json
import pathlib
import re
import subprocess

import processes

TOOLS = {"h1": "wrk", "h2": "h2load"}
IN_FLIGHT = 64
H2_CONNECTIONS = 8
# Head of a response, and frames of HTTP/2, beyond the file itself.
HEAD_MAX = 2048


@dataclasses.dataclass
class Figures:
    requests: int
    seconds: float
    p50_ms: float
    p99_ms: float
    errors: int
    fault: str = ""


def run(field, protocol, name, size, seconds, directory):
    """Loads `field` with requests for the file `name`."""
    one = {"h1": wrk, "h2": h2load}[protocol]
    return one(field, name, size, seconds, directory)


def wrk(field, name, size, seconds, _):
    script = pathlib.Path(__file__).with_name("wrk.lua")
    url = f"http://127.0.0.1:{field.ports['h1']}/{name}"
    command = ["wrk", "-t1", f"-c{IN_FLIGHT}", f"-d{seconds}s", "--timeout", "10s", "-H", f"Host: {field.host}", "-s", script, url]
    told = re.search("^FIGURES (.*)$", output(command), re.MULTILINE)
    if not told:
        raise processes.Trouble("wrk told no figures")
    told = json.loads(told[1])
    figures = Figures(told["requests"], told["us"] / 1e6, told["p50_us"] / 1e3, told["p99_us"] / 1e3, told["errors"])
    # Of what was under way at the end wrk counts the bytes and not the responses.
    least, most = figures.requests * size, figures.requests * (size + HEAD_MAX) + IN_FLIGHT * (size + HEAD_MAX)
    return judged(figures, told["bytes"], least, most)


def h2load(field, name, size, seconds, directory):
    log = directory / "h2load.log"
    log.unlink(missing_ok=True)
    sizes = [f"-c{H2_CONNECTIONS}", f"-m{IN_FLIGHT // H2_CONNECTIONS}", "-t1", "-D", seconds]
    target = [f"--connect-to=127.0.0.1:{field.ports['h2']}", f"http://{field.host}/{name}"]
    text = output(["h2load", *sizes, f"--log-file={log}", *target])
    (failed,) = found(r"(\d+) failed", text)
    (data,) = found(r"\((\d+)\) data", text)
    rows = [line.split("\t") for line in log.read_text().splitlines()]
    if not rows:
        raise processes.Trouble(f"no answer over HTTP/2\n{text}")
    times = sorted(int(row[2]) for row in rows)
    wrong = max(failed, sum(row[1] != "200" for row in rows))
    figures = Figures(len(rows), float(seconds), percentile(times, 50) / 1e3, percentile(times, 99) / 1e3, wrong)
    return judged(figures, data, figures.requests * size, (figures.requests + IN_FLIGHT) * size)


def judged(figures, told, least, most):
    """Says what is wrong with the responses as a whole."""
    if figures.errors:
        figures.fault = f"{figures.errors} errors in {figures.requests} requests"
    elif not least <= told <= most:
        figures.fault = f"{told} bytes in {figures.requests} responses, expected {least} to {most}"
    return figures


def output(command):
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True)
    if done.returncode != 0:
        raise processes.Trouble(f"{' '.join(map(str, command))}: {done.stdout}{done.stderr}".strip())
    return done.stdout


def found(pattern, text):
    match = re.search(pattern, text)
    if not match:
        raise processes.Trouble(f"h2load told no figures of the form {pattern!r}\n{text}")
    return map(int, match.groups())


def percentile(ordered, percent):
    return ordered[min(len(ordered) - 1, len(ordered) * percent // 100)]


def answers(field, name, size):
    """Whether one request over HTTP/1.1 gets exactly the file."""
    connection = http.client.HTTPConnection("127.0.0.1", field.ports["h1"], timeout=10)
    try:
        connection.request("GET", f"/{name}", headers={"Host": field.host})
        response = connection.getresponse()
        return response.status == 200 and response.read() == b"x" * size
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def speaks_h2(field, name):
    target = [f"--connect-to=127.0.0.1:{field.ports['h2']}", f"http://{field.host}/{name}"]
    done = subprocess.run(["h2load", "-n1", "-c1", *target], capture_output=True, text=True)
    return "1 succeeded" in done.stdout
