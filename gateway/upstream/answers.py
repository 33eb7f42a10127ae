"""Reads single values of upstream answers and converts them to the gateway's own form.

Every function takes one decoded JSON value of any type. None of them raises: a value that cannot be used
is left out. The upstream's documentation, its own client and third-party clients disagree about most of
these values, so each function accepts every form seen so far and returns one.

Text from the upstream appears in our API, in our logs and on the operator pages. This module makes it
printable and truncates it, once for all of them. It also removes our callback token wherever the upstream
echoes it: a client that saw the token could send callbacks in the upstream's name.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from email.utils import parsedate_to_datetime

from gateway.upstream.base import UpstreamError
from gateway.urls import CALLBACK_TOKEN, MEDIA_TOKEN

FALLBACK_CODE = "upstream_error"
NO_REASON = "the upstream gave no reason"
ONLY_A_CODE = "the upstream gave no reason but its code"
MAX_MESSAGE_CHARACTERS = 500
MAX_CODE_CHARACTERS = 64
MAX_ID_CHARACTERS = 128
MAX_REFERENCE_CHARACTERS = 512
MAX_RETRY_AFTER_SECONDS = 86_400.0
_LEAST_MILLISECONDS = 100_000_000_000  # 1973 as milliseconds, the year 5138 as seconds
_MOST_MILLISECONDS = 2**53
_CURRENCY_LENGTH = 8

_WORD = re.compile(r"[A-Za-z][A-Za-z0-9_.-]{0,63}")
_SECONDS = re.compile(r"[0-9]{1,9}(\.[0-9]{1,9})?")


def read_storable(document: object) -> object:
    """A copy of the document that is safe to store: without our token, and without integers over 64 bits.

    The token stays where `read_reference` needs it: in the `payload` of the document and of its `tasks`.
    Integers over 64 bits become text. Unknown fields are stored as they came, and our JSON writer would
    refuse the whole job record because of one such number.
    """
    if not isinstance(document, dict):
        return _storable(document)
    kept = {name: _storable(value) for name, value in document.items() if name not in ("payload", "tasks")}
    if "payload" in document:
        reference = document["payload"]
        kept["payload"] = reference if isinstance(reference, str) else _storable(reference)
    if "tasks" in document:
        rows = document["tasks"]
        kept["tasks"] = [read_storable(row) for row in rows] if isinstance(rows, list) else _storable(rows)
    return kept


def _storable(value: object) -> object:
    if isinstance(value, str):  # half of a surrogate pair cannot be stored
        return _without_token(value if value.isascii() else value.encode(errors="ignore").decode())
    if isinstance(value, int):
        return value if -(2**63) <= value < 2**64 else str(value)
    if isinstance(value, list):
        return [_storable(item) for item in value]
    if isinstance(value, dict):
        return {_without_token(name): _storable(item) for name, item in value.items()}
    return value


def _without_token(text: str) -> str:
    # The regular expressions are slow and most texts hold no token: check for a cheap substring first.
    text = CALLBACK_TOKEN.sub("[token]", text) if ".job_" in text else text
    return MEDIA_TOKEN.sub("[token]", text) if ".upl_" in text else text


def read_text(value: object, limit: int) -> str:
    """One printable line of at most `limit` characters, without our tokens; "" if it is not a string."""
    return _without_token(_line(value, limit))[:limit]


def _line(value: object, limit: int) -> str:
    """A printable line. It may be longer than `limit`: truncating here could cut a token in half."""
    if not isinstance(value, str):
        return ""
    line = " ".join(value[: 4 * limit].split())
    return "".join(character for character in line if character.isprintable())


def read_code(value: object) -> str:
    """An error code as text: `"002014001"` keeps its zeros, 1027 becomes "1027", other types give ""."""
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    return read_text(value, MAX_CODE_CHARACTERS)


def read_error(value: object) -> UpstreamError | None:
    """Reads an `error` field: a string, or an object with a code and a message.

    Returns None if there is no error: the field is absent, empty, or all zero (some servers always send
    every field).
    """
    if isinstance(value, str):
        message = read_text(value, MAX_MESSAGE_CHARACTERS)
        return UpstreamError(FALLBACK_CODE, message) if message else None
    if not isinstance(value, dict):
        return None
    code = _first_code(value, "code", "error_code", "err_code")
    message = _first_message(value, "error_message", "message")
    if code in ("", "0") and message.lower() in ("", "ok", "success"):
        return None
    return UpstreamError(code or FALLBACK_CODE, message or NO_REASON)


def read_failure(document: Mapping[str, object]) -> UpstreamError | None:
    """The error in a task's document: Vtrix puts it into `error`, Vidu only a code into `err_code`."""
    error = read_error(document.get("error"))
    code = read_code(document.get("err_code"))
    if error or code in ("", "0"):
        return error
    return UpstreamError(code, _first_message(document, "err_msg", "error_message") or ONLY_A_CODE)


def read_reason(document: Mapping[str, object], word: str) -> UpstreamError:
    """Why a task without an error failed: what its document says beside the word of its status."""
    said = _first_message(document, "fail_reason", "failure_reason", "err_msg", "error_message", "message")
    but = "" if word.lower() == "failed" else f" but its status: {word}"
    return UpstreamError(FALLBACK_CODE, said or NO_REASON + but)


