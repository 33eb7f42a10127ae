"""What makes two requests the same: the fingerprint, the idempotency key as it is stored, and the attempt."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

from gateway.generation import GenerationRequest
from gateway.store.attempt import Attempt
from gateway.strict_json import long_base64


def fingerprint(request: GenerationRequest, options: Mapping[str, object]) -> str:
    """A digest that is equal for requests with the same meaning. The form of the body does not matter,
    an upload may be named by its id or address, and seed 0 and an empty list of videos count as absent."""
    given = request.model_dump(exclude_unset=True)
    for use in request.uploads:  # its address is another name for it
        name, _, at = use.param.rstrip("]").partition("[")
        given[name][int(at)] = use.upload_id
    for name in ("seed", "videos"):
        if not given.get(name):
            given.pop(name, None)
    if options:
        given["options"] = options
    digest = hashlib.sha256()
    for piece in long_base64.dump(given):
        digest.update(piece)
    return digest.hexdigest()


def key_digest(key: str | None) -> str | None:
    """The idempotency key as it is stored in Redis: a digest has a fixed length, whatever was sent."""
    return None if key is None else hashlib.sha256(key.encode()).hexdigest()


def attempt(door: str | None, fingerprint: str, number: int) -> Attempt:
    """The attempt with this number at a request. Attempts belong to their door."""
    return Attempt(hashlib.sha256(f"{door}:{fingerprint}".encode()).hexdigest(), number)
