"""The options of a sandbox."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

RenderMode = Literal["full", "none"]
CallbackStyle = Literal["none", "vtrix", "vidu"]


@dataclass(frozen=True, slots=True)
class Options:
    """`task_seconds`: the shortest time that a task takes; with `render="none"`, the simulated time.

    `callback_style`, for tasks of the vtrix dialect: none, because the published documentation promises no
    callbacks; vtrix: the task's envelope, unsigned; vidu: a forwarded body with a foreign id, signed with
    `callback_key`. Tasks of the vidu dialect always send native callbacks, signed with their account's key.
    `public_url`: the start of the URLs of results; the default is the URL that the creation was sent to.

    `key`: the key of the account `main` and of the admin routes; `accounts`: the keys of other accounts, by
    name. A task is visible only to the account that created it.

    `concurrency`: how many tasks of the vidu dialect run at once; None: no limit; 0: all of them wait.
    `list_payload`: whether the vidu list of tasks shows their payload; no documentation promises it.
    `result_seconds`: how long the URLs of results live, and their files; None: for ever.
    """

    data_dir: Path
    key: str = field(repr=False)
    accounts: Mapping[str, str] = field(default_factory=dict, repr=False)
    render: RenderMode = "full"
    callback_style: CallbackStyle = "none"
    callback_key: str = field(default="sandbox-callback-key", repr=False)
    callback_retry_seconds: float = 1.0
    processes: int = 1
    task_seconds: float = 0.0
    public_url: str | None = None
    fsync: bool = False
    concurrency: int | None = None
    list_payload: bool = False
    result_seconds: float | None = None

    def key_of(self, account: str) -> str:
        return self.accounts.get(account, self.key)

    @property
    def files_dir(self) -> Path:
        return self.data_dir / "files"

    @property
    def work_dir(self) -> Path:
        return self.data_dir / "work"

    @property
    def ledger_path(self) -> Path:
        return self.data_dir / "ledger.jsonl"
