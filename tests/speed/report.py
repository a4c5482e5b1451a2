"""The figures as a table of Markdown and as JSON."""

import json
import statistics

HEAD = ["client", "size", "field", "requests/s", "p50 ms", "p99 ms", "edge us", "blocks us", "followers us", "control us"]
RATIOS = ["edge + blocks", "followers", "n"]


def write(figures, path):
    """Prints the table, and writes everything to `path` if there is one."""
    print(text(figures))
    if path:
        path.write_text(json.dumps(figures, indent=1) + "\n")


def text(figures):
    machine = figures["machine"]
    lines = [
        f"{machine['processors']} x {machine['model']}, Linux {machine['kernel']}, a flush takes {machine['flush_ms']:.2f} ms;"
        f" {machine['haproxy']}; {machine['dynomesh']}",
        f"Access log off. Medians over rounds of {machine['seconds']} s each; ratios are to HAProxy's edge and blocks of the same round: median [min-max].",
        "",
        *rows([HEAD + RATIOS, *table(figures["slots"])]),
        "",
        *(f"Idle, CPU us per second: {name}: {roles(spent)}" for name, spent in figures["idle"].items()),
        *(f"Note: {note}" for note in figures["notes"]),
        *(f"FAULT: {fault}" for fault in figures["faults"]),
    ]
    return "\n".join(lines)


def roles(spent):
    return ", ".join(f"{role} {us:.0f}" for role, us in spent.items())


def rows(cells):
    bar = ["---"] * len(cells[0])
    return [f"| {' | '.join(line)} |" for line in [cells[0], bar, *cells[1:]]]


def table(slots):
    """One line for each client, size and field; fields under the same load beside each other."""
    loads = dict.fromkeys((slot["protocol"], slot["size"]) for slot in slots)
    fields = dict.fromkeys(slot["field"] for slot in slots)
    return [line((*load, field), slots) for load in loads for field in fields if any_of(slots, *load, field)]


def any_of(slots, *kind):
    return any((slot["protocol"], slot["size"], slot["field"]) == kind for slot in slots)


def line(kind, slots):
    protocol, size, field = kind
    same = [slot for slot in slots if (slot["protocol"], slot["size"]) == (protocol, size)]
    own = [slot for slot in same if slot["field"] == field]
    other = {turn(slot): total(slot, "edge", "leaders") for slot in same if slot["field"] == "HAProxy"}
    rate = statistics.median(slot["requests_per_second"] for slot in own)
    latencies = [f"{statistics.median(slot[key] for slot in own):.1f}" for key in ("p50_ms", "p99_ms")]
    ratios = [ratio(own, other, "edge", "leaders"), ratio(own, other, "followers")]
    return [protocol, size, field, f"{rate:.0f}", *latencies, *map(spent(own), ("edge", "leaders", "followers", "control")), *ratios, str(len(own))]


def spent(slots):
    """CPU per request of a role, as text; nothing where the field has no such role."""

    def of(role):
        if role not in slots[0]["cpu_us"]:
            return ""
        return f"{statistics.median(slot['cpu_us'][role] for slot in slots):.1f}"

    return of


def total(slot, *names):
    return sum(slot["cpu_us"].get(name, 0.0) for name in names)


def turn(slot):
    return slot["series"], slot["round"]


def ratio(slots, other, *names):
    """How much of HAProxy's CPU the roles take, round by round."""
    if names[0] not in slots[0]["cpu_us"]:
        return ""
    found = [total(slot, *names) / other[turn(slot)] for slot in slots if other.get(turn(slot))]
    return f"{statistics.median(found):.2f} [{min(found):.2f}-{max(found):.2f}]" if found else ""
