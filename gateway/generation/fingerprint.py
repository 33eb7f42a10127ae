"""Digests by which a repeated request is recognized."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

from gateway.generation.model import GenerationRequest
from gateway.strict_json import long_base64


def fingerprint_of(request: GenerationRequest, options: Mapping[str, object] | None) -> str:
    """Equal for requests with the same meaning. The form of the JSON does not matter, an upload may be named
    by its id or address, and seed 0 and an empty list of videos count as absent. `options`: those of the job;
    None: all are the default."""
    given = request.model_dump(exclude_unset=True)
    for use in request.uploads:  # its address is another name for it
        name, _, at = use.param.rstrip("]").partition("[")
        given[name][int(at)] = use.upload_id
    for name in ("seed", "videos"):
        if not given.get(name):
            given.pop(name, None)
    if options is not None:
        given["options"] = options
    digest = hashlib.sha256()
    for piece in long_base64.dump(given):
        digest.update(piece)
    return digest.hexdigest()


def digest_of_key(key: str | None) -> str | None:
    """The idempotency key as it is stored in Redis: a digest has a fixed length, whatever was sent."""
    return None if key is None else hashlib.sha256(key.encode()).hexdigest()
