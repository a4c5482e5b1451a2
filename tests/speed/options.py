"""What to measure, from the command line."""

import argparse
import pathlib

ROOT = pathlib.Path(__file__).resolve().parents[2]
UNITS = {"": 1, "k": 1024, "m": 1024 * 1024}


def parse():
    parser = argparse.ArgumentParser(
        description="CPU per request, requests per second and latency of HAProxy and dynomesh, two tiers each, in interleaved rounds.",
        epilog="Example: tests/speed/run --rounds 5 --seconds 4 --output speed.json",
    )
    parser.add_argument("--rounds", type=count, default=5, metavar="N", help="rounds over all fields; default 5")
    parser.add_argument("--seconds", type=count, default=4, metavar="S", help="length of one load; default 4")
    parser.add_argument("--sizes", type=sizes, default="1k,100k", help="sizes of the responses; default 1k,100k")
    parser.add_argument("--protocols", type=words("h1", "h2"), default="h1,h2", help="what clients speak: h1, h2; default both")
    parser.add_argument("--slots", type=words("committed", "leased"), default="committed,leased", help="kinds of mesh; default both")
    parser.add_argument("--binary", type=binary, default=str(ROOT / "target/release/dynomesh"), metavar="PATH", help="default: the release build")
    parser.add_argument("--directory", type=folder, metavar="DIR", help="where the logs of replicas are flushed to; default: the system's for temporary files")
    parser.add_argument("--output", "-o", type=pathlib.Path, metavar="FILE", help="write all figures as JSON, each round's too")
    return parser.parse_args()


def count(text):
    if not text.isdigit() or int(text) == 0:
        raise argparse.ArgumentTypeError(f"{text} is not a whole number above 0")
    return int(text)


def words(*known):
    """A list of some of `known`, separated by commas."""

    def read(text):
        unknown = [word for word in text.split(",") if word not in known]
        if unknown:
            raise argparse.ArgumentTypeError(f"{unknown[0]!r} is none of {', '.join(known)}")
        return text.split(",")

    return read


def sizes(text):
    """Bytes by name: `1k` and `100k` name 1024 and 102400 bytes."""
    return {word: size(word) for word in text.lower().split(",")}


def size(word):
    digits, unit = word.rstrip("km"), word.lstrip("0123456789")
    if not digits.isdigit() or unit not in UNITS or int(digits) == 0:
        raise argparse.ArgumentTypeError(f"{word!r} is not a size such as 500, 1k or 2m")
    return int(digits) * UNITS[unit]


def folder(text):
    path = pathlib.Path(text).resolve()
    if not path.is_dir():
        raise argparse.ArgumentTypeError(f"there is no directory {path}")
    return path


def binary(text):
    path = pathlib.Path(text).resolve()
    if not path.is_file():
        raise argparse.ArgumentTypeError(f"there is no {path}; build one: cargo build --release -p dynomesh")
    return path
