"""What must hold for the parts of the writer that need no model."""

from __future__ import annotations

import threading
import time

from hypothesis import given
from hypothesis import strategies as st

from cogenesis_langchain.writer.parts import Choices, Snapshots, TextOut, Turn, Turnstile, common_prefix


def test_a_turn_prints_no_text() -> None:
    """A prompt in a log or a traceback shows its roles only."""
    assert "secret" not in repr((Turn("user", ("secret",)),))


def test_common_prefix() -> None:
    """Counts shared first items, whatever the lengths."""
    assert common_prefix([1, 2, 3], [1, 2, 4, 5]) == 2
    assert common_prefix([], [1]) == 0
    assert common_prefix("ab", "abc") == 2


# --- Turnstile ------------------------------------------------------------------------------------


def test_the_background_steps_aside() -> None:
    """A background holder sees that somebody waits, and gets its turn only after them."""
    turnstile, order = Turnstile(), []
    ready = threading.Event()

    def background() -> None:
        for round_ in range(2):
            with turnstile.background():
                order.append(f"background {round_}")
                ready.set()
                while round_ == 0 and not turnstile.wanted:
                    time.sleep(0.001)

    thread = threading.Thread(target=background)
    thread.start()
    ready.wait(60)
    with turnstile.foreground():
        order.append("foreground")
    thread.join(60)
    assert order == ["background 0", "foreground", "background 1"]


def test_waiting_can_be_cancelled() -> None:
    """A set cancel ends the wait without a turn, and the holder keeps its own."""
    turnstile, cancel = Turnstile(), threading.Event()
    with turnstile.foreground():
        threading.Timer(0.05, cancel.set).start()
        with turnstile.foreground(cancel) as entered:
            assert not entered
        with turnstile.background(cancel) as entered:
            assert not entered
        assert not turnstile.wanted
    with turnstile.foreground() as entered:
        assert entered


def test_a_cancelled_caller_gets_no_turn_even_when_it_is_free() -> None:
    """Otherwise a cancelled background reader would enter again and again."""
    turnstile, cancel = Turnstile(), threading.Event()
    cancel.set()
    with turnstile.background(cancel) as entered:
        assert not entered
    with turnstile.foreground(cancel) as entered:
        assert not entered


def test_an_error_frees_the_turn() -> None:
    """The next caller is not locked out by an exception."""
    turnstile = Turnstile()
    for _ in range(2):
        try:
            with turnstile.foreground():
                raise RuntimeError
        except RuntimeError:
            pass


# --- Snapshots ------------------------------------------------------------------------------------


def test_a_state_never_serves_another_scope() -> None:
    """The same tokens under another user find nothing."""
    kept = Snapshots(1000)
    kept.put("ada", [1, 2, 3], bytearray(10))
    assert kept.best("bob", [1, 2, 3]) == (0, None)
    assert kept.best("", [1, 2, 3], exact=True) == (0, None)
    assert kept.best("ada", [1, 2, 9])[0] == 2


def test_longer_states_replace_their_beginnings() -> None:
    """A longer state serves what a shorter one did; in scope "" each exact one stays."""
    kept = Snapshots(1000)
    for scope in ("ada", ""):
        kept.put(scope, [1, 2], bytearray(10))
        kept.put(scope, [1, 2, 3], bytearray(10))
        kept.put(scope, [1, 2, 3], bytearray(10))
    assert len(kept) == 3
    assert kept.bytes == 30
    assert kept.best("", [1, 2], exact=True)[0] == 2
    assert kept.best("", [1, 2, 3, 4], exact=True) == (0, None)


def test_the_least_recently_used_state_goes_first() -> None:
    """Memory stays under the limit; a state larger than the limit is not kept at all."""
    kept = Snapshots(25)
    kept.put("a", [1], bytearray(10))
    kept.put("b", [1], bytearray(10))
    assert kept.best("a", [1])[1] is not None
    kept.put("c", [1], bytearray(10))
    assert kept.best("b", [1]) == (0, None)
    assert kept.best("a", [1])[0] == 1
    kept.put("d", [1], bytearray(26))
    assert kept.best("d", [1]) == (0, None)
    assert kept.bytes <= 25


def test_forgetting_overwrites() -> None:
    """What a purge drops is zeroed, other scopes stay."""
    kept, state = Snapshots(100), bytearray(b"private")
    kept.put("ada", [1], state)
    kept.put("bob", [1], bytearray(3))
    kept.forget("ada")
    assert not any(state)
    assert kept.bytes == 3
    kept.clear()
    assert len(kept) == 0


# --- TextOut --------------------------------------------------------------------------------------


@given(st.text(max_size=60), st.integers(1, 5))
def test_text_survives_any_split(text: str, size: int) -> None:
    """Bytes cut anywhere give the same text, and no piece ever holds half a character."""
    data, out = text.encode(), TextOut(["<|im_end|>", "</s>"])
    pieces = [out.feed(data[i : i + size]) for i in range(0, len(data), size)]
    shown = "".join(pieces) + out.close()
    stops = [at for stop in ("<|im_end|>", "</s>") if (at := text.find(stop)) >= 0]
    assert shown == text[: min(stops, default=len(text))]


@given(st.integers(1, 4))
def test_a_stop_string_in_pieces_is_never_shown(size: int) -> None:
    """Nothing of the stop string or behind it comes out, however it is cut."""
    data, out, shown = b"Hello.<|im_end|>system: more", TextOut(["<|im_end|>"]), ""
    for i in range(0, len(data), size):
        shown += out.feed(data[i : i + size])
        if out.stopped:
            break
    assert shown + out.close() == "Hello."


def test_an_unfinished_character_is_dropped() -> None:
    """A text cut off at the last token ends with a whole character; a held-back '<' comes out."""
    out = TextOut(["<end>"])
    assert out.feed("é<".encode()) == "é"
    assert out.feed("é".encode()[:1]) == ""
    assert out.close() == "<"


# --- Choices --------------------------------------------------------------------------------------


def test_the_walk_ends_when_one_option_is_left() -> None:
    """Only tokens of options are allowed, and a choice costs only the tokens that tell options apart."""
    choices = Choices({"letter": (1,), "letter of thanks": (1, 2, 3), "mail": (4,)})
    assert choices.chosen is None
    assert choices.allowed() == [1, 4]
    choices.take(1)
    assert choices.allowed() == [Choices.END, 2]
    choices.take(2)
    assert choices.chosen == "letter of thanks"


def test_the_shorter_option_ends_where_the_model_would_stop() -> None:
    """An option that begins another one is chosen by the end-of-answer token."""
    choices = Choices({"letter": (1,), "letter of thanks": (1, 2)})
    choices.take(1)
    choices.take(Choices.END)
    assert choices.chosen == "letter"


@given(st.lists(st.lists(st.integers(0, 3), min_size=1, max_size=4), min_size=1, max_size=6), st.randoms())
def test_every_walk_ends_with_an_option(token_lists: list[list[int]], random: object) -> None:
    """Whatever the model prefers, the walk ends and names one of the options."""
    options = {f"option {i}": tokens for i, tokens in enumerate(token_lists)}
    choices = Choices(options)
    for _ in range(6):
        if choices.chosen is not None:
            break
        choices.take(random.choice(choices.allowed()))  # type: ignore[attr-defined]
    assert choices.chosen in options