def read_refusal(status: int, document: object) -> UpstreamError:
    """Why the upstream refused a request, from the body of an answer that is not 2xx.

    `document` is None if the body was not JSON. If the body gives no reason, the HTTP status is the reason.
    """
    body = document if isinstance(document, dict) else {}
    message, reason = _first_message(body, "message"), read_code(body.get("reason"))
    error = read_error(body.get("error"))
    if error and isinstance(body["error"], str) and message:  # a word, and beside it the sentence
        return UpstreamError(_as_code(error.message), message)
    if error:
        return error
    if message or reason:
        code = reason or _first_code(body, "error_code", "code")
        return UpstreamError(code or FALLBACK_CODE, message or NO_REASON)
    envelope = body.get("status")
    if isinstance(envelope, dict):
        code = _first_code(envelope, "error_code", "code")
        return UpstreamError(code or FALLBACK_CODE, _first_message(envelope, "message") or NO_REASON)
    detail = _first_message(body, "detail")
    return UpstreamError(FALLBACK_CODE, detail or f"the upstream answered {status} and gave no reason")


def _as_code(text: str) -> str:
    return text if _WORD.fullmatch(text) else FALLBACK_CODE


def _first_code(fields: Mapping[str, object], *names: str) -> str:
    return next((code for code in (read_code(fields.get(name)) for name in names) if code), "")


def _first_message(fields: Mapping[str, object], *names: str) -> str:
    texts = (read_text(fields.get(name), MAX_MESSAGE_CHARACTERS) for name in names)
    return next((text for text in texts if text), "")


def read_task_id(fields: Mapping[str, object]) -> str | None:
    """The task's id from `id`, or else from `task_id`: opaque, 1 to 128 printable characters."""
    for name in ("id", "task_id"):
        value = fields.get(name)
        if isinstance(value, int) and not isinstance(value, bool):
            return str(value)
        if isinstance(value, str) and _is_opaque_id(value):
            return value
    return None


def _is_opaque_id(value: str) -> bool:
    """U+FFFD stands for bytes that could not be read, so the id is not the task's."""
    readable = value.isprintable() and not value.isspace() and "\ufffd" not in value
    return 0 < len(value) <= MAX_ID_CHARACTERS and readable


def read_reference(fields: Mapping[str, object]) -> str | None:
    """Our own mark from `payload`. Somebody else's payload is truncated, which cannot turn it into ours."""
    return _line(fields.get("payload"), MAX_REFERENCE_CHARACTERS)[:MAX_REFERENCE_CHARACTERS] or None


def read_status_word(fields: Mapping[str, object]) -> str:
    """The upstream's own word for the state, from `status` or else `state`; "" if it has neither. A number is
    a word too."""
    words = (read_code(fields.get(name)) for name in ("status", "state"))
    return next((word for word in words if word), "")


def read_progress(value: object) -> float | None:
    """The progress, limited to 0 to 1; None if the value is not a number."""
    if isinstance(value, bool) or not isinstance(value, int | float) or value != value:
        return None
    return float(min(max(value, 0), 1))


def read_usage(value: object) -> dict[str, object] | None:
    """The usage fields that we know. `cost`: USD as a decimal string, never converted through a float by us;
    `discount`: the number as it came; `currency`: of the cost, if it is said."""
    if not isinstance(value, dict):
        return None
    usage: dict[str, object] = {}
    cost = _decimal_text(value.get("cost"))
    if cost is not None:
        usage["cost"] = cost
    discount = value.get("discount")
    if isinstance(discount, int | float) and not isinstance(discount, bool):
        usage["discount"] = discount
    currency = value.get("currency")
    if isinstance(currency, str) and 0 < len(currency) <= _CURRENCY_LENGTH:
        usage["currency"] = currency
    return usage or None


def _decimal_text(value: object) -> str | None:
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return None
    text = str(value)
    try:
        number = Decimal(text) if len(text) <= 32 else None
    except InvalidOperation:
        return None
    # A short exponent such as 1e999999999 would expand to a gigabyte of zeros.
    if number is None or not number.is_finite() or abs(number.adjusted()) > 18:
        return None
    return format(number, "f")


def read_moment(value: object) -> int | None:
    """Milliseconds since the epoch, from RFC 3339 text with an offset, or from a number.

    A number means seconds, or milliseconds if it is too large for a date in seconds. None for anything else.
    """
    if isinstance(value, int | float) and not isinstance(value, bool):
        milliseconds = value if value >= _LEAST_MILLISECONDS else value * 1000
        return int(milliseconds) if 0 < milliseconds < _MOST_MILLISECONDS else None
    text = read_text(value, MAX_CODE_CHARACTERS)
    try:
        moment = datetime.fromisoformat(text)
        return int(moment.timestamp() * 1000) if moment.tzinfo else None
    except (ValueError, OverflowError):
        return None


def read_retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds to wait from `retry-after`, at most a day. Header names are in lower case.

    A date is compared with the answer's own `date` header, so that our clock does not matter. Without that
    header, or without a valid value, returns None.
    """
    value = headers.get("retry-after", "").strip()
    if _SECONDS.fullmatch(value):
        return min(float(value), MAX_RETRY_AFTER_SECONDS)
    until, now = _http_date(value), _http_date(headers.get("date", ""))
    if until is None or now is None:
        return None
    return min(max((until - now).total_seconds(), 0.0), MAX_RETRY_AFTER_SECONDS)


def _http_date(value: str) -> datetime | None:
    try:
        moment = parsedate_to_datetime(value)
    except (ValueError, OverflowError):
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
