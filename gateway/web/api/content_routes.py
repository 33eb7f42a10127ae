"""All operations on the files of results, one entry each."""

from __future__ import annotations

from typing import Final

from gateway.tenants import Scope
from gateway.web.api import content, links
from gateway.web.operation import Document, Operation, Reply
from gateway.web.schemas.links import Link, LinkRequest

_READ: Final = (Scope.JOBS_READ,)
_WRITE: Final = (Scope.JOBS_WRITE,)
_FILE: Final[Document] = {"type": "string", "format": "binary"}
_FILE_HEADERS: Final[dict[str, Document]] = {
    "ETag": {"description": "SHA-256 of the whole file, in quotes.", "schema": {"type": "string"}},
    "Accept-Ranges": {"description": "`bytes`.", "schema": {"type": "string"}},
    "Content-Disposition": {"description": "A name for the file.", "schema": {"type": "string"}},
}
CONTENT: Final = (
    Operation(
        "GET", "/v1/jobs/{job_id}/content", "getJobContent", "Fetch a file of a job's result", content.serve,
        {
            200: Reply("The file.", _FILE, _FILE_HEADERS, media_type="*/*"),
            206: Reply(
                "The part of the file that `Range` asked for.",
                _FILE,
                {
                    **_FILE_HEADERS,
                    "Content-Range": {
                        "description": "Which part: `bytes FIRST-LAST/SIZE`.", "schema": {"type": "string"},
                    },
                },
                media_type="*/*",
            ),
            302: Reply(
                "The file is at another address: our copy in a bucket, or the upstream's own, as long as "
                "there is no copy. Do not send your key there.",
                None,
                {"Location": {"description": "The address.", "schema": {"type": "string"}}},
            ),
            304: Reply("You have this file already: `If-None-Match` has its ETag.", None, _FILE_HEADERS),
        },
        _READ,
        description="This address never changes. `Range`, `If-Range` and `If-None-Match` work on our copy. "
        "404 with `result_not_ready` until the job is completed, 410 when there is neither a copy nor a "
        "working address of the upstream.",
        query=(content.VARIANT, content.DOWNLOAD, content.EXP, content.KID, content.SIG),
        signature=content.SIG, problems=(410, 416),
    ),
    Operation(
        "DELETE", "/v1/jobs/{job_id}/content", "deleteJobContent", "Delete the stored files of a job",
        links.delete,
        {204: Reply("Deleted, if there were any. This cannot be undone.")},
        _WRITE,
        description="Deletes our copies, and copies no more of them. The job stays. Its links end; the "
        "upstream keeps its own files.",
        problems=(409,),
    ),
    Operation(
        "POST", "/v1/jobs/{job_id}/links", "createJobLink", "Create a link that needs no key", links.create,
        {201: Reply("The link. Nothing is stored.", Link)},
        _READ,
        description="Whoever has the link can fetch this one file until it expires. `expires_at` is at most "
        "7 days from now, and no later than our copy is deleted. 409 if the service does not know its own "
        "address.",
        body=LinkRequest, problems=(409, 410),
    ),
)  # fmt: skip
