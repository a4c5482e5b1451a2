"""The rounds: every field in turn under the same load, again and again, so that what the machine does meanwhile hits all alike."""

import os
import platform
import statistics
import subprocess
import sys
import time

import cpu
import load
import processes

WARM_SECONDS = 1
IDLE_SECONDS = 3
FLUSHES = 51


class Figures:
    """What was measured, as the report and the JSON file have it."""

    def __init__(self, wanted, directory):
        self.wanted = wanted
        self.all = {"machine": machine(wanted, directory), "notes": [], "idle": {}, "slots": [], "faults": []}

    def add(self, series, fields, directory):
        """Measures all rounds over `fields`, one of which is HAProxy."""
        sizes = self.wanted.sizes.items()
        for field in fields:
            self.note(*field.notes)
            for name, size in sizes:
                expect_answer(field, name, size)
        protocols = self.spoken(fields)
        self.all["idle"] |= idle(fields)
        for number in range(1, self.wanted.rounds + 1):
            for protocol in protocols:
                for name, size in sizes:
                    for field in fields:
                        self.slot({"series": series, "round": number, "protocol": protocol, "size": name}, field, size, directory)

    def slot(self, what, field, size, directory):
        """One field under load once: the figures of the load, and CPU per request by role."""
        load.run(field, what["protocol"], what["size"], size, WARM_SECONDS, directory)
        roles, before, machine_before = field.roles(), cpu.reading(field.roles()), cpu.idle()
        figures = load.run(field, what["protocol"], what["size"], size, self.wanted.seconds, directory)
        spent, machine_idle = cpu.between(before, cpu.reading(roles)), cpu.idle() - machine_before
        expect_answer(field, what["size"], size)
        row = what | {
            "field": field.name,
            "requests": figures.requests,
            "requests_per_second": figures.requests / figures.seconds,
            "p50_ms": figures.p50_ms,
            "p99_ms": figures.p99_ms,
            "errors": figures.errors,
            "cpu_us": {role: us / max(1, figures.requests) for role, us in spent.items()},
            # How much of one processor nobody used.
            "machine_idle": machine_idle / 1e6 / figures.seconds,
            # Then leaders and followers are mixed up in this slot.
            "leaders_changed": field.roles() != roles,
        }
        self.all["slots"].append(row)
        if figures.fault:
            self.all["faults"].append(f"{told(row)}: {figures.fault}")
        print(progress(row), file=sys.stderr)

    def spoken(self, fields):
        """Protocols that every field speaks; the others are noted."""
        name = next(iter(self.wanted.sizes))
        mute = [field.name for field in fields if "h2" in self.wanted.protocols and not load.speaks_h2(field, name)]
        spoken = [protocol for protocol in self.wanted.protocols if protocol != "h2" or not mute]
        if mute:
            self.note(f"HTTP/2 was not measured: not spoken by {', '.join(mute)}")
        if not spoken:
            raise processes.Trouble(self.all["notes"][-1])
        return spoken

    def note(self, *notes):
        self.all["notes"] += [note for note in notes if note not in self.all["notes"]]


def expect_answer(field, name, size):
    if not load.answers(field, name, size):
        raise processes.Trouble(f"{field.name} does not answer GET /{name} with its {size} bytes")


def idle(fields):
    """Microseconds per second that each role spends without any load."""
    roles = [field.roles() for field in fields]
    before = [cpu.reading(one) for one in roles]
    start = time.monotonic()
    time.sleep(IDLE_SECONDS)
    passed = time.monotonic() - start
    spent = [cpu.between(old, cpu.reading(one)) for old, one in zip(before, roles)]
    return {field.name: {role: us / passed for role, us in one.items()} for field, one in zip(fields, spent)}


def told(row):
    return f"round {row['round']} {row['protocol']} {row['size']} {row['field']}"


def progress(row):
    spent = " ".join(f"{role} {us:.1f}" for role, us in row["cpu_us"].items())
    changed = ", leaders changed" if row["leaders_changed"] else ""
    errors = f", {row['errors']} ERRORS" if row["errors"] else ""
    return f"{told(row)}: {row['requests_per_second']:.0f}/s, p99 {row['p99_ms']:.1f} ms, us {spent}{changed}{errors}"


def machine(wanted, directory):
    """What the figures were taken on and with."""
    with open("/proc/cpuinfo", encoding="utf-8") as file:
        models = [line.partition(":")[2].strip() for line in file if line.startswith("model name")]
    return {
        "processors": len(models),
        "model": models[0] if models else "unknown",
        "kernel": platform.release(),
        "haproxy": first_line(["haproxy", "-v"]),
        "dynomesh": first_line([wanted.binary, "--version"]),
        "seconds": wanted.seconds,
        "flush_ms": flush(directory / "flushed"),
    }


def flush(path):
    """Median time in milliseconds until a few bytes are on disk, which every commit waits for."""
    times = []
    with open(path, "wb", buffering=0) as file:
        for _ in range(FLUSHES):
            file.write(bytes(200))
            start = time.monotonic()
            os.fdatasync(file.fileno())
            times.append(time.monotonic() - start)
    return statistics.median(times) * 1000


def first_line(command):
    done = subprocess.run(command, capture_output=True, text=True)
    return (done.stdout or done.stderr).partition("\n")[0]
