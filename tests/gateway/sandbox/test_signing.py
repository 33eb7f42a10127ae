from __future__ import annotations

from gateway.sandbox.signing import signature, signed_headers

DATE = "Tue, 06 May 2025 12:09:42 GMT"
NONCE = "123e4567-e89b-12d3-a456-426614174000"
SIGNED = [("Date", DATE), ("x-request-nonce", NONCE)]


def test_the_published_example_is_signed_with_its_query_unchanged() -> None:
    made = signature("test-secret", "POST", "/vidu/callback", "name=james&age=36", DATE, SIGNED)
    assert made == "j5PqAvWXa6OnegZaBR9I0Gw5K+qmyDCNElqvJoJ0my8="


def test_a_path_without_a_query_is_signed() -> None:
    made = signature("test-secret", "POST", "/v1/upstream/callbacks/01JTESTTOKEN", "", DATE, SIGNED)
    assert made == "+DyEjYXXuekTXSOgVlfavXROTe1qR9MxHYJNnz2VeUs="


def test_another_access_key_and_other_headers_are_signed() -> None:
    headers = [("User-Agent", "curl/7.29.0"), ("x-custom-a", "test")]
    date = "Tue, 19 Jan 2021 11:33:20 GMT"
    made = signature("my-secret-key", "GET", "/index.html", "age=36&name=james", date, headers, "user-key")
    assert made == "8XV1GB7Tq23OJcoz6wjqTs4ZLxr9DiLoY4PxzScWGYg="


def test_the_headers_of_a_callback_have_the_signature_of_its_url() -> None:
    url = "http://127.0.0.1:8080/v1/upstream/callbacks/01JTESTTOKEN"
    headers = signed_headers("test-secret", url, DATE, NONCE)
    assert headers["X-HMAC-SIGNATURE"] == "+DyEjYXXuekTXSOgVlfavXROTe1qR9MxHYJNnz2VeUs="
    assert headers["X-HMAC-SIGNED-HEADERS"] == "Date;x-request-nonce"
