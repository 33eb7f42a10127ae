"""What a sandbox is started with."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

RenderMode = Literal["full", "none"]
CallbackStyle = Literal["none", "vtrix", "vidu"]


@dataclass(frozen=True, slots=True)
class Options:
    """`task_seconds`: how long a task takes at the least; with `render="none"` it is the simulated time.

    `callback_style`: none, as the published page promises none; vtrix, the task's envelope, unsigned; vidu,
    a forwarded body with a foreign id, signed with `callback_key`. Tasks made by the vidu dialect do not ask
    for it: they call back natively, signed with `key`. `public_url` starts the addresses of results; without
    it they start with whatever the creation was addressed to.

    `accounts`: further keys, by the names of their accounts; `key` is that of `main`. A task is seen with the
    key that made it alone.

    `concurrency`: how many tasks of the vidu dialect run at once, None = all; 0 leaves every one waiting.
    `list_payload`: whether the vidu list of tasks shows their payload, which no document promises.
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
