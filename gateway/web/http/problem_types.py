"""The types of problems: one table from our errors, one from HTTP's own statuses.

`type` is a stable URN, `urn:vidu-gateway:problem:<name>`; the names are in the two tables.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, NamedTuple

from gateway import errors
from gateway.errors import GatewayError

URN: Final = "urn:vidu-gateway:problem:"


class ProblemType(NamedTuple):
    status: int
    name: str
    title: str


INTERNAL: Final = ProblemType(500, "internal", "Something went wrong here")

ERROR_TYPES: Final[Mapping[type[GatewayError], ProblemType]] = {
    errors.InvalidRequest: ProblemType(422, "invalid-request", "The request cannot be accepted"),
    errors.MalformedBody: ProblemType(400, "malformed-body", "The body cannot be read"),
    errors.BodyTooLarge: ProblemType(413, "body-too-large", "The body is too large"),
    errors.IdempotencyMismatch: ProblemType(
        422, "idempotency-mismatch", "The key was used with another request"
    ),
    errors.Unauthenticated: ProblemType(401, "unauthenticated", "A valid key is needed"),
    errors.ScopeMissing: ProblemType(403, "scope-missing", "The key does not permit this"),
    errors.NotFound: ProblemType(404, "not-found", "There is no such thing"),
    errors.Conflict: ProblemType(409, "conflict", "This cannot be done now"),
    errors.CannotCancel: ProblemType(409, "cannot-cancel-upstream", "The upstream offers no cancel"),
    errors.Fenced: ProblemType(409, "conflict", "This cannot be done now"),
    errors.LimitReached: ProblemType(429, "limit-reached", "A limit is reached"),
    errors.RateLimited: ProblemType(429, "rate-limited", "Too many in too short a time"),
    errors.Unavailable: ProblemType(503, "unavailable", "The service cannot serve just now"),
    errors.StoreUnavailable: ProblemType(503, "unavailable", "The service cannot serve just now"),
    errors.StoreFull: ProblemType(503, "unavailable", "The service cannot serve just now"),
    errors.BlobStoreUnavailable: ProblemType(503, "unavailable", "The service cannot serve just now"),
    errors.AddressRefused: ProblemType(422, "address-refused", "The address may not be dialled"),
    errors.ConfigurationError: INTERNAL,
    GatewayError: INTERNAL,
}

STATUS_TYPES: Final[Mapping[int, ProblemType]] = {
    problem_type.status: problem_type
    for problem_type in (
        ProblemType(400, "bad-request", "A header or query parameter is wrong"),
        ProblemType(404, "not-found", "There is no such thing"),
        ProblemType(405, "method-not-allowed", "This method is not served here"),
        ProblemType(408, "body-too-slow", "The body did not arrive in time"),
        ProblemType(413, "body-too-large", "The body is too large"),
        ProblemType(415, "unsupported-media-type", "The body is not in a form that is read here"),
    )
}
