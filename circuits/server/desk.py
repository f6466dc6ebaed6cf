"""Where blocking work is done: a few threads, a short queue, a time after which nobody waits any more."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from circuits.server.refusals import Refused

T = TypeVar("T")


class Desk:
    """Threads that compute, so that the server can answer others meanwhile.

    A thread cannot be stopped from outside: work that is given up keeps its place until it ends, so that
    never more than `threads` run at once.

    Args:
        threads: how many.
        waiting: requests that wait for one at most.
    """

    def __init__(self, threads: int, waiting: int) -> None:
        self.threads = threads
        self.waiting = waiting
        self._pool = ThreadPoolExecutor(threads, "circuits-server")
        self._lock = threading.Lock()
        self._under_way = 0

    @property
    def busy(self) -> int:
        """Gives how many requests are computed or wait."""
        return self._under_way

    async def do(self, work: Callable[[], T], seconds: float) -> T:
        """Gives the result of `work`, done in a thread.

        Args:
            work: what is to be done; it should end by itself in about as many seconds.
            seconds: until it is given up.

        Raises:
            Refused: too many wait, or it took too long.
        """
        with self._lock:
            if self._under_way >= self.threads + self.waiting:
                raise Refused(
                    503, f"{self._under_way} requests wait already: try again in a moment.", retry=5
                )
            self._under_way += 1
        try:
            future = self._pool.submit(work)
        except RuntimeError:
            self._leave()
            raise Refused(503, "The server is stopping: start it again with `circuits serve`.") from None
        future.add_done_callback(lambda _: self._leave())
        try:
            return await asyncio.wait_for(asyncio.wrap_future(future), seconds)
        except TimeoutError:
            if future.done() and not future.cancelled():
                raise
            raise Refused(
                504,
                f"This took longer than {seconds:g} seconds and was given up: ask for less, or on the command"
                " line.",
            ) from None

    def close(self) -> None:
        """Lets nothing more begin; what runs already goes on to its end."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _leave(self) -> None:
        with self._lock:
            self._under_way -= 1
