"""What shows by its form alone. All persons, numbers and keys are made up."""

from __future__ import annotations

import string
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cogenesis_langchain.detect import digits, identifiers, patterns, secrets
from cogenesis_langchain.detect.patterns import find

LONG = "Qx7Lr2Bv9Tn4Wz8Kd3Hs6Jp1Mf5Yg0CaEuIoRqNtPwVb"


@pytest.mark.parametrize(
    ("type", "secret", "text"),
    [
        ("API_KEY", "sk-proj-abcDEF0123456789abcd", "use sk-proj-abcDEF0123456789abcd please"),
        ("API_KEY", "AKIAABCDEFGHIJKLMNOP", "id AKIAABCDEFGHIJKLMNOP."),
        ("API_KEY", "ghp_" + "a1" * 18, "ghp_" + "a1" * 18),
        ("API_KEY", "glpat-" + LONG[:20], f"token glpat-{LONG[:20]} of CI"),
        ("API_KEY", "SG." + LONG[:22] + "." + LONG[:43], f"mail SG.{LONG[:22]}.{LONG[:43]}"),
        ("API_KEY", "xoxb-123456789012-abcdefghij", "slack xoxb-123456789012-abcdefghij"),
        ("API_KEY", "123456789:" + LONG[:35], f"bot 123456789:{LONG[:35]} runs"),
        ("API_KEY", "0a1b2c3d4e5f", 'client_secret: "0a1b2c3d4e5f"'),
        ("API_KEY", "wJalrXUtnFEMI/K7MDENG+bPx", "AWS_SECRET_ACCESS_KEY=wJalrXUtnFEMI/K7MDENG+bPx"),
        ("PRIVATE_KEY", "", "-----BEGIN RSA PRIVATE KEY-----\nMIIabc\n-----END RSA PRIVATE KEY-----"),
        ("TOKEN", "", "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.c2lnbmF0dXJl"),
        ("TOKEN", "abcdefghij0123456789", "Authorization: Bearer abcdefghij0123456789"),
        ("TOKEN", "9e2f7d7d6f23820094f1be47", "cat_item == '9e2f7d7d6f23820094f1be47'"),
        ("TOKEN", LONG[:28], f"the session is {LONG[:28]}"),
        ("PASSWORD", "correct-horse!", "password: correct-horse!"),
        ("PASSWORD", "hunter22", "My password is hunter22."),
        ("PASSWORD", "geheim99!x", "Mein Passwort ist geheim99!x"),
        ("PASSWORD", "s3cret", "postgres://admin:s3cret@db:5432/app"),
        ("PASSWORD", "4711", "the door code is 4711"),
        ("CRYPTO", "0x" + "Ab" * 20, "send to 0x" + "Ab" * 20),
        ("CRYPTO", "1BvBMSEYstWetqTFn5Au4m4GFg7xJaNVN2", "pay 1BvBMSEYstWetqTFn5Au4m4GFg7xJaNVN2"),
        ("EMAIL_ADDRESS", "nora@intranet.local", "write nora@intranet.local."),
        ("EMAIL_ADDRESS", "nora (at) example (dot) org", "nora (at) example (dot) org"),
        ("EMAIL_ADDRESS", "nora[at]example.org", "nora[at]example.org"),
        ("EMAIL_ADDRESS", "nora%40example.org", "?to=nora%40example.org"),
        ("EMAIL_ADDRESS", "nora at example dot org", "reach nora at example dot org"),
        ("HANDLE", "nora_l", "follow @nora_l today"),
        ("HANDLE", "nora-lind", "see linkedin.com/in/nora-lind"),
        ("HANDLE", "nora.lind", "Skype: nora.lind"),
        ("LINK", "https://example.org/posts/2024-nora", "read https://example.org/posts/2024-nora."),
        ("PHONE_NUMBER", "+47 912 34 567", "call +47 912 34 567"),
        ("PHONE_NUMBER", "(555) 010-4477", "call (555) 010-4477"),
        ("PHONE_NUMBER", "+44 (0)20 7946 0018", "Tel. +44 (0)20 7946 0018"),
        ("PHONE_NUMBER", "07700 900417", "on 07700 900417 after six"),
        ("PHONE_NUMBER", "06 12 34 56 78", "au 06 12 34 56 78"),
        ("PHONE_NUMBER", "089/1234567", "unter 089/1234567"),
        ("PHONE_NUMBER", "555-010-4477x12", "fax 555-010-4477x12"),
        ("PHONE_NUMBER", "781 1704", "781 1704 office"),
        ("PHONE_NUMBER", "5550104477", "call me at 5550104477"),
        ("CREDIT_CARD", "4111 1111 1111 1111", "pay with 4111 1111 1111 1111"),
        ("CREDIT_CARD", "378282246310005", "Amex 378282246310005"),
        ("IBAN_CODE", "DE89 3704 0044 0532 0130 00", "to DE89 3704 0044 0532 0130 00 by noon"),
        ("IBAN_CODE", "gb82west12345698765432", "gb82west12345698765432"),
        ("US_SSN", "219\u201309\u20139999", "219\u201309\u20139999"),
        ("US_SSN", "219.09.9999", "SSN 219.09.9999"),
        ("US_BANK_NUMBER", "12345678", "my account number is 12345678"),
        ("US_PASSPORT", "512345678", "passport 512345678"),
        ("ID_NUMBER", "920027118", "Unified Number 920027118"),
        ("ID_NUMBER", "KX-4471-B", "policy number: KX-4471-B"),
        ("ID_NUMBER", "19840312-1234", "personnummer 19840312-1234"),
        ("UK_NINO", "AB 12 34 56 C", "NI AB 12 34 56 C"),
        ("ES_NIF", "12345678Z", "DNI 12345678Z"),
        ("IT_FISCAL_CODE", "RSSMRA85T10A562S", "codice RSSMRA85T10A562S"),
        ("IP_ADDRESS", "203.0.113.77", "from 203.0.113.77 today"),
        ("IP_ADDRESS", "2001:db8::8a2e:370:7334", "from 2001:db8::8a2e:370:7334"),
        ("MAC_ADDRESS", "00:1A:2B:3C:4D:5E", "device 00:1A:2B:3C:4D:5E"),
        ("UUID", "123e4567-e89b-12d3-a456-426614174000", "run 123e4567-e89b-12d3-a456-426614174000"),
        ("COORDINATES", "59.9139, 10.7522", "at 59.9139, 10.7522"),
        ("VIN", "1HGCM82633A004352", "VIN 1HGCM82633A004352"),
        ("LICENSE_PLATE", "M-KL 4711", "parked: M-KL 4711"),
        ("LICENSE_PLATE", "7ABC123", "license plate 7ABC123"),
        ("FILE_PATH", "nora", "/home/nora/notes.txt"),
        ("LOCATION", "14 Juniper Lane", "She lives at 14 Juniper Lane."),
        ("LOCATION", "14 Martin Luther King Boulevard", "at 14 Martin Luther King Boulevard"),
        ("LOCATION", "14 juniper lane", "she lives at 14 juniper lane"),
        ("LOCATION", "Juniperstraße 5", "in der Juniperstraße 5"),
        ("LOCATION", "12 rue des Lilas", "au 12 rue des Lilas"),
        ("LOCATION", "Calle Mayor 23", "en Calle Mayor 23"),
        ("LOCATION", "Via Garibaldi 7", "in Via Garibaldi 7"),
        ("LOCATION", "PO Box 4471", "write to PO Box 4471"),
        ("LOCATION", "SW1A 2AA", "London SW1A 2AA"),
        ("LOCATION", "", "14 Juniper Lane\nApt. 9\nSpringfield, IL 62704"),
        ("DATE_OF_BIRTH", "12 March 1984", "born on 12 March 1984 in town"),
        ("DATE_OF_BIRTH", "1984-03-12", "DOB: 1984-03-12"),
        ("AGE", "47", "My brother just turned 47."),
        ("AGE", "64", "It was written when he was 64."),
        ("DATE_OF_BIRTH", "2/16/1942", "You asked for my date of birth. It's 2/16/1942"),
        ("LOCATION", "Fen Road and Alder Street", "at the corner of Fen Road and Alder Street"),
        ("LOCATION", "USNS Farwell\nFPO AE 12345", "send it to USNS Farwell\nFPO AE 12345"),
        ("LOCATION", "12 Fen Road\n> Suite 8\n> Wexmere 89800", "> 12 Fen Road\n> Suite 8\n> Wexmere 89800"),
        ("SALARY", "$85,000", "her salary is about $85,000 a year"),
        ("PERSON", "Hossam", "please ask dr. Hossam about it"),
        ("PERSON", "nora lindqvist", "my name is nora lindqvist"),
        ("PERSON", "Tomkin", "Best wishes,\nTomkin"),
        ("PERSON", "Lijun", "Good morning Lijun, thank you"),
        ("ORGANIZATION", "Brightwater Holdings Ltd.", "a letter to Brightwater Holdings Ltd. today"),
        ("ORGANIZATION", "brightwater pvt ltd", "the bill of brightwater pvt ltd came"),
        ("ORGANIZATION", "Brightwater Inc.", "At Brightwater Inc. we care."),
        ("ORGANIZATION", "Cernel Corporation", "1. Epsys Systems 2. Cernel Corporation 3. Medidat"),
    ],
)  # fmt: skip
def test_private_forms_are_found(type: str, secret: str, text: str) -> None:
    """Each kind is found, and no more than its private part."""
    found = [text[s.start : s.end] for s in find(text) if s.type == type]
    assert (secret or text) in found


