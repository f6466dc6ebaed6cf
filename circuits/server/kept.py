"""A few things kept in memory: graphs, documents, a model."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from concurrent.futures import Future
from typing import Any, Generic, TypeVar

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class Kept(Generic[K, V]):
    """The last few values by key: each is made once, though several threads ask for it at once.

    Args:
        most: values kept; the longest unused goes first.

    Example:
        >>> kept = Kept(1)
        >>> kept.get("a", lambda: 1), kept.get("a", lambda: 2), kept.get("b", lambda: 3)
        (1, 1, 3)
        >>> kept.get("a", lambda: 4)
        4
    """

    def __init__(self, most: int) -> None:
        self.most = most
        self._values: OrderedDict[K, Future[V]] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, key: K, make: Callable[[], V]) -> V:
        """Gives the value of a key, made now unless it is kept; what fails is not kept."""
        with self._lock:
            known = self._values.get(key)
            if known is not None:
                self._values.move_to_end(key)
            else:
                made = self._values[key] = Future()
                while len(self._values) > self.most:
                    self._values.popitem(last=False)
        if known is not None:
            return known.result()
        try:
            value = make()
        except BaseException as error:
            with self._lock:
                if self._values.get(key) is made:
                    del self._values[key]
            made.set_exception(error)
            raise
        made.set_result(value)
        return value

    def __contains__(self, key: Any) -> bool:
        return key in self._values

    def __len__(self) -> int:
        return len(self._values)
