"""Files that are handed over once and named in as many jobs as you like."""

from __future__ import annotations

from typing import Final

from .checks import path_of, plain
from .files import File, Progress, Source
from .models import Upload
from .pages import Listing
from .requests import Request, record, send
from .steps import Call, Method, Net, Resource

#: The gateway inspects a clip before it answers.
_UPLOAD_SECONDS: Final = 120.0


class Uploads(Resource[Net]):
    """Files that several jobs use. `jobs.submit` uploads large files by itself, so you need this only to use
    a file again: `upload = client.uploads.create(Path("fox.png"))`, then `images=[upload]`."""

    @Method
    def create(self, file: File, *, progress: Progress | None = None) -> Call[Upload]:
        """Upload a picture (png, jpeg, webp; up to 50 MB) or a clip (mp4, mov, avi; up to 100 MB and 8 s).

        `file`: a Path, bytes, or a binary file. `progress(sent, size)` is called with bytes. The gateway
        checks the file before it answers; InvalidRequest says what is wrong with it. The same content
        uploaded again is the same upload. It is kept for a day after its last use.
        """
        plain("progress", progress)
        return create(Source(file, progress))

    @Method
    def get(self, upload_id: Upload | str) -> Call[Upload]:
        """The upload. NotFound if it is unknown, expired or deleted."""
        return record(Upload, Request("GET", _path(upload_id)))

    def list(self, *, page_size: int = 100) -> Listing[Net, Upload]:
        """Your uploads, newest first."""
        return Listing(self._network, Upload, "/v1/uploads", {"limit": page_size})

    @Method
    def delete(self, upload_id: Upload | str) -> Call[None]:
        """New jobs cannot use it from now on. Jobs that hold it keep the file until they are finished."""
        yield from send(Request("DELETE", _path(upload_id)))


def create(source: Source) -> Call[Upload]:
    headers = {"Content-Type": "application/octet-stream"}  # the bytes of the file decide
    request = Request("POST", "/v1/uploads", headers=headers, content=source, seconds=_UPLOAD_SECONDS)
    return record(Upload, request)


def _path(upload: Upload | str) -> str:
    return path_of("/v1/uploads", Upload, upload)