@pytest.mark.parametrize(
    "text",
    [
        "Write an invitation to a birthday party in a garden, with 8 to 15 short points.",
        "The password is required and the API key is rotated. The password is case-sensitive.",
        "Meet me at noon. We were at work. Then we left at dawn.",
        "It costs 12.50, or 2024 in all; see section 3.1.4, pages 10-12.",
        "@media screen and (max-width: 600px) and @property def name(self):",
        "sketch-and-write, risk-free, ask-me-anything, internationalization-friendly",
        "From 2019-2020 the 1,234,567 users of version 10.0.19041.1 paid $1,299.00 at 12:30:45.",
        "On 2024-03-05, 05.06.2024 and 12/31/2023 the ISBN was 978-3-16-148410-0.",
        "1000000000 is a round number, and so is 100 000 000.",
        "Dear customer, my boss said hi to everyone. My father retired. Best regards,\nyour team",
        "Ten minutes down the road there is a 4 lane highway with 2 cars per second.",
        "Our company is limited in what it can do, inc. all others, and the key is under the mat.",
        "getUserProfileByIdAsyncV2 returns a ListOfVeryLongNamesInCamelCase and snake_case_names_2",
        "The chicken recipe takes 45 minutes; he is 5 minutes late and turned 180 degrees.",
    ],
)
def test_everyday_text_is_not_private(text: str) -> None:
    """Ordinary sentences, dates, amounts, versions and code give no hit."""
    assert list(find(text)) == []


