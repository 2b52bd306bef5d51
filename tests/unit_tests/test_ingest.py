from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cogenesis_langchain.errors import InputError
from cogenesis_langchain.ingest import MAX_FILE_BYTES, chunk, profile_values, read_items, read_values
from cogenesis_langchain.types import ContextItem, KnownValue


def items(data: Any, **options: Any) -> list[ContextItem]:
    """What standard input gives; anything but bytes goes in as JSON."""
    raw = data if isinstance(data, bytes) else json.dumps(data).encode()
    return list(read_items(raw, **options))


def plain(found: list[ContextItem]) -> list[tuple[str, str, str]]:
    """(type, title, text) of each."""
    return [(item.type, item.title, item.text) for item in found]


def values(found: list[ContextItem]) -> dict[str, str]:
    """Known values and their types."""
    return {value.value: value.type for item in found for value in profile_values(item)}


@pytest.mark.parametrize(
    ("name", "type_"),
    [
        ("letter.txt", "writing"),
        ("my-profile.md", "profile"),
        ("notes.txt", "note"),
        ("device_2024.md", "device"),
        ("notebook.txt", "writing"),
        ("README", "writing"),
    ],
)
def test_text_files_are_typed_by_their_name(tmp_path: Path, name: str, type_: str) -> None:
    """The name decides where nothing else does; the title is the file's name; --type wins."""
    path = tmp_path / name
    path.write_text("\ufeffDear Pemberley,\r\n\r\nthank you.", encoding="utf-8")
    assert plain(list(read_items([path]))) == [(type_, path.stem, "Dear Pemberley,\n\nthank you.")]
    assert [item.type for item in read_items([path], type="device")] == ["device"]


def test_items_in_json(tmp_path: Path) -> None:
    """Objects with a text, alone, in a list, by lines; strings; types and titles are kept."""
    entry = {"type": "note", "text": "Call the plumber", "title": "todo"}
    want = [("note", "todo", "Call the plumber")]
    assert plain(items(entry)) == plain(items([entry])) == want
    assert plain(items(b"\n".join([json.dumps(entry).encode()] * 2))) == want * 2
    assert plain(items(["one", "two"], type="note")) == [("note", "", "one"), ("note", "", "two")]
    path = tmp_path / "x.jsonl"
    path.write_text(json.dumps({"text": "hello"}) + "\n\n" + json.dumps(entry))
    assert plain(list(read_items([path]))) == [("writing", "", "hello"), *want]


def test_groups_in_json() -> None:
    """`profile`, `writings`, `notes` say what is in them, whatever form the entries have."""
    found = items(
        {"profile": {"name": "Ada"}, "writings": ["w1", {"title": "t", "text": "w2"}], "notes": "n"}
    )
    assert plain(found) == [
        ("profile", "", "Name: Ada"),
        ("writing", "", "w1"),
        ("writing", "t", "w2"),
        ("note", "", "n"),
    ]


def test_a_record_of_the_cogenesis_data() -> None:
    """Past writings under `profile`, the person under `additional_profile`; tasks are no context."""
    found = items(
        [
            {
                "tid": "1_2",
                "conversations": [{"from": "user", "value": "task"}],
                "profile": [{"title": "A poem", "text": "Roses are blue", "id": "0"}],
                "additional_profile": "Age: 47\nName: Isolde Marchbanks\nWriting_style: Warm; Witty",
                "additional_tasks": ["x"],
            }
        ]
    )
    assert plain(found) == [
        ("profile", "", "Age: 47\nName: Isolde Marchbanks\nWriting_style: Warm; Witty"),
        ("writing", "A poem", "Roses are blue"),
    ]
    assert values(found) == {
        "Isolde Marchbanks": "PERSON",
        "Isolde": "PERSON",
        "Marchbanks": "PERSON",
    }


def test_a_profile_object_gives_fields() -> None:
    """Every key is a line, nested and listed ones too, and its values are known with their types."""
    found = items(
        {
            "name": "Ada Thornquist",
            "age": 47,
            "homeTown": "Wexcombe Hollow",
            "family": {"sister": "Bryony", "children": ["Caspian", "Dulcie"]},
            "e-mail": "ada@tidewell.example",
            "hobbies": "kayaking, pottery",
            "vegetarian": True,
            "bio": "I have lived in so many different towns that I cannot count them any more.",
            "employer": None,
        }
    )
    assert [item.type for item in found] == ["profile"]
    assert "Family / Children: Caspian\nFamily / Children: Dulcie" in found[0].text
    assert "Home Town: Wexcombe Hollow" in found[0].text
    got = values(found)
    assert got["Ada Thornquist"] == got["Thornquist"] == got["Bryony"] == got["Dulcie"] == "PERSON"
    assert got["Wexcombe Hollow"] == "LOCATION"
    assert got["ada@tidewell.example"] == "EMAIL_ADDRESS"
    assert got["kayaking"] == got["pottery"] == "HOBBIES"
    assert not {"47", "yes"} & set(got)
    assert not any("lived" in value for value in got)


