"""How many descriptors a process may open."""

import resource

# What a login shell gives its children.
COMMON = 1024


def raise_limit():
    """Up to what the system allows this process."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def lower_limit():
    """Down to what is common: who is started from here has to raise it himself."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(soft, COMMON), hard))


def allowed():
    return resource.getrlimit(resource.RLIMIT_NOFILE)[1]
