"""Mail as writing: the body a person wrote, without what it answers. Pure (standard library only).

Of each message: the plain text (else the HTML as text), cut at quoted replies, forwarded messages and the
signature. The people and addresses of its headers become known values. Broken messages are read as far as
the standard library can.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from email import policy
from email.errors import MessageError
from email.message import EmailMessage
from email.parser import BytesParser
from email.utils import getaddresses
from html.parser import HTMLParser

from cogenesis_langchain.types import ContextItem, ContextType, KnownValue

_FROM_LINE = re.compile(rb"(?:\A|\n\r?\n)(?=From [^\r\n]*\d{4}[^\r\n]*\r?\n[!-9;-~]+:)")
_HEADER = re.compile(rb"\A(?:From |(?:[!-9;-~]+:[^\n]*\n(?:[ \t][^\n]*\n)*)+\r?\n)")
_KNOWN_HEADER = re.compile(rb"^(?:From|To|Subject|Date|Received|Message-ID|MIME-Version):", re.I | re.M)
_PEOPLE = ("from", "to", "cc", "bcc", "reply-to", "sender")
_ANSWERED = re.compile(
    r"^(?:(?:On|Am|Le|El|Il|Op|Em|Den) .{0,300}"
    r"(?:wrote|schrieb|a écrit|escribió|ha scritto|schreef|escreveu|skrev).{0,80}:"
    r"|-{2,} ?(?:Original Message|Forwarded message|Ursprüngliche Nachricht|Message d'origine).*"
    r"|Begin forwarded message:|_{20,})[ \t]*$",
    re.IGNORECASE | re.MULTILINE,
)
_WRAPPED = re.compile(r"^(On [^\n]{10,200})\n([^\n]{0,100}wrote:)[ \t]*$", re.MULTILINE)
_SIGNATURE = re.compile(r"^-- ?$|^Sent from my \w.*$", re.MULTILINE)
_BLOCKS = frozenset(("p", "div", "br", "li", "tr", "ul", "ol", "table", "h1", "h2", "h3", "h4"))
_SKIPPED = frozenset(("script", "style", "head", "title", "blockquote"))


def looks_like_mail(data: bytes) -> bool:
    """Whether bytes without a file name start as an mbox or a message does."""
    head = data[:20_000]
    match = _HEADER.match(head)
    if not match:
        return False
    return head.startswith(b"From ") or len(_KNOWN_HEADER.findall(match.group())) >= 2


def read_mail(data: bytes, kind: ContextType, sender: str | None = None) -> Iterator[ContextItem]:
    """One item for each message that holds text; `sender` keeps the messages of one address."""
    for raw in _messages(data):
        try:
            message = BytesParser(policy=policy.default).parsebytes(raw)
            item = _item(message, kind, sender)
        except (MessageError, LookupError, ValueError, AttributeError, TypeError, IndexError):
            continue  # a header the standard library cannot parse at all
        if item is not None:
            yield item


def _messages(data: bytes) -> Iterator[bytes]:
    if not data.startswith(b"From "):
        yield data
        return
    starts = [match.end() for match in _FROM_LINE.finditer(data)] or [0]
    for start, end in zip(starts, [*starts[1:], len(data)], strict=True):
        _, _, message = data[start:end].partition(b"\n")
        yield re.sub(rb"^>(>*From )", rb"\1", message, flags=re.MULTILINE)


def _item(message: EmailMessage, kind: ContextType, sender: str | None) -> ContextItem | None:
    people = {name: _addresses(message, name) for name in _PEOPLE}
    if sender and sender.casefold() not in (address.casefold() for _, address in people["from"]):
        return None
    text = own_words(_body(message))
    if not text:
        return None
    values = [value for found in people.values() for person in found for value in _values(*person)]
    subject = " ".join(str(message.get("subject", "")).replace("\0", "").split())
    return ContextItem(kind, text, _valid(subject), tuple(dict.fromkeys(values)))


def _addresses(message: EmailMessage, header: str) -> list[tuple[str, str]]:
    return [
        (_valid(name).strip("'\" "), _valid(address))
        for name, address in getaddresses([str(value) for value in message.get_all(header, [])])
    ]


def _values(name: str, address: str) -> Iterator[KnownValue]:
    if name and "@" not in name:
        yield KnownValue(name, "PERSON", "field")
        words = re.findall(r"[^\W\d_][\w'’-]{2,}", name)
        if len(words) > 1:
            yield from (KnownValue(word, "PERSON", "field") for word in words)
    if "@" in address:
        yield KnownValue(address, "EMAIL_ADDRESS", "field")


def _body(message: EmailMessage) -> str:
    part = message.get_body(preferencelist=("plain", "html"))
    if part is None:
        return ""
    content = part.get_content()
    if not isinstance(content, str):
        return ""
    return html_to_text(content) if part.get_content_subtype() == "html" else content


def own_words(text: str) -> str:
    """What the writer of a mail wrote: quoted lines, what is answered, and the signature are gone."""
    text = _WRAPPED.sub(r"\1 \2", _valid(text).replace("\r\n", "\n"))
    for pattern in (_ANSWERED, _SIGNATURE):
        match = pattern.search(text)
        if match and text[: match.start()].strip():
            text = text[: match.start()]
    lines = [
        line for line in text.split("\n") if not line.lstrip().startswith(">") and not _ANSWERED.match(line)
    ]
    return re.sub(r"\n{3,}", "\n\n", "\n".join(line.rstrip() for line in lines)).strip()


def _valid(text: str) -> str:
    """Without NUL, and with replacement characters where bytes were no text."""
    return text.replace("\0", "").encode("utf-8", "replace").decode("utf-8")


def html_to_text(html: str) -> str:
    """The readable text of an HTML body; quotations, scripts and styles are left out."""
    reader = _Text()
    reader.feed(html)
    reader.close()
    lines = (" ".join(line.split()) for line in "".join(reader.out).split("\n"))
    return re.sub(r"\n{3,}", "\n\n", "\n".join(lines)).strip()


class _Text(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.out: list[str] = []
        self._skipping = 0

    def handle_starttag(self, tag: str, attrs: object) -> None:  # noqa: ARG002 - HTMLParser's
        if tag == "body":
            self._skipping = 0  # a head that was never closed
        if tag in _SKIPPED:
            self._skipping += 1
        elif tag in _BLOCKS:
            self.out.append("\n\n" if tag == "p" else "\n")

    def handle_endtag(self, tag: str) -> None:
        if tag in _SKIPPED:
            self._skipping = max(0, self._skipping - 1)

    def handle_data(self, data: str) -> None:
        if not self._skipping:
            self.out.append(re.sub(r"\s+", " ", data))