@pytest.mark.parametrize("number", ["4111111111111112", "1234567890123456", "0000000000000000"])
def test_a_card_needs_its_check_digit(number: str) -> None:
    """Luhn's digit decides what is a card."""
    assert not digits.is_card(number, [16])
    assert digits.is_card("4111111111111111", [16])


@given(st.text(string.digits, min_size=11, max_size=18).filter(lambda n: len(set(n)) > 3))
def test_exactly_one_last_digit_makes_a_card(number: str) -> None:
    """Whatever the digits before, one of ten endings passes the check."""
    number = "4" + number[1:]
    passing = [d for d in string.digits if digits.is_card(number + d, [len(number) + 1])]
    assert len(passing) == 1


@given(st.integers(0, 10**18 - 1), st.integers(1, 17))
def test_an_iban_with_two_digits_swapped_is_none(account: int, place: int) -> None:
    """Modulo 97 sees every swap of two neighbouring digits."""
    body = f"{account:018d}"
    check = next(c for c in range(2, 99) if identifiers.is_iban(f"DE{c:02d}{body}"))
    swapped = body[: place - 1] + body[place] + body[place - 1] + body[place + 1 :]
    assert identifiers.is_iban(f"DE{check:02d}{swapped}") == (swapped == body)


def test_offsets_hold_where_lower_case_is_longer() -> None:
    """A capital dotted I has two characters in small letters; places behind it do not move."""
    text = "İİİ my name is Nora, PASSWORD: Hunter22!x"
    found = {s.type: text[s.start : s.end] for s in find(text)}
    assert found == {"PERSON": "Nora", "PASSWORD": "Hunter22!x"}


