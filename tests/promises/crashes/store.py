"""The real server and the real scripts, asked without waiting, and on the virtual clock.

A blocking client takes no virtual time and leaves the loop nothing to wait for. The functions differ in one
thing: `call.now_ms` is the virtual time, which is the last of their keys.
"""

from __future__ import annotations

import math
import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from types import TracebackType
from typing import Any, Final, Self

from redis import Redis

from gateway.dispatch import Role
from gateway.errors import StoreUnavailable
from gateway.store import keys
from gateway.store.exchange import Word
from gateway.store.script_library import build, parts, verbs
from gateway.store.script_runner import Scripts
from tests.promises.crashes.faults import EPOCH, SimulatedProcess
from tests.promises.crashes.loop import VirtualLoop

_CLOCK: Final = re.compile(r"(?<=function call\.now_ms\(\)\n).*?(?=end\n)", re.DOTALL)
#: Before every verb.
_TELL: Final = "call.virtual = tonumber(string.sub(KEYS[#KEYS], 7))\n"


def on_virtual_clock(texts: Mapping[str, str]) -> dict[str, str]:
    """The parts, which tell the time that `call.virtual` says."""
    virtual = {name: _CLOCK.sub("  return call.virtual\n", text) for name, text in texts.items()}
    if any("'TIME'" in text for text in virtual.values()):
        raise AssertionError("the functions no longer take the time from call.now_ms alone")
    return virtual


class Server:
    """The server, which outlives every simulated process, and the time that it tells."""

    def __init__(self, url: str, change: Callable[[str, str], str] = lambda verb, source: source) -> None:
        """`change`: what becomes of the text of a part or a verb, for a test that plants a bug."""
        self.client: Any = Redis.from_url(url, decode_responses=True)
        self.loop: VirtualLoop
        self.over = False
        self.version = 0  # counts what was asked
        self.changed: Callable[[], None]
        self._until: dict[str, float] = {}
        self._due_ms: float | None = None  # None: not known since the last script
        library = build(
            {name: change(name, text) for name, text in on_virtual_clock(parts()).items()},
            {verb: _TELL + change(verb, text) for verb, text in verbs().items()},
        )
        self._functions = library.functions
        self.client.function_load(library.text.decode(), replace=True)

    def begin(self, loop: VirtualLoop, changed: Callable[[], None]) -> None:
        """Empty, at the start of a run. `changed` is called after every script."""
        self.loop, self.over, self.changed = loop, False, changed
        self._until.clear()
        self._due_ms = None
        self.client.flushdb()

    def now_ms(self) -> int:
        return int((EPOCH + self.loop.time()) * 1000)

    def time(self) -> tuple[int, int]:
        return divmod(self.now_ms() * 1000, 1_000_000)

    def run(self, verb: str, keys: Sequence[str], args: Sequence[Word]) -> Any:
        if self.over:
            raise StoreUnavailable("the run is over")
        self.version += 1
        if (
            verb == "acquire_leadership"
        ):  # its key lives for a time that the server would count on its own clock
            return int(bool(self.call("set", (keys[0], "1"), {"nx": True, "px": int(args[0])})))
        names = [*keys, f"{{gw}}:@{self.now_ms()}"]
        answer = self.client.fcall(self._functions[verb], len(names), *names, *args)
        self._due_ms = None
        self.changed()
        return answer

    def something_is_due(self) -> bool:
        """Whether a sweep could find anything to do. A run has thousands of idle seconds, in which it need
        not ask: nothing but time can make something due, and only scripts set those times."""
        if self._due_ms is None:
            self._due_ms = self._first_due_ms()
        return self.now_ms() >= self._due_ms

    def something_is_held(self) -> bool:
        """Whether a process took work off arq's queue and may still hold it."""
        return bool(self.client.keys(keys.held_by("*")))

    def _first_due_ms(self) -> float:
        pipe = self.client.pipeline(transaction=False)
        for role in Role:
            pipe.zcard(keys.waiting(role))
            pipe.zcard(keys.slots(role))
        for key in (keys.DEADLINES, *(kind(role) for role in Role for kind in (keys.due, keys.slots))):
            pipe.zrange(key, 0, 0, withscores=True)
        found = pipe.execute()
        counts, firsts = found[: 2 * len(Role)], found[2 * len(Role) :]
        if any(waiting and not taken for waiting, taken in zip(counts[::2], counts[1::2], strict=True)):
            return 0  # a role has room while none of its slots is taken, and no script handed it out
        return min((first[0][1] for first in firsts if first), default=math.inf)

    def call(self, name: str, args: tuple[Any, ...], options: dict[str, Any]) -> Any:
        """A plain command. Times to live are kept here: the server counts them on its own clock."""
        if self.over:
            raise StoreUnavailable("the run is over")
        self.version += 1
        now = self.loop.time()
        for key in [key for key, until in self._until.items() if until <= now]:
            del self._until[key]
            self.client.delete(key)
        if name == "time":
            return self.time()
        if name == "set" and options.get("px"):
            lives = options.pop("px") / 1000
            answer = self.client.set(*args, **options)
            if answer:
                self._until[str(args[0])] = now + lives
            return answer
        return getattr(self.client, name)(*args, **options)

    def close(self) -> None:
        self.client.close()


class VirtualRedis:
    """A client in the asynchronous form, as the stores hold it."""

    connection_pool = None

    def __init__(self, server: Server) -> None:
        self._server = server

    def __getattr__(self, name: str) -> Callable[..., Awaitable[Any]]:
        async def call(*args: Any, **options: Any) -> Any:
            return self._server.call(name, args, options)

        return call

    def pipeline(self, transaction: bool = True) -> _Pipeline:
        return _Pipeline(self._server, self._server.client.pipeline(transaction=transaction))


class _Pipeline:
    def __init__(self, server: Server, pipe: Any) -> None:
        self._server, self._pipe = server, pipe
        self._times: list[int] = []  # places in the batch at which the time was asked for

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._pipe.reset()

    async def execute(self) -> Any:
        if self._server.over:
            raise StoreUnavailable("the run is over")
        answers = self._pipe.execute()
        for place in self._times:
            answers[place] = self._server.time()
        return answers

    def time(self) -> None:
        self._times.append(len(self._pipe))
        self._pipe.ping()

    async def watch(self, *names: str) -> None:
        self._pipe.watch(*names)

    def __getattr__(self, name: str) -> Callable[..., Any]:
        command = getattr(self._pipe, name)

        def call(*args: Any, **options: Any) -> Any:
            answer = command(*args, **options)
            return answer if answer is self._pipe else _Done(answer)

        return call


class _Done:
    """An answer that is there already, for who awaits it."""

    def __init__(self, answer: Any) -> None:
        self._answer = answer

    def __await__(self) -> Any:
        return self._answer
        yield


class VirtualScripts(Scripts):
    """A process' scripts, with a crash point on either side of each."""

    alone = True

    def __init__(self, server: Server, process: SimulatedProcess) -> None:
        self._server, self._process, self._reach = server, process, process.reach

    async def run(
        self, verb: str, keys: Sequence[str], args: Sequence[Word], *, effect: str | None = None
    ) -> Any:
        name = effect or verb
        await self._process.reach(f"{name}.before")
        answer = self._server.run(verb, keys, args)
        await self._process.reach(f"{name}.after")
        return answer