def test_profile_lines_in_text_give_values() -> None:
    """`Name: X` lines of a profile text, in Markdown too; not in other types, not URLs, not times."""
    text = "# Me\n- **Name:** Ada Thornquist\n* Employer: Brambleholt Kelpworks\nhttps://x.example at 10:30"
    got = profile_values(ContextItem("profile", text))
    assert KnownValue("Ada Thornquist", "PERSON", "field") in got
    assert KnownValue("Brambleholt Kelpworks", "ORGANIZATION", "field") in got
    assert len(got) == 4
    assert profile_values(ContextItem("note", text)) == []
    assert profile_values(ContextItem("note", "x", values=(got[0],))) == [got[0]]


def test_every_chunk_keeps_the_values_of_its_item() -> None:
    """A long profile is stored in pieces, and no piece may be stored before its values are known."""
    found = items({"name": "Ada Thornquist", "about": "word " * 900})
    assert len(found) > 1
    assert all("Thornquist" in {v.value for v in profile_values(item)} for item in found)


MAIL = b"""From ada@tidewell.example Mon Jan  5 10:00:00 2026
From: =?utf-8?q?Ad=C3=A4_Thornquist?= <ada@tidewell.example>
To: "Pemberley, Rupert" <rupert@example.org>, kim@example.org
Subject: =?utf-8?q?Regatta_caf=C3=A9?=
MIME-Version: 1.0
Content-Type: multipart/alternative; boundary=B

--B
Content-Type: text/plain; charset=iso-8859-1
Content-Transfer-Encoding: quoted-printable

Dear Rupert,

the caf=E9 is booked.
>From here it is a mile.

Yours, Ad=E4
--=20
Thornquist & Co
+44 7700 900417

On Mon, 5 Jan 2026 at 09:00, Rupert Pemberley
<rupert@example.org> wrote:
> Is it booked?
--B
Content-Type: text/html

<p>HTML twin</p>
--B--

From kim@example.org Tue Jan  6 10:00:00 2026
From: kim@example.org
Subject: Re: html only
Content-Type: text/html; charset=utf-8

<html><head><title>t</title><style>p {}</style></head><body><p>Hello&nbsp;Ada,<br>yes.</p>
<blockquote>quoted text</blockquote><script>x()</script></body></html>

From x Wed Jan  7 10:00:00 2026
From: x@example.org
Subject: nothing of my own

> all quoted
"""


def test_mail_is_what_its_writer_wrote() -> None:
    """Of an mbox: own words only, decoded, with subject as title; empty messages are left out."""
    assert plain(items(MAIL)) == [
        (
            "writing",
            "Regatta café",
            "Dear Rupert,\n\nthe café is booked.\nFrom here it is a mile.\n\nYours, Adä",
        ),
        ("writing", "Re: html only", "Hello Ada,\nyes."),
    ]


def test_people_of_mail_headers_are_known() -> None:
    """Names, their parts and addresses of every address header become values."""
    got = values(items(MAIL)[:1])
    assert got["Adä Thornquist"] == got["Thornquist"] == got["Rupert"] == got["Pemberley, Rupert"] == "PERSON"
    assert got["kim@example.org"] == got["ada@tidewell.example"] == "EMAIL_ADDRESS"


def test_mail_of_one_sender() -> None:
    """With a sender, only what that address sent is read, whatever its case."""
    assert [item.title for item in items(MAIL, sender="KIM@example.org")] == ["Re: html only"]


def test_a_single_message(tmp_path: Path) -> None:
    """An .eml file, and the same on standard input, recognised by its headers."""
    raw = b"Subject: Hi\r\nFrom: a@example.org\r\n\r\nHello there.\r\n\r\n> quoted\r\n"
    path = tmp_path / "one.eml"
    path.write_bytes(raw)
    assert plain(list(read_items([path]))) == plain(items(raw)) == [("writing", "Hi", "Hello there.")]
    assert items(b"Name: Ada\nTown: X\n\nno mail", type="profile")[0].type == "profile"


