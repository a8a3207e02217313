"""Reading by a few threads, ahead of whoever takes the results in their order."""

from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

Result = TypeVar("Result")

_AHEAD = 16  # results made before they are asked for


def in_order(work: Callable[[int], Result], count: int, threads: int = 2) -> Iterator[Result]:
    """work(0), work(1) and so on to work(count - 1); what one raises is raised in its turn."""
    executor = ThreadPoolExecutor(threads)
    ahead: deque[Future[Result]] = deque()
    try:
        for index in range(count):
            ahead.append(executor.submit(work, index))
            if len(ahead) > _AHEAD:
                yield ahead.popleft().result()
        while ahead:
            yield ahead.popleft().result()
    finally:
        executor.shutdown(cancel_futures=True)
