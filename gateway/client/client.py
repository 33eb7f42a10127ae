"""The two clients."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Any, Final, Literal, Self

from . import streaming
from .checks import address
from .deliveries import Deliveries
from .endpoints import Endpoints, Recoveries
from .jobs import Jobs
from .models import Event
from .network import Awaiting, Blocking, Target
from .requests import Request, opened, send
from .steps import Awaits, Blocks, Call, Item, Method, Net, Resource, Steps, Stream, chunk
from .uploads import Uploads
from .usage import UsageOfTenant

_URL: Final = "VIDU_GATEWAY_URL"
_KEY: Final = "VIDU_GATEWAY_KEY"
_VISIBLE: Final = re.compile(r"[!-~]*")


class _Operations(Resource[Net]):
    """All operations of both clients."""

    def __init__(self, network: Net) -> None:
        super().__init__(network)
        self._jobs = Jobs(network)
        self._uploads = Uploads(network)
        self._endpoints = Endpoints(network)
        self._deliveries = Deliveries(network)
        self._recoveries = Recoveries(network)
        self._usage = UsageOfTenant(network)

    @property
    def jobs(self) -> Jobs[Net]:
        """Submit jobs, wait for them, fetch their videos. See help(client.jobs)."""
        return self._jobs

    @property
    def uploads(self) -> Uploads[Net]:
        """Files that several jobs use. See help(client.uploads)."""
        return self._uploads

    @property
    def endpoints(self) -> Endpoints[Net]:
        """URLs of yours that get webhooks. See help(client.endpoints)."""
        return self._endpoints

    @property
    def deliveries(self) -> Deliveries[Net]:
        """Webhooks that were sent or are still to be sent. See help(client.deliveries)."""
        return self._deliveries

    @property
    def recoveries(self) -> Recoveries[Net]:
        """How far a redelivery is that `endpoints.recover` began. See help(client.recoveries)."""
        return self._recoveries

    @property
    def usage(self) -> UsageOfTenant[Net]:
        """What your jobs cost: `client.usage.get()`. See help(client.usage)."""
        return self._usage

    def events(
        self,
        *,
        types: Sequence[str] = (),
        after: str | None = None,
        connected: streaming.Connected | None = None,
        reconnecting: streaming.Reconnecting | None = None,
    ) -> Stream[Net, Event]:
        """What happens to all jobs of your tenant, from now on (or after the event `after`), for ever.

        `types`: only these, such as `["job.completed"]`. When the connection breaks, it goes on after the
        last event. `connected()` and `reconnecting(reason, seconds)` are called when that happens.
        """
        query = {"types": ",".join(types) or None}
        return Stream(
            self._network, lambda: streaming.stream("/v1/events", query, after, connected, reconnecting)
        )

    @Method
    def request(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        query: Mapping[str, Any] | None = None,
        seconds: float | None = None,
    ) -> Call[dict[str, Any]]:
        """Any operation, untyped: the JSON object of the answer; an empty one without a body. For what has
        no method here, such as the API for operators. A POST is not repeated when its answer is lost."""
        method = method.upper()  # as it is sent: "post" orders, too
        asked = Request(method, path, query or {}, body=body, seconds=seconds, repeatable=method != "POST")
        answer = yield from send(asked)
        return answer.json() if answer.body else {}

    def stream(self, path: str, *, query: Mapping[str, Any] | None = None) -> Stream[Net, bytes]:
        """The body of the answer to a GET, as it comes. `path` may be a whole URL, which does not get the
        key."""
        return Stream(self._network, lambda: _chunks(Request("GET", path, query or {}, {"Accept": "*/*"})))


class Client(_Operations[Blocks]):
    """A blocking client. Threads may share it.

    * `client.jobs`             submit, check, get, wait, events, download, list, cancel, link, ...
    * `client.uploads`          files that several jobs use: create, get, list, delete
    * `client.endpoints`        URLs of yours that get webhooks: create, test, rotate, recover, ...
    * `client.deliveries`       webhooks, sent or still to be sent: list, get, redeliver
    * `client.recoveries`       how far a redelivery is: get
    * `client.usage`            what your jobs cost: get
    * `client.events()`         what happens to all your jobs
    * `client.request(...)`, `client.stream(...)`  any other operation

    Each is explained: see help(client.jobs), help(client.jobs.submit), and so on.

    ```python
    from gateway.client import Client

    with Client("http://gateway.example.com:8080", key="vgw_...") as client:
        job = client.jobs.submit("The fox looks up", ["https://cdn.example.com/fox.png"], duration=5)
        job = client.jobs.wait(job)
        client.jobs.download(job, "fox.mp4")
    ```

    `url`, `key`: or the variables VIDU_GATEWAY_URL and VIDU_GATEWAY_KEY. `url` has no path, but for the
    prefix of a proxy. `key=False`: without a key, which only probes need. `timeout`: longest silence of
    the gateway, in seconds. `retries`: of requests that may be repeated. `proxy`: the URL of an HTTP proxy;
    variables such as HTTPS_PROXY are not used.
    """

    def __init__(
        self,
        url: str | None = None,
        key: str | Literal[False] | None = None,
        *,
        timeout: float = 30.0,
        retries: int = 2,
        proxy: str | None = None,
    ) -> None:
        self._target = _target(url, key, timeout, retries, proxy)
        self._blocking = Blocking(self._target)
        super().__init__(self._blocking)

    def __repr__(self) -> str:
        return f"Client({self._target.url!r})"

    def close(self) -> None:
        """Close all connections."""
        self._blocking.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class AsyncClient(_Operations[Awaits]):
    """The same for asyncio: `await` each method, and use `async with` and `async for`.

    ```python
    async with AsyncClient("http://gateway.example.com:8080", key="vgw_...") as client:
        job = await client.jobs.submit("The fox looks up", ["https://cdn.example.com/fox.png"])
        async for event in client.jobs.events(job):
            print(event.type)
    ```

    Groups and parameters as of `Client`. A `progress` is a plain function here too. Files are read and
    written in the event loop, a piece at a time.
    """

    def __init__(
        self,
        url: str | None = None,
        key: str | Literal[False] | None = None,
        *,
        timeout: float = 30.0,
        retries: int = 2,
        proxy: str | None = None,
    ) -> None:
        self._target = _target(url, key, timeout, retries, proxy)
        self._awaiting = Awaiting(self._target)
        super().__init__(self._awaiting)

    def __repr__(self) -> str:
        return f"AsyncClient({self._target.url!r})"

    async def close(self) -> None:
        """Close all connections."""
        await self._awaiting.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()


def _target(
    url: str | None, key: str | Literal[False] | None, seconds: float, retries: int, proxy: str | None
) -> Target:
    """ValueError for what cannot work. It never shows the key."""
    url = os.environ.get(_URL, "") if url is None else url
    if key is None:
        key = os.environ.get(_KEY, "")
    if key == "":
        raise ValueError(f"there is no key: check key= or {_KEY} (key=False: without one)")
    key = key or ""
    if not _VISIBLE.fullmatch(key):
        raise ValueError("the key has invalid characters: a key looks like vgw_..._...")
    return Target(address(url), key, seconds, retries, proxy)


def _chunks(request: Request) -> Steps[bytes]:
    yield from opened(request)
    while piece := (yield from chunk()):
        yield Item(piece)
