"""Which names may be added to the closed lists, as far as spelling tells. Pure.

A name goes out with every request it is chosen for, so it must fit many people. What needs a dictionary, a
detector or the store is looked at by `vocabulary_check`.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Collection

from cogenesis_langchain.spelled import spelled

MAX_WORDS = 4
_NAME = re.compile(r"[^\W_](?:[^\W_]|[ '&-](?=[^\W_])){0,59}")
_BETWEEN = re.compile(r"[ &-]+")


def fault(name: str, taken: Collection[str] = ()) -> str | None:
    """Why `name` may not be added beside the names `taken`; None where it may. Never quotes it."""
    if not _NAME.fullmatch(name):
        return (
            "a name goes out to the cloud and must be plain words of at most 60 characters; "
            "put everything else into its description"
        )
    if any(character.isnumeric() for character in name):
        return "a name goes out to the cloud, and digits may single somebody out; leave them out"
    if unicodedata.normalize("NFKC", name) != name or any(map(_mixed, words(name))):
        return "its letters look like others; type it anew, each word in the letters of one script"
    if name != name.lower():
        return (
            "a name goes out to the cloud: write it in small letters, and leave out the names of people, "
            "places and firms"
        )
    if len(words(name)) > MAX_WORDS:
        return f"the more words, the fewer people it fits: use at most {MAX_WORDS}"
    if spelled(name):
        return "numbers in words and single letters may spell what singles somebody out; leave them out"
    if any(_stems(name) == _stems(other) or _joined(name) == _joined(other) for other in taken):
        return "the shipped lists have this name already; choose another one"
    return None


def words(name: str) -> list[str]:
    """The words of a name."""
    return [word for word in _BETWEEN.split(name.lower()) if word]


def _stems(name: str) -> frozenset[str]:
    """Its words without order and plural."""
    return frozenset(word.rstrip("s") for word in words(name))


def _joined(name: str) -> str:
    """Its words as one, without plural: "birth day" tells what "birthday" tells."""
    return "".join(words(name)).rstrip("s")


def _mixed(word: str) -> bool:
    """Whether Latin letters stand beside those of another script, which may look the same."""
    scripts = [unicodedata.name(c, "").startswith("LATIN") for c in word if c.isalpha()]
    return any(scripts) and not all(scripts)
