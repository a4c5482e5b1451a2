"""What processes hold in memory."""

import pathlib
import re

import processes

FIELDS = {"VmRSS": "rss", "VmHWM": "peak", "RssAnon": "anon"}


def of(pid):
    """Bytes: resident now, resident at most since `forget`, and of these what is no file's."""
    found = re.findall(r"^(\w+):\s+(\d+) kB$", text(pid, "status"), re.MULTILINE)
    told = {FIELDS[name]: int(size) * 1024 for name, size in found if name in FIELDS}
    pss = re.search(r"^Pss:\s+(\d+) kB$", text(pid, "smaps_rollup"), re.MULTILINE)
    return told | {"pss": int(pss[1]) * 1024}


def forget(pid):
    """The peak begins anew."""
    pathlib.Path(f"/proc/{pid}/clear_refs").write_text("5")


def text(pid, name):
    try:
        return pathlib.Path(f"/proc/{pid}/{name}").read_text()
    except (FileNotFoundError, ProcessLookupError):
        raise processes.Trouble(f"process {pid} has died") from None


def descriptors(pid):
    """How many descriptors it may open, and how many it could if it asked for them."""
    soft, hard = re.search(r"^Max open files\s+(\S+)\s+(\S+)", text(pid, "limits"), re.MULTILINE).groups()
    return soft, hard


def sockets():
    """Bytes that the kernel holds for all TCP sockets of the machine: nobody's resident memory."""
    told = pathlib.Path("/proc/net/sockstat").read_text()
    return int(re.search(r"^TCP:.* mem (\d+)$", told, re.MULTILINE)[1]) * 4096
