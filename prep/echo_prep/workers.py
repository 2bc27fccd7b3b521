"""How many workers a command starts, and of which kind this machine allows."""

from __future__ import annotations

import multiprocessing
import sys


def worker_count(jobs: int) -> int:
    """Number of workers for ``--jobs``: 0 is one per processor core that this process may use."""
    from joblib import cpu_count

    return jobs or cpu_count()


def local_backend(workers: int) -> str:
    """Name of the joblib backend for workers on this machine.

    Processes share semaphores in /dev/shm, which some containers and sandboxes
    do not have; there the workers are threads, and a line on stderr says so.
    """
    if workers == 1:
        return "sequential"
    try:
        multiprocessing.get_context("spawn").Semaphore(1)
    except (ImportError, OSError) as error:
        print(
            f"this machine has no semaphores for processes ({error}), so the workers are threads; "
            "a writable /dev/shm allows processes",
            file=sys.stderr,
        )
        return "threading"
    return "loky"
