from __future__ import annotations

import threading

import pytest

from cogenesis_langchain.errors import VaultError
from cogenesis_langchain.types import Level, Route, Step
from cogenesis_langchain.vault.vault import Vault, is_handle

A = ("ada", "thread-1")
B = ("bo", "thread-1")


def test_a_text_comes_back_by_its_handle() -> None:
    """put and get are inverses; the same text keeps its handle within a scope."""
    vault = Vault()
    handle = vault.put(A, "raw text")
    assert is_handle(handle)
    assert vault.get(A, handle) == "raw text"
    assert vault.put(A, "raw text") == handle


def test_handles_tell_nothing_about_the_text() -> None:
    """The same text has another handle in another scope."""
    vault = Vault()
    assert vault.put(A, "raw text") != vault.put(B, "raw text")


@pytest.mark.parametrize("scope", [B, ("ada", "thread-2")])
def test_a_foreign_handle_is_an_error(scope: tuple[str, str]) -> None:
    """Neither another user nor another thread reads a text, and the error does not quote it."""
    vault = Vault()
    handle = vault.put(A, "raw text")
    with pytest.raises(VaultError) as error:
        vault.get(scope, handle)
    assert "raw" not in str(error.value)


@pytest.mark.parametrize(
    "text", ["", "vault:", "vault:XYZ", "say vault:" + "0" * 32, "vault:" + "0" * 32 + "\n", 3]
)
def test_only_an_exact_handle_is_one(text: object) -> None:
    """Text that merely contains a handle is text."""
    assert not is_handle(text)


def test_bytes_are_spent_once() -> None:
    """The same prepared bytes are given leave once in their scope."""
    vault = Vault()
    assert vault.spend(A, "one")
    assert not vault.spend(A, "one")
    assert vault.spend(B, "one")


def test_the_floor_only_rises() -> None:
    """A thread that was once more private stays so."""
    vault = Vault()
    kind = Step(Route.SKETCH, Level.KIND)
    assert vault.floor(A) is None
    assert vault.raise_floor(A, kind) == kind
    assert vault.raise_floor(A, Step(Route.CLOUD)) == kind
    assert vault.raise_floor(A, Step(Route.SKETCH, Level.TOPIC)) == kind
    assert vault.raise_floor(A, Step(Route.LOCAL)) == Step(Route.LOCAL) == vault.floor(A)
    assert vault.floor(B) is None


def test_each_scope_has_its_own_table() -> None:
    """Placeholders are shared within a scope and never across."""
    vault = Vault()
    vault.table(A).placeholder("Nora", "PERSON")
    assert vault.table(A).issued == {"[[P1]]"}
    assert vault.table(B).issued == frozenset()


def test_forget_drops_everything() -> None:
    """After forget nothing of the scope is left; other scopes are untouched."""
    vault = Vault()
    handle, other = vault.put(A, "raw"), vault.put(B, "other")
    vault.raise_floor(A, Step(Route.LOCAL))
    vault.table(A).placeholder("Nora", "PERSON")
    vault.forget(A)
    with pytest.raises(VaultError):
        vault.get(A, handle)
    assert vault.floor(A) is None
    assert not len(vault.table(A))
    assert vault.get(B, other) == "other"


def test_ended_scopes_are_dropped_oldest_first() -> None:
    """Runs without a thread of their own do not fill the memory; live scopes are never dropped."""
    vault = Vault(max_ended=2)
    live = vault.put(A, "live")
    handles = {}
    for i in range(4):
        scope = ("ada", f"run-{i}")
        handles[scope] = vault.put(scope, f"text {i}")
        vault.end(scope)
    assert len(vault) == 3
    assert vault.get(A, live) == "live"
    assert vault.get(("ada", "run-3"), handles["ada", "run-3"]) == "text 3"
    with pytest.raises(VaultError):
        vault.get(("ada", "run-0"), handles["ada", "run-0"])


def test_a_scope_in_use_again_is_no_longer_ended() -> None:
    """Writing to an ended scope revives it."""
    vault = Vault(max_ended=1)
    handle = vault.put(A, "text")
    vault.end(A)
    vault.put(A, "more")
    for i in range(3):
        vault.put(("x", str(i)), "t")
        vault.end(("x", str(i)))
    assert vault.get(A, handle) == "text"


def test_repr_shows_no_text() -> None:
    """Neither the vault nor anything in it prints what it holds."""
    vault = Vault()
    vault.put(A, "raw text")
    assert "raw" not in repr(vault) + repr(vault.__dict__)


def test_threads_share_one_vault() -> None:
    """Concurrent puts of one text agree on its handle; no scope sees another's."""
    vault = Vault()
    seen: list[set[str]] = [set() for _ in range(8)]

    def work(i: int) -> None:
        for n in range(200):
            seen[i].add(vault.put(("user", str(i % 2)), f"text {n % 5}"))

    threads = [threading.Thread(target=work, args=(i,)) for i in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(s == seen[i % 2] for i, s in enumerate(seen))
    assert not seen[0] & seen[1]
