"""Memory of a process that is the node's own: large blocks stay between two camera frames, free memory goes back.

glibc gives a block of a megabyte back to the kernel as soon as it is freed, and gets it again for the next frame page
by page, each page zeroed: three blocks of 6 MB a frame at 1920x1080. That was more than half of what the ROS side
costs (docs/log). And glibc gives each new thread a heap of its own: every configure, which loads its model in
a new thread, would leave its scraps in another one; with two heaps they are filled again. The price is that free
memory gathers between the blocks in use, some 100 MB over a thousand goals: a thread gives it back now and then (2 to
10 ms, without Python's lock). It also looks for cycles, which Python does seldom in a process with as many objects as
torch makes: an ended dialogue in a cycle keeps its image. What was there when a model was loaded is left out of the
search.

All of it is for the whole process, so only the node's `main` does it (`own_process`). A process that holds the node
beside others keeps its collector and its malloc as they are; then what a model held is collected and given back at
cleanup, and nothing else. Without glibc, or where the user has set its MALLOC_ variables, malloc is left alone.
"""

from __future__ import annotations

import ctypes
import gc
import os
import threading
import time
from typing import Optional

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD, M_ARENA_MAX = -1, -3, -8  # of malloc.h
HEAPS = 2
LARGEST_BLOCK = 32 << 20  # bytes, the most that glibc allows; an RGB image of 3840x2160 has 25 MB
KEPT = 128 << 20  # bytes of free memory at the end of the heap
TIDY_EVERY_S = 20.0

_own = False  # this process is the node's


def own_process() -> None:
    """Once, by a program that is the node and nothing else, before its first images and models."""
    global _own
    _own = True
    tidy_regularly(trim=keep_large_blocks())


def keep_large_blocks() -> bool:
    """For the whole process, before its first images. False where nothing was done."""
    library = _glibc()
    if library is None or any(name.startswith("MALLOC_") for name in os.environ):
        return False
    settings = ((M_MMAP_THRESHOLD, LARGEST_BLOCK), (M_TRIM_THRESHOLD, KEPT), (M_ARENA_MAX, HEAPS))
    return all([library.mallopt(name, value) for name, value in settings])  # noqa: C419  (each is tried)


def tidy_regularly(trim: bool, every_s: float = TIDY_EVERY_S) -> threading.Thread:
    """Starts a thread that frees cycles, and calls `give_back` if `trim`, for the rest of the process."""

    def work() -> None:
        while True:
            time.sleep(every_s)
            gc.collect()
            if trim:
                give_back()

    thread = threading.Thread(target=work, name="tidy", daemon=True)
    thread.start()
    return thread


def settle() -> None:
    """After a model was loaded: in a process of the node's own, what is there now is no longer searched for cycles."""
    if _own:
        gc.collect()
        gc.freeze()


def unsettle() -> None:
    """After a model was unloaded: frees the cycles that loading left, which would lie between the next model's
    blocks.
    """
    if _own:
        gc.unfreeze()
    gc.collect()
    give_back()


def give_back() -> None:
    """What is free goes back to the kernel, as after a model was unloaded."""
    library = _glibc()
    if library is not None:
        library.malloc_trim(ctypes.c_size_t(0))


def _glibc() -> Optional[ctypes.CDLL]:
    library = ctypes.CDLL(None)
    return library if hasattr(library, "mallopt") and hasattr(library, "malloc_trim") else None