@pytest.mark.parametrize(
    "raw",
    [
        b"From x 2026\nContent-Type: text/plain; charset=no-such\nFrom: a@b.example\n\nbody \xff\xfe",
        b"From: \xff\xfe <\nTo: ,,,;:<>\nSubject: =?utf-8?b?!!!?=\n\nbody",
        b"From: a@b.example\nTo: b\nContent-Type: multipart/mixed; boundary=\n\nbody",
        b"From: a@b.example\nSubject: s\nContent-Type: image/png\nContent-Transfer-Encoding: base64\n\n!!",
        b"From ",
        b"From x 2026\n\n\n",
    ],
)
def test_broken_mail_is_read_as_far_as_it_goes(tmp_path: Path, raw: bytes) -> None:
    """Wrong charsets, headers and structures raise nothing, and what comes out can be stored."""
    path = tmp_path / "x.mbox"
    path.write_bytes(raw)
    for item in read_items([path]):
        assert item.text.encode()
        assert item.title.encode() is not None


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"abc\xff\xfe", r"byte 3 is not UTF-8"),
        (b"PK\x03\x04\0\0", "NUL"),
        (b'{"a": 1,\n"b": }', "not valid JSON"),
        (b'{"a": 1}\n{"b": ]\n', r":2: not valid JSON"),
        (b"[" * 100_000, "not valid JSON"),
    ],
)
def test_bad_bytes_are_named(tmp_path: Path, data: bytes, message: str) -> None:
    """Not UTF-8, binary and broken JSON: an InputError with the file and the place, never the text."""
    path = tmp_path / "x.json"
    path.write_bytes(data)
    with pytest.raises(InputError, match=message) as error:
        list(read_items([path]))
    assert str(path) in str(error.value)
    assert error.value.__cause__ is None


def test_files_that_cannot_be_read_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Missing files, folders and files over the limit are InputErrors that say what to do."""
    with pytest.raises(InputError, match="No such file"):
        list(read_items([tmp_path / "none.txt"]))
    with pytest.raises(InputError, match="folder"):
        list(read_items([tmp_path]))
    monkeypatch.setattr("cogenesis_langchain.ingest.MAX_FILE_BYTES", 3)
    (tmp_path / "big.txt").write_text("1234")
    with pytest.raises(InputError, match="limit is 3"):
        list(read_items([tmp_path / "big.txt"]))
    assert MAX_FILE_BYTES > 1_000_000
    with pytest.raises(InputError, match="unknown type"):
        items(b"x", type="diary")


def test_exported_values_come_back() -> None:
    """What `export` wrote is read back: items by read_items, values by read_values, flags kept."""
    lines = [
        {"type": "note", "title": "t", "text": "x", "added": "2026-01-01", "id": "0"},
        {"known_value": "Ada", "type": "PERSON", "origin": "field", "enabled": False},
    ]
    raw = b"\n".join(json.dumps(line).encode() for line in lines)
    assert plain(items(raw)) == [("note", "t", "x")]
    assert list(read_values(raw)) == [(KnownValue("Ada", "PERSON", "declared"), False)]
    assert list(read_values(b"just text")) == []


def test_empty_sources_give_nothing() -> None:
    """Blank text, empty lists and objects hold no items."""
    for raw in (b"", b"  \n", b"[]", b"{}", b'{"text": "  "}', b"[null, 3]"):
        assert items(raw) == []


@given(st.text(alphabet="ab .!\n\u00e9\u3002", max_size=400), st.integers(1, 50))
def test_chunks_lose_nothing_but_white_space(text: str, limit: int) -> None:
    """Every piece fits, none is blank, and together they hold the text's characters in order."""
    pieces = chunk(text, limit)
    assert all(0 < len(piece) <= limit and piece == piece.strip() for piece in pieces)
    assert "".join("".join(pieces).split()) == "".join(text.split())


def test_chunks_are_cut_between_paragraphs() -> None:
    """Whole paragraphs stay together as long as they fit."""
    assert chunk("one\n\ntwo\n\nthree", 9) == ["one\n\ntwo", "three"]
    assert chunk("A first one. A second one.", 15) == ["A first one.", "A second one."]
    assert chunk("x" * 25, 10) == ["x" * 10, "x" * 10, "x" * 5]
    assert chunk("a\n\n" + "b" * 12 + "\n\nc", 10) == ["a", "b" * 10, "bb", "c"]
