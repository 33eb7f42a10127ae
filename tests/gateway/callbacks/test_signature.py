"""The signature on a vidu callback, by vectors made elsewhere; and headers that somebody made up."""

from __future__ import annotations

import calendar
from typing import Any

import pytest

from gateway.callbacks.signature import TOLERANCE_SECONDS, Headers, Signature, SignatureStatus, sign, verify

KEY = b"test-secret"
DATE = b"Tue, 06 May 2025 12:09:42 GMT"
NOW = float(calendar.timegm((2025, 5, 6, 12, 9, 42)))
NONCE = b"123e4567-e89b-12d3-a456-426614174000"
SIGNED = [(b"Date", DATE), (b"x-request-nonce", NONCE)]
V1 = b"j5PqAvWXa6OnegZaBR9I0Gw5K+qmyDCNElqvJoJ0my8="
V2 = b"+DyEjYXXuekTXSOgVlfavXROTe1qR9MxHYJNnz2VeUs="
V3 = b"BdGtELHN/fTNcj/8pf80gJ8HDdGBwUB+GRnvHz3kzvE="  # without the last newline
V4 = b"uAXmarsVvDWJPw90NE4RjZumYyJ0tDkFSetOQykmdhc="  # the query sorted
V5 = b"wYNCd17zTZ8U0231r9rg+yftDZrrzH4lqgPQFZk4Tps="  # of a GET
V6 = b"AUc2aaP9bxd2x5kDmn9ofHrP8s87gfioyTcu6N8XRyE="  # `date:` instead of `Date:`
VALID = Signature(SignatureStatus.VALID, NONCE.decode())
WRONG = Signature(SignatureStatus.WRONG)


def headers(signature: bytes = V1, /, **changed: bytes | None) -> list[tuple[bytes, bytes]]:
    """As a server hands them over; `changed`: by name, `_` for `-`, None to leave one out."""
    found: dict[str, bytes | None] = {
        "content-type": b"application/json",
        "date": DATE,
        "x-request-nonce": NONCE,
        "x-hmac-signed-headers": b"Date;x-request-nonce",
        "x-hmac-signature": signature,
        "x-hmac-algorithm": b"hmac-sha256",
        "x-hmac-access-key": b"vidu",
    }
    found |= {name.replace("_", "-"): value for name, value in changed.items()}
    return [(name.encode(), value) for name, value in found.items() if value is not None]


def check(sent: Headers, **changed: Any) -> Signature:
    request: dict[str, Any] = {
        "key": KEY,
        "method": "POST",
        "path": "/vidu/callback",
        "query": "name=james&age=36",
        "now": NOW,
    }
    return verify(headers=sent, **{**request, **changed})


def resigned(**changed: bytes | None) -> list[tuple[bytes, bytes]]:
    """Changed headers with a signature that is right for them."""
    sent = dict(headers(**changed))
    listed = sent[b"x-hmac-signed-headers"].split(b";")
    signed = [(name, sent[name.lower()]) for name in listed]
    right = sign(KEY, "POST", "/vidu/callback", "name=james&age=36", sent[b"date"], signed)
    return list({**sent, b"x-hmac-signature": right}.items())


def test_the_worked_example_is_valid_and_has_its_nonce() -> None:
    assert check(headers(V1)) == VALID


def test_a_token_in_the_path_and_no_query_is_valid() -> None:
    assert check(headers(V2), path="/v1/upstream/callbacks/01JTESTTOKEN", query="") == VALID


@pytest.mark.parametrize("other", [V3, V4, V5, V6], ids=["no last newline", "sorted query", "GET", "date:"])
def test_a_signature_of_another_text_is_wrong(other: bytes) -> None:
    assert check(headers(other)) == WRONG


def test_names_are_signed_in_the_case_of_the_list() -> None:
    assert check(headers(V6, x_hmac_signed_headers=b"date;x-request-nonce")) == VALID
    assert check(headers(V1, x_hmac_signed_headers=b"date;x-request-nonce")) == WRONG


def test_the_signed_text_is_that_of_apisix() -> None:
    signed = [(b"User-Agent", b"curl/7.29.0"), (b"x-custom-a", b"test")]
    date = b"Tue, 19 Jan 2021 11:33:20 GMT"
    made = sign(b"my-secret-key", "GET", "/index.html", "age=36&name=james", date, signed, b"user-key")
    assert made == b"8XV1GB7Tq23OJcoz6wjqTs4ZLxr9DiLoY4PxzScWGYg="


def test_another_access_key_can_be_used() -> None:
    assert check(headers(V1), access_key=b"user-key") == WRONG
    signature = sign(KEY, "POST", "/vidu/callback", "name=james&age=36", DATE, SIGNED, b"user-key")
    assert check(headers(signature, x_hmac_access_key=b"user-key"), access_key=b"user-key") == VALID


@pytest.mark.parametrize(
    "changed",
    [
        {"key": b"another"},
        {"key": b""},
        {"method": "PUT"},
        {"path": "/vidu/callback/"},
        {"path": "/other"},
        {"query": ""},
        {"query": "age=36&name=james"},
    ],
)
def test_the_signature_of_another_request_is_wrong(changed: dict[str, Any]) -> None:
    assert check(headers(V1), **changed) == WRONG


