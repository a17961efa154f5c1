"""Shared by the fuzz tests: a limit on the time of computing, and faults of single bytes."""

import signal
from contextlib import contextmanager

SECONDS = 5  # of computing, for one file


@contextmanager
def limited(seconds=SECONDS):
    "Ends what computes for longer by a TimeoutError; wfdb reads some files for ever."

    def stop(number, frame):
        raise TimeoutError

    before = signal.signal(signal.SIGVTALRM, stop)
    signal.setitimer(signal.ITIMER_VIRTUAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, before)


def flip(raw, at, rng):
    raw[at] ^= 1 << int(rng.integers(8))


def replace(raw, at, rng):
    raw[at] = int(rng.integers(256))
