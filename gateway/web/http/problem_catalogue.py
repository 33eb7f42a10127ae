"""What each type of problem means and the way out: the texts behind `type`, at `/docs/errors/<name>`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, Literal, NamedTuple

from gateway.web.http.problem_types import ERROR_TYPES, STATUS_TYPES, ProblemType

#: Whether to send the same request again. `wait`: after `Retry-After`; nothing was accepted. `doubt`: after
#: `Retry-After`, with the same Idempotency-Key: it may have been accepted.
Retry = Literal["never", "wait", "doubt"]


class Entry(NamedTuple):
    meaning: str
    way_out: str
    retry: Retry = "never"


CATALOGUE: Final[Mapping[str, Entry]] = {
    "bad-request": Entry(
        "A header or a query parameter is wrong, or the request breaks HTTP.",
        "Each of `errors` names one and says what to send.",
    ),
    "malformed-body": Entry(
        "The body is not one JSON document in UTF-8.", "Send one JSON object, as `errors` says."
    ),
    "invalid-request": Entry(
        "The request was understood, and parameters of it are wrong. Nothing was stored or paid for.",
        "`errors` lists every problem at once: the parameter, a stable code, and what to send instead.",
    ),
    "idempotency-mismatch": Entry(
        "This `Idempotency-Key` was used before, with another body or other `Gateway-*` headers.",
        "Send a new key for a new job. For the old job, send exactly the same request.",
    ),
    "body-too-large": Entry(
        "The body has more bytes than are taken.",
        "Give large files as URLs, or upload them to `/v1/uploads`.",
    ),
    "body-too-slow": Entry(
        "The body did not arrive in time. Nothing was accepted.",
        "Send it again over a faster connection.",
        "wait",
    ),
    "unsupported-media-type": Entry(
        "The body has a format that is not taken here.", "Send `Content-Type: application/json`."
    ),
    "unauthenticated": Entry(
        "There is no key, or it is unknown, revoked or expired.",
        "Send `Authorization: Bearer vgw_...`. If it ended, use the one that replaced it.",
    ),
    "scope-missing": Entry(
        "The key is valid, and does not permit this.", "Use a key with the scope that `detail` names."
    ),
    "not-found": Entry(
        "There is no such path or record, or it belongs to another tenant. Finished jobs are removed after a "
        "time.",
        "Check the id and the key. `/docs` lists every path.",
    ),
    "method-not-allowed": Entry("The path exists, without this method.", "Use one that `Allow` lists."),
    "conflict": Entry(
        "The state of the record does not allow this: a finished job cannot be canceled, for example.",
        "Get the record to see its state. `detail` says what hinders.",
    ),
    "cannot-cancel-upstream": Entry(
        "The job was sent to the upstream, which offers no cancel.",
        "Wait: it finishes by itself, at its total deadline at the latest.",
    ),
    "result-not-ready": Entry("The job is not finished, or its cover is still made.", "Ask later.", "wait"),
    "variant-unavailable": Entry(
        "The result has no such file.", "Ask for one of the variants that `detail` names."
    ),
    "result-gone": Entry(
        "The file is gone: our copy was deleted, and the upstream's address is dead.",
        "Fetch results soon, or ask the operator to keep copies longer.",
    ),
    "link-refused": Entry(
        "The signed link has expired, or was changed.", "Ask whoever sent it for a new one."
    ),
    "range-not-satisfiable": Entry(
        "The file is shorter than the range that was asked for.", "`Content-Range` has its length."
    ),
    "rate-limited": Entry(
        "Your tenant sends too much in a short time. Nothing was accepted.",
        "Wait for `Retry-After` seconds. `RateLimit` and `RateLimit-Policy` tell the pace that is allowed.",
        "wait",
    ),
    "limit-reached": Entry(
        "A quota of your tenant is used up; `limit` names it. Nothing was accepted.",
        "Wait for `Retry-After` seconds, or free what `detail` names.",
        "wait",
    ),
    "budget-exceeded": Entry(
        "This job would exceed a hard budget of your tenant or key. Nothing was queued or paid for.",
        "Wait for the next day or month, or ask your operator for more. `GET /v1/usage` shows your budgets.",
    ),
    "price-unknown": Entry(
        "A hard budget holds for this job, and no price is known for it. Nothing was queued or paid for.",
        "Choose parameters that have a price, or ask your operator to set one.",
    ),
    "unavailable": Entry(
        "The service cannot do this now: its store or disk is away or full.",
        "Wait for `Retry-After` seconds. A POST of a job may have been accepted: send it again with the same "
        "`Idempotency-Key`.",
        "doubt",
    ),
    "internal": Entry(
        "Our fault. It was logged under `request_id`, and no accepted job is lost.",
        "Send it again, a POST with the same `Idempotency-Key`. If it stays, tell the operator the id.",
        "doubt",
    ),
    "head-too-large": Entry("The request line and headers are too large.", "Send fewer or shorter headers."),
    "not-implemented": Entry(
        "The request needs a part of HTTP that this service does not have.",
        "Send a plain body, as `detail` says.",
    ),
}


def types_of(name: str) -> list[ProblemType]:
    """The rows with this name: one, or several statuses."""
    found = dict.fromkeys(one for one in (*ERROR_TYPES.values(), *STATUS_TYPES.values()) if one.name == name)
    return list(found)
