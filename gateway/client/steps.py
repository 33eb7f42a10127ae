"""A call of the client, written once for both clients.

A call is a generator. It yields each thing that only a client can do, such as to send a request or to sleep
(an `Act`), gets the result of that, and returns its own result. `network.py` runs calls, blocking or with
asyncio.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import AsyncIterator, Callable, Coroutine, Generator, Iterator
from dataclasses import dataclass
from typing import Any, Concatenate, Generic, ParamSpec, Protocol, TypeVar, overload

P = ParamSpec("P")
T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)

#: What a session of `network.py` is asked to do.
Act = Callable[[Any], Any]
#: The steps to a result of the type T.
Call = Generator[Act, Any, T]


@dataclass(frozen=True, slots=True)
class Item(Generic[T_co]):
    """A step of a stream: hand this to whoever iterates."""

    value: T_co


#: The steps of a stream of values of the type T.
Steps = Generator["Act | Item[T]", Any, None]


@dataclass(frozen=True, slots=True)
class Done:
    """After the last step: the result."""

    value: Any = None


def advance(steps: Generator[Any, Any, Any], found: Any = None, error: Exception | None = None) -> Any:
    """The next step, after the last one found this or failed so: an Act, an Item or Done."""
    try:
        return steps.send(found) if error is None else steps.throw(error)
    except StopIteration as end:
        return Done(end.value)


def pause(seconds: float) -> Call[None]:
    """Sleeps."""
    yield lambda session: session.sleep(seconds)


def chunk() -> Call[bytes]:
    """The next bytes of the open answer; none: it is complete."""
    found: bytes = yield lambda session: session.chunk()
    return found


class Blocks(Protocol):
    """The network of `Client`."""

    def run(self, call: Call[T]) -> T: ...
    def iterate(self, steps: Steps[T]) -> Iterator[T]: ...


class Awaits(Protocol):
    """The network of `AsyncClient`."""

    def run(self, call: Call[T]) -> Coroutine[Any, Any, T]: ...
    def iterate(self, steps: Steps[T]) -> AsyncIterator[T]: ...


Net = TypeVar("Net", bound=Blocks | Awaits)


class Resource(Generic[Net]):
    """A group of operations, such as `client.jobs`."""

    def __init__(self, network: Net) -> None:
        self._network = network


class Method(Generic[P, T]):
    """Decorates a function of a resource that makes a call. `Client` returns the call's result, `AsyncClient`
    an awaitable of it."""

    def __init__(self, function: Callable[Concatenate[Any, P], Call[T]]) -> None:
        def method(resource: Any, *args: P.args, **options: P.kwargs) -> Any:
            return resource._network.run(function(resource, *args, **options))

        functools.update_wrapper(method, function)
        shown = inspect.signature(function)
        result = str(shown.return_annotation).removeprefix("Call[").removesuffix("]")
        method.__signature__ = shown.replace(return_annotation=result)  # type: ignore[attr-defined]
        self._method = method
        self.__doc__ = function.__doc__

    @overload
    def __get__(self, resource: None, owner: type) -> Callable[..., Any]: ...
    @overload
    def __get__(self, resource: Resource[Blocks], owner: type) -> Callable[P, T]: ...
    @overload
    def __get__(self, resource: Resource[Awaits], owner: type) -> Callable[P, Coroutine[Any, Any, T]]: ...
    def __get__(self, resource: Any, owner: type) -> Any:
        return self._method.__get__(resource, owner)


class Stream(Resource[Net], Generic[Net, T]):
    """Values that come one after another: `for` with `Client`, `async for` with `AsyncClient`. Nothing is
    sent before the first one is wanted, and each loop begins anew."""

    def __init__(self, network: Net, steps: Callable[[], Steps[T]]) -> None:
        super().__init__(network)
        self._steps = steps

    def __iter__(self: Stream[Blocks, T]) -> Iterator[T]:
        return self._network.iterate(self._steps())

    def __aiter__(self: Stream[Awaits, T]) -> AsyncIterator[T]:
        return self._network.iterate(self._steps())
