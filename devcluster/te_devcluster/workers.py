"""Worker threads that never outlive their block: an error or an interrupt ends what they run, then they are joined."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from types import TracebackType
from typing import Any, ParamSpec, TypeVar

from te_devcluster.commands import GRACE, Scope, enter_scope, uninterrupted

P = ParamSpec("P")
T = TypeVar("T")
#: Seconds after which the main thread looks whether a signal came: one that arrives just before it begins to wait, or
#: that another thread of the process received, ends no wait.
_LOOK_SECONDS = 0.5


def result_of(future: Future[T]) -> T:
    """What a thread made of it, raised or returned; an interrupt is heard while it is waited for."""
    wait_heedfully([future])
    return future.result()


def wait_heedfully(futures: Sequence[Future[Any]]) -> None:
    """Waits for all of them; an interrupt is heard meanwhile."""
    while wait(futures, _LOOK_SECONDS).not_done:
        pass


class Workers:
    """A pool of `size` threads as a context manager.

    Left in peace it waits for all that was submitted; what they raised is in their futures. Left by an error or an
    interrupt it interrupts the programs that its threads run, by force after `GRACE` seconds; `run`, `wait_until` and
    waiting for a lock raise StoppedError in the threads from then on. Once the block has ended, in whatever way, none
    of its threads runs any more, so what they started can be cleaned away.
    """

    def __init__(self, size: int) -> None:
        self._scope = Scope()
        self._pool = ThreadPoolExecutor(size, initializer=enter_scope, initargs=(self._scope,))
        self._futures: list[Future[Any]] = []

    def __enter__(self) -> Workers:
        return self

    def submit(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """Has a thread call the function."""
        future = self._pool.submit(function, *args, **kwargs)
        self._futures.append(future)
        return future

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        whole = False
        try:
            if kind is None:
                wait_heedfully(self._futures)
                whole = True
        finally:
            with uninterrupted("ending what runs; a moment"):
                if not whole:
                    self._end()
                self._pool.shutdown(wait=True, cancel_futures=not whole)

    def _end(self) -> None:
        self._scope.stop()
        for future in self._futures:
            future.cancel()
        if wait(self._futures, GRACE).not_done:
            self._scope.kill()
