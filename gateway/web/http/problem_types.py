"""The types of problems: one table from our errors, one from HTTP's own statuses.

`type` is a stable URN, `urn:vidu-gateway:problem:<name>`; the names are in the two tables.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, NamedTuple

from gateway import errors
from gateway.errors import GatewayError

URN: Final = "urn:vidu-gateway:problem:"


class Kind(NamedTuple):
    status: int
    name: str
    title: str


INTERNAL: Final = Kind(500, "internal", "Something went wrong here")

KINDS: Final[Mapping[type[GatewayError], Kind]] = {
    errors.InvalidRequest: Kind(422, "invalid-request", "The request cannot be accepted"),
    errors.MalformedBody: Kind(400, "malformed-body", "The body cannot be read"),
    errors.BodyTooLarge: Kind(413, "body-too-large", "The body is too large"),
    errors.IdempotencyMismatch: Kind(422, "idempotency-mismatch", "The key was used with another request"),
    errors.Unauthenticated: Kind(401, "unauthenticated", "A valid key is needed"),
    errors.ScopeMissing: Kind(403, "scope-missing", "The key does not permit this"),
    errors.NotFound: Kind(404, "not-found", "There is no such thing"),
    errors.Conflict: Kind(409, "conflict", "This cannot be done now"),
    errors.CannotCancel: Kind(409, "cannot-cancel-upstream", "The upstream offers no cancel"),
    errors.Fenced: Kind(409, "conflict", "This cannot be done now"),
    errors.LimitReached: Kind(429, "limit-reached", "A limit is reached"),
    errors.RateLimited: Kind(429, "rate-limited", "Too many in too short a time"),
    errors.Unavailable: Kind(503, "unavailable", "The service cannot serve just now"),
    errors.StoreUnavailable: Kind(503, "unavailable", "The service cannot serve just now"),
    errors.StoreFull: Kind(503, "unavailable", "The service cannot serve just now"),
    errors.BlobStoreUnavailable: Kind(503, "unavailable", "The service cannot serve just now"),
    errors.AddressRefused: Kind(422, "address-refused", "The address may not be dialled"),
    errors.ConfigurationError: INTERNAL,
    GatewayError: INTERNAL,
}

REFUSALS: Final[Mapping[int, Kind]] = {
    kind.status: kind
    for kind in (
        Kind(400, "bad-request", "A header or query parameter is wrong"),
        Kind(404, "not-found", "There is no such thing"),
        Kind(405, "method-not-allowed", "This method is not served here"),
        Kind(408, "body-too-slow", "The body did not arrive in time"),
        Kind(413, "body-too-large", "The body is too large"),
        Kind(415, "unsupported-media-type", "The body is not in a form that is read here"),
    )
}
