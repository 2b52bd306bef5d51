from __future__ import annotations

import time

import pytest

from cogenesis_langchain.patterns import find


@pytest.mark.parametrize(
    ("type", "secret", "text"),
    [
        ("API_KEY", "sk-proj-abcDEF0123456789abcd", "use sk-proj-abcDEF0123456789abcd please"),
        ("API_KEY", "AKIAABCDEFGHIJKLMNOP", "id AKIAABCDEFGHIJKLMNOP."),
        ("API_KEY", "ghp_" + "a1" * 18, "ghp_" + "a1" * 18),
        ("API_KEY", "0a1b2c3d4e5f", 'client_secret: "0a1b2c3d4e5f"'),
        ("PRIVATE_KEY", "", "-----BEGIN RSA PRIVATE KEY-----\nMIIabc\n-----END RSA PRIVATE KEY-----"),
        ("TOKEN", "", "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.c2lnbmF0dXJl"),
        ("TOKEN", "abcdefghij0123456789", "Authorization: Bearer abcdefghij0123456789"),
        ("PASSWORD", "correct-horse!", "password: correct-horse!"),
        ("PASSWORD", "hunter22", "My password is hunter22."),
        ("PASSWORD", "s3cret", "postgres://admin:s3cret@db:5432/app"),
        ("CRYPTO", "0x" + "Ab" * 20, "send to 0x" + "Ab" * 20),
        ("EMAIL_ADDRESS", "nora@intranet.local", "write nora@intranet.local."),
        ("EMAIL_ADDRESS", "nora (at) example (dot) org", "nora (at) example (dot) org"),
        ("EMAIL_ADDRESS", "nora[at]example.org", "nora[at]example.org"),
        ("EMAIL_ADDRESS", "nora%40example.org", "?to=nora%40example.org"),
        ("EMAIL_ADDRESS", "nora at example dot org", "reach nora at example dot org"),
        ("HANDLE", "nora_l", "follow @nora_l today"),
        ("PHONE_NUMBER", "+47 912 34 567", "call +47 912 34 567"),
        ("PHONE_NUMBER", "(555) 010-4477", "call (555) 010-4477"),
        ("US_SSN", "219\u201309\u20139999", "219\u201309\u20139999"),
        ("COORDINATES", "59.9139, 10.7522", "at 59.9139, 10.7522"),
        ("VIN", "1HGCM82633A004352", "VIN 1HGCM82633A004352"),
        ("FILE_PATH", "nora", "/home/nora/notes.txt"),
        ("LOCATION", "14 Juniper Lane", "She lives at 14 Juniper Lane."),
        ("LOCATION", "Juniperstraße 5", "in der Juniperstraße 5"),
        ("SALARY", "$85,000", "her salary is about $85,000 a year"),
    ],
)
def test_secrets_are_found(type: str, secret: str, text: str) -> None:
    """Each kind of secret is found, and no more than its private part."""
    found = [text[s.start : s.end] for s in find(text) if s.type == type]
    assert (secret or text) in found


@pytest.mark.parametrize(
    "text",
    [
        "Write an invitation to a birthday party in a garden, with 8 to 15 short points.",
        "The password is required and the API key is rotated.",
        "Meet me at noon. We were at work. Then we left at dawn.",
        "It costs 12.50, or 2024 in all; see section 3.1.4, pages 10-12.",
        "@media screen and (max-width: 600px)",
        "sketch-and-write, risk-free, ask-me-anything",
    ],
)
def test_everyday_text_is_no_secret(text: str) -> None:
    """Ordinary sentences give no hit."""
    assert list(find(text)) == []


@pytest.mark.parametrize(
    "unit", ["a", "a.", "a@", "@", "-", "+1 ", "1-", "sk-", "password: ", "Aa ", "x at ", "://a:"]
)
def test_hostile_text_takes_linear_time(unit: str) -> None:
    """10,000 characters made to make patterns backtrack take a fraction of a second."""
    text = (unit * 10_000)[:10_000]
    start = time.process_time()
    list(find(text))
    assert time.process_time() - start < 1


