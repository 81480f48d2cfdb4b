"""Whatever looks like a secret, or is a known one, leaves no text unmasked."""

import pytest
from lib.redaction import redact


@pytest.mark.parametrize(
    ("text", "secret"),
    [
        ("token dapi0123456789abcdef0123456789abcdef-2 refused", "dapi0123"),
        ("Authorization: Bearer abc.def-ghi", "abc.def-ghi"),
        ("{'Authorization': 'Bearer abcdefgh'}", "abcdefgh"),
        ("Authorization: Basic dXNlcjpwYXNz", "dXNlcjpwYXNz"),
        ('{"access_token": "s3cr3tvalue", "expires_in": 5}', "s3cr3tvalue"),
        ("client_secret=s3cr3tvalue&grant_type=x", "s3cr3tvalue"),
        ("password: hunter22", "hunter22"),
        ("https://store.test/a?X-Amz-Signature=abc123&x=1", "abc123"),
        ("https://store.test/a?sv=1&sig=abc%2B123", "abc%2B123"),
        ("eyJhbGciOi.eyJzdWIiOi.c2lnbmF0dXJl was refused", "c2lnbmF0dXJl"),
        ("http://user:pa55word@proxy:3128", "pa55word"),
        ("encryption_key = Zm9vYmFy", "Zm9vYmFy"),
    ],
)
def test_masks(text, secret):
    assert secret in text
    assert secret not in redact(text) and "***" in redact(text)


@pytest.mark.parametrize(
    "text",
    [
        "Table main.gold.token_usage was not found. SQLSTATE: 42P01",
        "Invalid access token.",
        "RESOURCE_DOES_NOT_EXIST: Job 12 does not exist",
        "https://adb-1.2.azuredatabricks.net/?o=1#job/2",
    ],
)
def test_leaves_ordinary_texts(text):
    assert redact(text) == text


def test_known_secrets_of_any_form():
    assert redact("it was Sampaguita-2025!", ["Sampaguita-2025!", None, ""]) == "it was ***"


def test_limit_cuts_after_masking():
    text = redact("x" * 95 + " Bearer abcdefghijkl", limit=100)
    assert len(text) == 100 and "abc" not in text and text.endswith("…")
    assert redact("short", limit=100) == "short"
