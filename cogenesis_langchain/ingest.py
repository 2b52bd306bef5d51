"""Files into context items: text, Markdown, JSON, JSON Lines, mbox and eml. No store, no models.

JSON is read in these forms, alone, in a list, or one to a line:
    {"type": "writing", "text": ..., "title": ...}        an item, as `context export` writes it
    {"profile": ..., "writings": [...], "notes": [...]}   groups of items
    {"profile": [{"title", "text"}], "additional_profile": "Name: ..."}   a record of the CoGenesis data
    any other object                                       a profile: every key is a field
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from cogenesis_langchain.errors import InputError
from cogenesis_langchain.fields import field_lines, field_values
from cogenesis_langchain.mail import looks_like_mail, read_mail
from cogenesis_langchain.types import CONTEXT_TYPES, ContextItem, ContextType, KnownValue

MAX_FILE_BYTES = 64_000_000
CHUNK_CHARS = 1500
_MAIL = (".mbox", ".eml", ".mbx")
_GROUPS: dict[str, ContextType] = {
    "profile": "profile",
    "profiles": "profile",
    "writing": "writing",
    "writings": "writing",
    "device": "device",
    "devices": "device",
    "note": "note",
    "notes": "note",
}
_BREAKS = (r"\n\s*\n", r"\n", r"(?<=[.!?…。！？])\s+", r"\s+")
KNOWN_VALUE_KEY = "known_value"


def read_items(
    sources: Sequence[Path] | bytes, *, type: ContextType | None = None, sender: str | None = None
) -> Iterator[ContextItem]:
    """Context items of files, or of the bytes of standard input; long texts come in chunks.

    Args:
        sources: files, or the bytes themselves.
        type: of everything read. None: what the file says, else by its name and form: mail is writing,
            a JSON object is profile, `profile*` and `note*` are what they are called, the rest is writing.
        sender: of mail, keep what this address sent.

    Raises:
        InputError: no such file, too large, not UTF-8 (with the offset of the byte), or broken JSON.
    """
    if type is not None and type not in CONTEXT_TYPES:
        raise InputError(f"unknown type: one of {', '.join(CONTEXT_TYPES)}")
    for name, data in _contents(sources):
        for item in _read(name, data, type, sender):
            yield from _chunked(item)


def read_values(sources: Sequence[Path] | bytes) -> Iterator[tuple[KnownValue, bool]]:
    """The known values in what `context export` wrote, each with whether it is enabled."""
    for name, data in _contents(sources):
        if KNOWN_VALUE_KEY.encode() not in data or _is_mail(name, data):
            continue
        for entry in _flat(_json(name, _decode(name, data))):
            if isinstance(entry, dict) and isinstance(entry.get(KNOWN_VALUE_KEY), str):
                value = KnownValue(entry[KNOWN_VALUE_KEY], str(entry.get("type", "DECLARED")), "declared")
                yield value, bool(entry.get("enabled", True))


def profile_values(item: ContextItem) -> list[KnownValue]:
    """Known values that the form of an item tells: of a profile its `Name: X` lines, of mail its headers."""
    lines = field_values(item.text) if item.type == "profile" else []
    return list(dict.fromkeys([*item.values, *lines]))


def chunk(text: str, limit: int = CHUNK_CHARS) -> list[str]:
    """Pieces of at most `limit` characters: cut between paragraphs, else lines, sentences, words.

    Nothing but white space at the cuts is lost.
    """
    return _chunk(text.strip(), limit, _BREAKS)


def _chunk(text: str, limit: int, breaks: Sequence[str]) -> list[str]:
    if len(text) <= limit:
        return [text] if text else []
    if not breaks:
        return [text[i : i + limit] for i in range(0, len(text), limit)]
    pieces: list[str] = []
    start, end = 0, 0  # of the piece being filled
    for stop, after in [
        *((m.start(), m.end()) for m in re.finditer(breaks[0], text)),
        (len(text), len(text)),
    ]:
        if stop - start > limit:
            if end > start:
                pieces.append(text[start:end].strip())
            start = min(max(end, start) + _white(text, max(end, start)), len(text))
            if stop - start > limit:
                pieces += _chunk(text[start:stop].strip(), limit, breaks[1:])
                start = after
        end = stop
    if start < len(text):
        pieces.append(text[start:].strip())
    return [piece for piece in pieces if piece]


def _white(text: str, at: int) -> int:
    match = re.compile(r"\s*").match(text, at)
    return len(match.group()) if match else 0


def _chunked(item: ContextItem) -> Iterator[ContextItem]:
    for piece in chunk(item.text):
        yield replace(item, text=piece)


def _contents(sources: Sequence[Path] | bytes) -> Iterator[tuple[str, bytes]]:
    if isinstance(sources, bytes):
        yield "standard input", sources
        return
    for path in sources:
        if path.is_dir():
            raise InputError(f"{path} is a folder: name its files, for example {path}/*.md")
        try:
            size = path.stat().st_size
            if size > MAX_FILE_BYTES:
                raise InputError(f"{path} has {size} bytes, the limit is {MAX_FILE_BYTES}: split it")
            yield str(path), path.read_bytes()
        except OSError as error:
            raise InputError(f"{path} cannot be read: {error.strerror or 'input error'}") from None


def _read(name: str, data: bytes, type: ContextType | None, sender: str | None) -> Iterator[ContextItem]:
    if _is_mail(name, data):
        yield from read_mail(data, type or "writing", sender)
        return
    text = _decode(name, data)
    suffix = Path(name).suffix.lower()
    if suffix in (".json", ".jsonl", ".ndjson") or (not _is_file(name) and text.lstrip()[:1] in ("{", "[")):
        yield from _json_items(_json(name, text), type, _type_of(name))
        return
    kind = type or _type_of(name) or "writing"
    title = Path(name).stem if _is_file(name) else ""
    yield ContextItem(kind, text, title, tuple(field_values(text)) if kind == "profile" else ())


def _is_mail(name: str, data: bytes) -> bool:
    return Path(name).suffix.lower() in _MAIL or (not _is_file(name) and looks_like_mail(data))


def _is_file(name: str) -> bool:
    return name != "standard input"


def _type_of(name: str) -> ContextType | None:
    stem = Path(name).stem.lower()
    return next(
        (kind for word, kind in _GROUPS.items() if re.search(rf"(?<![a-z]){word}(?![a-z])", stem)), None
    )


def _decode(name: str, data: bytes) -> str:
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(
            f"{name}: byte {error.start} is not UTF-8; convert the file, for example with iconv -t UTF-8"
        ) from None
    if "\0" in text:
        raise InputError(f"{name}: holds NUL bytes, so it is no text; save it as text first")
    return text.replace("\r\n", "\n").replace("\r", "\n")


def _json(name: str, text: str) -> Any:
    """One document, or one on each line."""
    try:
        return json.loads(text)
    except (json.JSONDecodeError, RecursionError) as error:
        first = error.lineno if isinstance(error, json.JSONDecodeError) else 1
    if not text.lstrip().startswith(("{", "[")) or "\n" not in text.strip():
        raise InputError(f"{name}:{first}: not valid JSON")
    out = []
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip():
            continue
        try:
            out.append(json.loads(line))
        except (json.JSONDecodeError, RecursionError):
            raise InputError(f"{name}:{max(number, first)}: not valid JSON") from None
    return out


def _flat(value: Any) -> Iterator[Any]:
    if isinstance(value, list):
        for entry in value:
            yield from _flat(entry)
    else:
        yield value


def _json_items(value: Any, type: ContextType | None, default: ContextType | None) -> Iterator[ContextItem]:
    for entry in _flat(value):
        if isinstance(entry, str):
            yield _item(type or default or "writing", entry)
        elif isinstance(entry, Mapping) and KNOWN_VALUE_KEY not in entry:
            yield from _object_items(entry, type, default)


def _object_items(
    entry: Mapping[str, Any], type: ContextType | None, default: ContextType | None
) -> Iterator[ContextItem]:
    if isinstance(entry.get("text"), str):
        named = _GROUPS.get(str(entry.get("type", "")).lower())
        yield _item(type or named or default or "writing", entry["text"], str(entry.get("title") or ""))
    elif "additional_profile" in entry:
        yield from _json_items(entry["additional_profile"], type or "profile", None)
        yield from _json_items(entry.get("profile") or [], type or "writing", None)
    elif "context" in entry:
        yield from _json_items(entry["context"], type, default)
    elif entry and all(key.lower() in _GROUPS for key in entry):
        for key, inner in entry.items():
            yield from _group(inner, type or _GROUPS[key.lower()])
    elif entry:
        yield _item(type or "profile", "\n".join(field_lines(entry)))


def _group(value: Any, kind: ContextType) -> Iterator[ContextItem]:
    """Entries of one group: the group says what they are."""
    for entry in _flat(value):
        if isinstance(entry, Mapping) and not isinstance(entry.get("text"), str):
            yield _item(kind, "\n".join(field_lines(entry)))
        else:
            yield from _json_items(entry, kind, None)


def _item(kind: ContextType, text: str, title: str = "") -> ContextItem:
    values: Iterable[KnownValue] = field_values(text) if kind == "profile" else ()
    return ContextItem(kind, text, title, tuple(values))
