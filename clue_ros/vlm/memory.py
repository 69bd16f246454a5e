"""Running out of memory as a typed error: the work in hand is lost, the model stays usable."""

from __future__ import annotations

import contextlib
import gc
from typing import Iterator

import torch

from clue_ros.types import OutOfMemoryError

# torch raises a plain RuntimeError when the host's allocator fails.
_HOST_SIGNS = ("not enough memory", "can't allocate memory", "cannot allocate memory", "defaultcpuallocator")


@contextlib.contextmanager
def memory_guard(doing: str) -> Iterator[None]:
    """Translate a failed allocation of device or host memory into OutOfMemoryError and give cached blocks back."""
    try:
        yield
    except (torch.OutOfMemoryError, MemoryError) as error:
        reason = error
    except RuntimeError as error:
        if not any(sign in str(error).lower() for sign in _HOST_SIGNS):
            raise
        reason = error
    else:
        return
    first_line = (str(reason) or type(reason).__name__).splitlines()[0]
    del reason  # it holds the frames whose tensors are to be freed
    release()
    raise OutOfMemoryError(
        f"memory ran out while {doing}: {first_line}; free some, or load the model with "
        "quantization int8 or int4, in bfloat16, or take a smaller one"
    )


def release() -> None:
    """Give unused memory back to the device."""
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
