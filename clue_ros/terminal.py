"""What a program writes can be written, whatever the terminal's encoding is."""

from __future__ import annotations

import sys


def any_encoding() -> None:
    """From now on stdout writes "?" for a character that its encoding lacks (PYTHONIOENCODING=ascii, LC_ALL=C on some
    machines), where it would raise UnicodeEncodeError. Call it at the begin of a program."""
    for stream in (sys.stdout, sys.stderr):
        reconfigure = getattr(stream, "reconfigure", None)  # a test or a notebook may have put in something else
        if reconfigure is not None and stream.errors == "strict":
            reconfigure(errors="replace")