def test_the_library_of_rules_is_only_loaded_for_long_words(monkeypatch: pytest.MonkeyPatch) -> None:
    """Everyday text costs no import of detect-secrets, nor its rules."""
    monkeypatch.setattr(secrets, "_library", lambda: pytest.fail("loaded"))
    assert list(find("Please write a note to the neighbours about 4 chairs.")) == []


def test_a_broken_library_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """If the rules for secrets cannot be loaded nothing is reported clean."""

    def broken() -> None:
        raise ImportError

    monkeypatch.setattr(secrets, "_library", broken)
    with pytest.raises(ImportError):
        list(find("a" * 40))


def test_every_finding_scores_above_the_gate() -> None:
    """What the patterns find is private enough to stop a request."""
    tables = (patterns._REACHING, patterns._LIFE, identifiers.CODES, secrets.KEYS, secrets.SECRETS)
    assert all(0.5 <= pattern.score <= 1 for table in tables for pattern in table)


PIECES = [
    "+",
    "(",
    "-",
    " ",
    ".",
    "/",
    ":",
    "@",
    "0",
    "12",
    "999",
    "DE89",
    "Apt ",
    "key=",
    "born ",
    "Dr ",
    "\n",
    "é",
    "İ",
    "你",
]


@given(st.one_of(st.text(max_size=300), st.lists(st.sampled_from(PIECES), max_size=60).map("".join)))
def test_any_text_can_be_read(text: str) -> None:
    """Whatever is written, the patterns end, and what they find lies in the text and is not empty."""
    assert all(0 <= span.start < span.end <= len(text) for span in find(text))


HOSTILE = [
    "a", "a.", "a@", "@", "-", "+1 ", "1-", "sk-", "password: ", "Aa ", "x at ", "://a:", "1 ", "9 9",
    "A1", "key=a1", "eyJ", "aws key '", "(1)", "\n", "best,\n", " inc", "12 Aa ", "a1b2c3d4e5f6g7h8",
    "GB11 ", ":", "a:b:", "http://a/", "12 rue de ", "(at)", "ACa1", "xoxa-1-", "1.1.", "'\"",
    "seed phrase word ", "$1", "zip 12345", "NY 12345 ", "-----BEGIN PRIVATE KEY-----", "İ", "\u200b",
    "AKC", "pypi-AgEIcHlwaS5vcmc", "gl", "Apt 1 ", "🙂",
]  # fmt: skip


@pytest.mark.parametrize("unit", HOSTILE)
def test_hostile_text_takes_linear_time(unit: str) -> None:
    """Four times the text takes about four times the time, however it was made to backtrack."""

    def seconds(count: int) -> float:
        text = (unit * count)[:count]
        begun = time.process_time()
        list(find(text))
        return time.process_time() - begun

    seconds(1_000)
    small = min(seconds(5_000) for _ in range(3))
    assert min(seconds(20_000) for _ in range(3)) < 10 * max(small, 0.002)


@pytest.mark.parametrize(
    "text",
    [
        "the army wife Nora",
        "adept. 4b of them",
        "drumsticks. Nora",
        "They Bob",
        "shi Bob",
        "he is an adm. Ravn",
    ],
)
def test_a_cue_within_a_word_is_none(text: str) -> None:
    """However much it looks like one from there on."""
    assert not {s.type for s in patterns.find(text)} & {"PERSON", "LOCATION"}


@pytest.mark.parametrize("before", ["", "x " * 300, "@ " * 300, "@" * 500 + " ", "a@b " * 200])
def test_a_mail_address_is_found_whatever_stands_before_it(before: str) -> None:
    """Only what is around the sign is read, and signs may stand close together."""
    address = "n" * 60 + "@" + "a" * 60 + "." + "b" * 60 + ".example.org"
    text = f"{before}{address} and more"
    assert any(text[s.start : s.end] == address for s in patterns.find(text) if s.type == "EMAIL_ADDRESS")
