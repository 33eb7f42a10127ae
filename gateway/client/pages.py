"""Lists that come in pages."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Generic, NoReturn

from .records import R, read
from .requests import Request, send
from .steps import Call, Item, Method, Net, Steps, Stream


@dataclass(frozen=True, slots=True)
class Page(Generic[R]):
    """`data`: the items, newest first. `next`: the path of the next page, or None."""

    data: tuple[R, ...]
    next: str | None
    raw: Mapping[str, Any]


class Listing(Stream[Net, R]):
    """Items, newest first: `for one in listing`, or `async for`. The next page is asked for when the loop
    comes to it. `first()`: the newest item. `pages()`: whole pages. `list(listing)` gets all of them."""

    def __init__(self, network: Net, kind: type[R], path: str, query: Mapping[str, Any]) -> None:
        super().__init__(network, lambda: _items(kind, path, query))
        self._kind, self._path, self._query = kind, path, query
        self._of_pages: Stream[Net, Page[R]] = Stream(network, lambda: _pages(kind, path, query))

    def pages(self) -> Stream[Net, Page[R]]:
        """The same, page by page."""
        return self._of_pages

    @Method
    def first(self) -> Call[R | None]:
        """The newest item, or None if there is none."""
        page = yield from _page(self._kind, Request("GET", self._path, {**self._query, "limit": 1}))
        return page.data[0] if page.data else None

    def __repr__(self) -> str:
        return f"<{self._kind.__name__} items of {self._path}: use a loop, .first() or .pages()>"

    def __next__(self) -> NoReturn:
        raise TypeError("a listing is no iterator: use .first(), or next(iter(...))")

    def __getitem__(self, _: object) -> NoReturn:
        raise TypeError("a listing has no positions: use .first(), or list(...)[0]")


def _pages(kind: type[R], path: str, query: Mapping[str, Any]) -> Steps[Page[R]]:
    page = yield from _page(kind, Request("GET", path, query))
    yield Item(page)
    while page.next:
        page = yield from _page(kind, Request("GET", page.next))
        yield Item(page)


def _items(kind: type[R], path: str, query: Mapping[str, Any]) -> Steps[R]:
    page = yield from _page(kind, Request("GET", path, query))
    while True:
        for one in page.data:
            yield Item(one)
        if not page.next:
            return
        page = yield from _page(kind, Request("GET", page.next))


def _page(kind: type[R], request: Request) -> Call[Page[R]]:
    found = (yield from send(request)).json()
    return Page(tuple(read(kind, one) for one in found.get("data", ())), found.get("next"), found)


def listed(kind: type[R], path: str) -> Call[tuple[R, ...]]:
    """The items of a list that has one page."""
    return (yield from _page(kind, Request("GET", path))).data
