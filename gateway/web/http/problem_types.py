"""Problem types: one table for our exceptions, one for refused HTTP requests.

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


INTERNAL: Final = ProblemType(500, "internal", "Internal error")

ERROR_TYPES: Final[Mapping[type[GatewayError], ProblemType]] = {
    errors.InvalidRequest: ProblemType(422, "invalid-request", "The request cannot be accepted"),
    errors.MalformedBody: ProblemType(400, "malformed-body", "The body cannot be read"),
    errors.BodyTooLarge: ProblemType(413, "body-too-large", "The body is too large"),
    errors.IdempotencyMismatch: ProblemType(
        422, "idempotency-mismatch", "The key was used with another request"
    ),
    errors.Unauthenticated: ProblemType(401, "unauthenticated", "A valid key is required"),
    errors.ScopeMissing: ProblemType(403, "scope-missing", "The key does not permit this"),
    errors.NotFound: ProblemType(404, "not-found", "Not found"),
    errors.Conflict: ProblemType(409, "conflict", "Not possible in the current state"),
    errors.CannotCancel: ProblemType(409, "cannot-cancel-upstream", "The upstream cannot cancel jobs"),
    errors.Fenced: ProblemType(409, "conflict", "Not possible in the current state"),
    errors.ContentRefused: ProblemType(404, "not-found", "Not found"),
    errors.ResultNotReady: ProblemType(404, "result-not-ready", "The result is not ready"),
    errors.VariantUnavailable: ProblemType(404, "variant-unavailable", "The result has no such file"),
    errors.ResultGone: ProblemType(410, "result-gone", "The file is gone"),
    errors.LinkRefused: ProblemType(403, "link-refused", "The link does not open this"),
    errors.LimitReached: ProblemType(429, "limit-reached", "A limit has been reached"),
    errors.RateLimited: ProblemType(429, "rate-limited", "Too many requests in a short time"),
    errors.PaymentRefused: ProblemType(402, "budget-exceeded", "A budget does not allow this job"),
    errors.BudgetExceeded: ProblemType(402, "budget-exceeded", "A budget does not allow this job"),
    errors.PriceUnknown: ProblemType(402, "price-unknown", "No price is known for this job"),
    errors.Unavailable: ProblemType(503, "unavailable", "The service is temporarily unavailable"),
    errors.StoreUnavailable: ProblemType(503, "unavailable", "The service is temporarily unavailable"),
    errors.StoreFull: ProblemType(503, "unavailable", "The service is temporarily unavailable"),
    errors.MediaStoreUnavailable: ProblemType(503, "unavailable", "The service is temporarily unavailable"),
    errors.ArchiveLost: ProblemType(503, "unavailable", "The service is temporarily unavailable"),
    errors.DiskFull: ProblemType(503, "unavailable", "The service is temporarily unavailable"),
    errors.ConfigurationError: INTERNAL,
    GatewayError: INTERNAL,
}

STATUS_TYPES: Final[Mapping[int, ProblemType]] = {
    problem_type.status: problem_type
    for problem_type in (
        ProblemType(400, "bad-request", "The request is malformed"),
        ProblemType(404, "not-found", "Not found"),
        ProblemType(405, "method-not-allowed", "This method is not allowed here"),
        ProblemType(408, "body-too-slow", "The body did not arrive in time"),
        ProblemType(413, "body-too-large", "The body is too large"),
        ProblemType(415, "unsupported-media-type", "The body has an unsupported format"),
        ProblemType(416, "range-not-satisfiable", "The file is shorter than that"),
        ProblemType(431, "head-too-large", "The head of the request is too large"),
        ProblemType(501, "not-implemented", "The request needs what this service does not do"),
    )
}
