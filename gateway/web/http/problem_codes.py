"""All problem types and codes, for the OpenAPI document. Tests compare them with what the service emits.

All but the problem types may grow: a client must accept codes that are not listed here.
"""

from __future__ import annotations

from typing import Final

from gateway.web.http.problem_types import ERROR_TYPES, PREFIX, STATUS_TYPES

PROBLEM_TYPES: Final = sorted(
    {PREFIX + problem_type.name for problem_type in (*ERROR_TYPES.values(), *STATUS_TYPES.values())}
)

#: `errors[].code`, in the order in which a request is checked.
FAULTS: Final = (
    # headers, query, form of the body
    *("wrong_form", "unknown_parameter", "given_twice", "idempotency_mismatch"),
    *("not_json", "encoded", "not_a_length", "not_supported"),
    # JSON
    *(
        "empty_body",
        "not_utf8",
        "byte_order_mark",
        "invalid_json",
        "duplicate_key",
        "lone_surrogate",
        "not_a_json_number",
    ),
    *("number_too_long", "number_out_of_range", "too_many_values", "nested_too_deeply"),
    # parameters
    *("not_an_object", "wire_form", "required", "wrong_type", "not_one_of", "out_of_range"),
    *("too_few", "too_many", "too_long", "blank", "unknown_model", "too_many_images_with_video"),
    *("off_peak_unavailable", "body_too_large", "not_yours_to_give"),
    # money
    *("wrong_currency", "budget_exceeded", "price_unknown"),
    # files of results
    *("result_not_ready", "variant_unavailable", "result_gone", "link_refused"),
    # URLs
    *("url_scheme", "url_characters", "url_userinfo", "url_host", "url_port", "url_fragment"),
    *("url_not_public", "address_refused"),
    # media
    *("bare_base64", "media_type", "base64", "media_unknown", "media_type_mismatch", "media_unreadable"),
    *("media_truncated", "media_too_large", "media_too_small", "media_ratio", "animated_image"),
    *("clip_unreadable", "clip_without_video", "clip_too_long"),
    # uploads
    *("unknown_upload", "upload_misplaced", "upload_unreachable", "not_a_file"),
)

#: `limit` of a 429.
LIMITS: Final = (
    *("jobs", "checks", "webhook_changes", "uploads", "requests"),  # rates
    *(
        "jobs_waiting",
        "stored_bytes",
        "inline_media_bytes",
        "stored_uploads",
        "uploaded_bytes",
    ),  # quotas, which all processes share
    *(
        "open_waits",
        "open_streams",
        "open_downloads",
        "large_bodies",
        "test_events",
        "inspections",
        "open_uploads",
        "media_fetches",
        "ledger_checks",
    ),  # at once, per process
)

#: `log[].outcome` of a delivery. Repeated here because importing their source would load an HTTP client.
ATTEMPTS: Final = (
    *("succeeded", "http_3xx", "http_4xx", "http_5xx", "gone", "throttled", "timeout"),
    *("connection_refused", "connection_reset", "dns_error", "tls_error", "target_forbidden"),
    *("invalid_url", "protocol_error", "secret_missing", "headers_unreadable", "endpoint_deleted"),
    "event_lost",
)
