"""The same for many accounts, some at once, with a bar on a terminal that shows how far it is."""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from contextlib import contextmanager

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from operations.terminal.cli import err

AT_ONCE = 10


def side_by_side[T, R](things: Sequence[T], work: Callable[[T], R], what: str, at_once: int = AT_ONCE) -> list[R]:
    """Do the work for each thing, `at_once` at the most; return the results in the order of the things.

    What the work raises is raised here. Interrupted, or where one raised, what is under way is finished, and nothing
    else is begun.
    """
    if len(things) == 1:
        with err.status(what):
            return [work(things[0])]
    with ThreadPoolExecutor(at_once, thread_name_prefix="side-by-side") as pool, _bar(what, len(things)) as advance:
        futures = [pool.submit(work, thing) for thing in things]
        try:
            _wait(futures, advance)
        except BaseException:
            pool.shutdown(wait=True, cancel_futures=True)
            raise
        return [future.result() for future in futures]


def _wait[R](futures: Sequence[Future[R]], advance: Callable[[], None]) -> None:
    for future in as_completed(futures):
        future.result()
        advance()


@contextmanager
def _bar(what: str, total: int) -> Iterator[Callable[[], None]]:
    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()
    with Progress(*columns, console=err, transient=True, disable=not err.is_terminal) as progress:
        task = progress.add_task(what, total=total)
        yield lambda: progress.advance(task)