def test_header_names_are_found_in_any_case() -> None:
    assert check([(name.upper(), value) for name, value in headers(V1)]) == VALID


def test_a_callback_without_any_of_the_headers_is_not_signed() -> None:
    assert check([(b"date", DATE), (b"x-request-nonce", NONCE)]) == Signature(SignatureStatus.ABSENT)
    assert check([]) == Signature(SignatureStatus.ABSENT)


@pytest.mark.parametrize(
    "name",
    [
        "date",
        "x-request-nonce",
        "x-hmac-signed-headers",
        "x-hmac-signature",
        "x-hmac-algorithm",
        "x-hmac-access-key",
    ],
)
def test_a_signature_with_a_missing_or_repeated_part_is_wrong(name: str) -> None:
    assert check(headers(V1, **{name: None})) == WRONG
    sent = headers(V1)
    assert check([*sent, (name.encode(), dict(sent)[name.encode()])]) == WRONG
    assert check([(name.upper().encode(), b"x"), *sent]) == WRONG


@pytest.mark.parametrize("listed", [b"", b"x-request-nonce", b"Date", b"content-type", b"Date;", b"Date,x"])
def test_a_list_without_the_date_or_the_nonce_is_wrong(listed: bytes) -> None:
    signed = [(name, dict(headers()).get(name.lower(), b"")) for name in listed.split(b";")]
    signature = sign(KEY, "POST", "/vidu/callback", "name=james&age=36", DATE, signed)
    assert check(headers(signature, x_hmac_signed_headers=listed)) == WRONG


def test_more_headers_may_be_covered() -> None:
    more = b"Date;x-request-nonce;Content-Type"
    assert check(resigned(x_hmac_signed_headers=more)) == VALID
    assert check(headers(V1, x_hmac_signed_headers=more)) == WRONG
    assert check(headers(V1, x_hmac_signed_headers=b"Date;x-request-nonce;x-not-there")) == WRONG


@pytest.mark.parametrize("algorithm", [b"hmac-sha1", b"hmac-sha512", b"HMAC-SHA256", b"none", b"", b"\xff"])
def test_no_other_algorithm_is_accepted(algorithm: bytes) -> None:
    assert check(resigned(x_hmac_algorithm=algorithm)) == WRONG


@pytest.mark.parametrize(
    "signature",
    [
        b"",
        b"\xff\xfe",
        "ü".encode("latin-1"),
        V1[:-1],
        V1 + b"=",
        V1 + b" ",
        V1.lower(),
        b"A" * 1_000_000,
    ],
)
def test_a_signature_has_one_spelling(signature: bytes) -> None:
    assert check(headers(signature)) == WRONG


@pytest.mark.parametrize(
    "listed",
    [
        b"Date;x-request-nonce;" + b"date;" * 100_000,
        b";" * 1_000_000,
        b"\xff;\x00;\xc3\x28",
        "Daté;x-request-nonce".encode(),
    ],
)
def test_malicious_lists_are_wrong_and_cheap_to_refuse(listed: bytes) -> None:
    assert check(headers(V1, x_hmac_signed_headers=listed)) == WRONG


@pytest.mark.parametrize("nonce", [b"", b"a b", b"\xff", b"\x00", b"n" * 129, b"n" * 1_000_000, b"a\nDate:x"])
def test_a_nonce_that_is_not_a_short_word_is_wrong(nonce: bytes) -> None:
    assert check(resigned(x_request_nonce=nonce)) == WRONG


def test_the_number_of_signed_headers_is_limited() -> None:
    listed = b"Date;x-request-nonce;content-type"
    assert check(resigned(x_hmac_signed_headers=listed, content_type=b"c" * 20_000)) == WRONG
    assert check(resigned(x_hmac_signed_headers=b";".join([b"Date", b"x-request-nonce"] * 9))) == WRONG


@pytest.mark.parametrize("skew", [-TOLERANCE_SECONDS, 0, TOLERANCE_SECONDS])
def test_a_date_within_the_tolerance_is_valid(skew: int) -> None:
    assert check(headers(V1), now=NOW + skew) == VALID


@pytest.mark.parametrize("skew", [-TOLERANCE_SECONDS - 1, TOLERANCE_SECONDS + 1, 1e9])
def test_a_date_outside_the_tolerance_is_stale_and_its_nonce_is_not_used(skew: float) -> None:
    assert check(headers(V1), now=NOW + skew) == Signature(SignatureStatus.STALE)
    assert check(headers(V2), now=NOW + skew) == WRONG


@pytest.mark.parametrize(
    "date",
    [
        b"",
        b"now",
        b"1746533382",
        b"2025-05-06T12:09:42Z",
        b"Tue, 06 May 2025 12:09:42 +0000",
        b"Tue, 06 May 2025 99:99:99 GMT",
        b"Tue, 99 May 2025 12:09:42 GMT",
        b"Tue, 06 Xyz 2025 12:09:42 GMT",
        b"Tue, 06 May 2025 :::::::: GMT",
        b"Tue, 06 May 0000 12:09:42 GMT",
        b"Tue, 06 May 9999 23:59:60 GMT",
        "Tue, 06 Mäi 2025 12:09:42 GMT".encode(),
    ],
)
def test_a_signed_date_that_is_invalid_is_stale(date: bytes) -> None:
    assert check(resigned(date=date)) == Signature(SignatureStatus.STALE)
