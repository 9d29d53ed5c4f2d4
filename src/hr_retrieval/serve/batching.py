"""Queries that come at the same time are answered together: what one batch takes, the next one gathers."""

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Generic, TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


class BusyError(Exception):
    """More is waiting than can be answered in time."""


class Batcher(Generic[Item, Result]):
    """Calls of one function, in one thread, with as many items as wait for it.

    No item waits for others: the first one goes at once.

    Args:
        answer: a result for each item, in their order; what it raises all of them get.
        most: items of one call.
        waiting: items that may wait.

    Attributes:
        thread: where all calls run, one at a time.
    """

    def __init__(self, answer: Callable[[Sequence[Item]], Sequence[Result]], most: int, waiting: int = 1024) -> None:
        self._answer, self._most, self._waiting = answer, most, waiting
        self._items: list[tuple[Item, asyncio.Future[Result]]] = []
        self._running: asyncio.Task[None] | None = None
        self.thread = ThreadPoolExecutor(1, "search")

    async def ask(self, item: Item) -> Result:
        """The result for one item.

        Raises:
            BusyError: too many are waiting.
        """
        if len(self._items) >= self._waiting:
            raise BusyError
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Result] = loop.create_future()
        self._items.append((item, future))
        if self._running is None or self._running.done():
            self._running = loop.create_task(self._run())
        return await future

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        while self._items:
            batch = [one for one in self._items[: self._most] if not one[1].cancelled()]
            del self._items[: self._most]
            if not batch:
                continue
            try:
                results = await loop.run_in_executor(self.thread, self._answer, [item for item, _ in batch])
            # Whatever it is, those who wait must hear of it.
            except Exception as error:
                for _, future in batch:
                    if not future.done():
                        future.set_exception(error)
                continue
            for (_, future), result in zip(batch, results, strict=True):
                if not future.done():
                    future.set_result(result)

    def close(self) -> None:
        """End the thread."""
        self.thread.shutdown(wait=False, cancel_futures=True)
