"""A line between robots and their server that is cut now and then, as bad radio does it."""

from __future__ import annotations

import asyncio
import contextlib
import random
import threading
from typing import Any
from urllib.parse import urlsplit

PIECE = 65536


class CutLine:
    """Listens on a port of its own and passes bytes on; use as a context manager.

    share: of the exchanges, in [0, 1], in which both sides lose their connection, half of them before the answer begins
    and half within it.
    """

    def __init__(self, url: str, share: float) -> None:
        parts = urlsplit(url)
        self._to, self._share = (parts.hostname, parts.port), share
        self._chance = random.Random(0)
        self.exchanges = self.cut = 0
        self.url = ""
        self._ready = threading.Event()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, name="cut-line", daemon=True)

    def __enter__(self) -> "CutLine":
        self._thread.start()
        self._ready.wait(60.0)
        return self

    def __exit__(self, *_: Any) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10.0)

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        server = self._loop.run_until_complete(asyncio.start_server(self._robot, "127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        self._ready.set()
        self._loop.run_forever()
        server.close()
        for task in asyncio.all_tasks(self._loop):
            task.cancel()
        self._loop.run_until_complete(asyncio.sleep(0))

    async def _robot(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            there, back = await asyncio.open_connection(*self._to)
        except OSError:  # the server is away: so is the line
            writer.transport.abort()
            return
        both = [asyncio.ensure_future(self._pass(reader, back, False)),
                asyncio.ensure_future(self._pass(there, writer, True))]  # fmt: skip
        with contextlib.suppress(OSError, asyncio.CancelledError):
            await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
        for task in both:
            task.cancel()
        writer.transport.abort()
        back.transport.abort()

    async def _pass(self, source: asyncio.StreamReader, to: asyncio.StreamWriter, answers: bool) -> None:
        with contextlib.suppress(OSError):
            while data := await source.read(PIECE):
                if answers and data.startswith(b"HTTP/1.1"):
                    self.exchanges += 1
                    if self._chance.random() < self._share:
                        self.cut += 1
                        if self._chance.random() < 0.5:
                            to.write(data[: len(data) // 2])
                            await to.drain()
                        return
                to.write(data)
                await to.drain()
