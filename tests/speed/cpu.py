"""CPU time of processes, all their threads together. The kernel tells it in ticks of 10 ms."""

import os

import processes

TICK_US = 1_000_000 // os.sysconf("SC_CLK_TCK")


def reading(roles):
    """Microseconds spent so far, by role."""
    return {role: sum(map(spent, pids)) for role, pids in roles.items()}


def spent(pid):
    try:
        with open(f"/proc/{pid}/stat", encoding="ascii", errors="replace") as file:
            # The name of the command, in brackets, may hold spaces.
            words = file.read().rpartition(")")[2].split()
    except FileNotFoundError:
        raise processes.Trouble(f"process {pid} has died") from None
    user, system = int(words[11]), int(words[12])
    return (user + system) * TICK_US


def between(before, after):
    return {role: after[role] - before[role] for role in before}


def idle():
    """Microseconds that the machine's processors were idle so far, together."""
    with open("/proc/stat", encoding="ascii") as file:
        words = file.readline().split()
    return (int(words[4]) + int(words[5])) * TICK_US
