"""Answers with log-probabilities in every form that servers give them, and in forms that none should."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest

from cogenesis_langchain.errors import CloudError
from cogenesis_langchain.logprobs import read_drafts
from cogenesis_langchain.types import Draft


def entry(token: str, number: Any = -0.5, top: Any = None, **more: Any) -> dict[str, Any]:
    """One position of a chat completion; `bytes` are those of the text unless told otherwise."""
    own = {"token": token, "logprob": number, "bytes": list(token.encode()), **more}
    return own | {"top_logprobs": [own] if top is None else top}


def chat(*entries: Any, text: str | None = None, finish: str | None = "stop", **logprobs: Any) -> bytes:
    """A chat completion of one choice."""
    said = "".join(one["token"] for one in entries) if text is None else text
    listed = {"content": list(entries), "refusal": None, **logprobs}
    choice = {"index": 0, "message": {"role": "assistant", "content": said}, "logprobs": listed}
    return json.dumps({"object": "chat.completion", "choices": [choice | {"finish_reason": finish}]}).encode()


def read(answer: bytes, max_tokens: int = 50) -> Draft:
    """Its only draft."""
    (draft,) = read_drafts(answer, max_tokens=max_tokens)
    return draft


def candidates(draft: Draft, number: int = 0) -> dict[bytes, float]:
    """Probabilities of the candidates of one position."""
    position = draft.positions[number]
    return {token: math.exp(one) for token, one in zip(position.tokens, position.logprobs, strict=True)}


# --- the forms of servers ------------------------------------------------------------------------------


def bare(token: str, number: float) -> dict[str, Any]:
    """A candidate of servers that give no bytes."""
    return {"token": token, "logprob": number, "bytes": None}


FORMS = {
    "openai": chat(
        entry("Hi", -0.1, [entry("Hi", -0.1), entry("Hello", -2.5)]), entry(" all", -0.2), entry(".", -9999.0)
    ),
    "deepseek": chat(
        entry("Hi", -0.1, [entry("Hi", -0.1), entry("Hello", -2.5)]), entry(" all"), entry("."),
        reasoning_content=None,
    ),
    "vllm": chat(  # the token that ends the text is listed, and is no part of it
        entry("Hi", -0.1, [entry("Hi", -0.1), entry("Hello", -2.5), entry("<|im_end|>", -6.0)]),
        entry(" all"), entry("."), entry("<|im_end|>"), text="Hi all.",
    ),
    "llama-server": chat(
        entry("Hi", -0.1, [entry("Hi", -0.1, id=13347), entry("Hello", -2.5, id=9906)], id=13347),
        entry(" all", id=682), entry(".", id=13),
    ),
    "llama_cpp.server": chat(
        bare("Hi", -0.1) | {"top_logprobs": [bare("Hi", -0.1), bare("Hello", -2.5), bare("", -4.0)]},
        bare(" all", -0.3) | {"top_logprobs": [bare(" all", -0.3)]},
        bare(".", -0.4) | {"top_logprobs": [bare(".", -0.4)]},
    ),
    "ollama": chat(
        {"token": "Hi", "logprob": -0.1, "top_logprobs": [bare("Hi", -0.1), bare("Hello", -2.5)]},
        {"token": " all", "logprob": -0.1, "top_logprobs": []}, {"token": ".", "logprob": -0.1},
    ),
    "completions": json.dumps(
        {
            "object": "text_completion",
            "choices": [
                {
                    "text": "Hi all.",
                    "finish_reason": "stop",
                    "logprobs": {
                        "tokens": ["Hi", " all", "."],
                        "token_logprobs": [-0.1, -0.3, -0.4],
                        "top_logprobs": [{"Hi": -0.1, "Hello": -2.5}, {" all": -0.3}, None],
                        "text_offset": [10, 12, 16],
                    },
                }
            ],
        }
    ).encode(),
}  # fmt: skip
"""As their documentation shows them, but for the text."""


@pytest.mark.parametrize("server", FORMS)
def test_every_servers_form_is_read(server: str) -> None:
    """The text, its likeliest beginnings and its end are found in each of them."""
    draft = read(FORMS[server])
    assert draft.text == b"Hi all."
    assert draft.ended
    found = candidates(draft)
    assert list(found)[:2] == [b"Hi", b"Hello"]
    assert found[b"Hi"] == pytest.approx(math.exp(-0.1))
    assert found[b"Hello"] == pytest.approx(math.exp(-2.5))


def test_several_samples() -> None:
    """Each choice is a draft; one that is empty is left out."""
    answer = json.loads(chat(entry("Hi")))
    empty = json.loads(chat(text=""))["choices"]
    answer["choices"] += [*empty, *json.loads(chat(entry("Hello"), finish="length"))["choices"]]
    drafts = read_drafts(json.dumps(answer).encode(), max_tokens=50)
    assert [(draft.text, draft.ended) for draft in drafts] == [(b"Hi", True), (b"Hello", False)]


def test_tokens_that_are_no_whole_character() -> None:
    """Halves of a character stay bytes; a half whose bytes are lost is no candidate, nor a share of one."""
    half = {"token": "\ufffd", "logprob": -0.5, "bytes": [0xF0, 0x9F]}
    lost = {"token": "\ufffd", "logprob": -1.5, "bytes": None}
    vllm = entry("\ufffd", -1.6)  # vLLM gives the bytes of the replacement character
    old = {"token": "bytes:\\xe2\\x80", "logprob": -1.7, "bytes": None}
    draft = read(chat({**half, "top_logprobs": [half, lost, vllm, old]}, text="🙂"))
    assert draft.text == b"\xf0\x9f"
    assert set(candidates(draft)) == {b"\xf0\x9f", b"\xe2\x80"}


def test_a_thought_before_the_text_is_cut_off() -> None:
    """Some servers list the tokens of a thought that they take out of the text."""
    draft = read(
        chat(entry("<think>"), entry("Hm"), entry("</think>"), entry("Hi"), entry(" all"), text="Hi all")
    )
    assert draft.text == b"Hi all"
    assert len(draft.positions) == 2


def test_a_trimmed_text_keeps_its_first_token() -> None:
    """Servers trim the blank that the first token begins with."""
    assert read(chat(entry(" Hi"), entry(" all"), text="Hi all")).text == b" Hi all"


# --- what is poor, and what is no use --------------------------------------------------------------------


def test_poor_numbers_are_left_out() -> None:
    """NaN, infinity, null, words and absent numbers are no candidates; the others stay."""
    bad = [entry(str(n), value) for n, value in enumerate((math.nan, math.inf * -1, None, "-1", True))]
    draft = read(chat(entry("Hi", math.nan, [*bad, {"token": "x"}, "y", None, entry("Hi", -0.7)])))
    assert list(candidates(draft)) == [b"Hi"]
    assert math.isfinite(draft.positions[0].logprob)


def test_few_or_no_candidates_are_a_list_all_the_same() -> None:
    """Fewer than were asked for, none, or no list: what is not listed is the tail's."""
    draft = read(chat(entry("Hi", top=[]), entry(" all", top="nonsense"), entry(".", -0.5)))
    assert [len(position.tokens) for position in draft.positions] == [0, 0, 1]


def test_candidates_come_once_and_by_falling_share() -> None:
    """Two tokens of the same bytes are one, with both their shares."""
    draft = read(chat(entry("Hi", -1.0, [entry("a", -2.0), entry("Hi", -1.5), entry("a", -2.5)])))
    assert candidates(draft) == pytest.approx({b"Hi": math.exp(-1.5), b"a": math.exp(-2.0) + math.exp(-2.5)})
    assert list(candidates(draft)) == [b"Hi", b"a"]


def test_rounding_is_forgiven() -> None:
    """A hair above 0, or shares that sum to a hair above 1, become at most 1."""
    draft = read(chat(entry("Hi", 0.004, [entry("Hi", 0.004), entry("a", -5.0)])))
    assert math.fsum(candidates(draft).values()) <= 1 + 1e-9
    assert draft.positions[0].logprob == 0.0


def test_numbers_beyond_floats_break_nothing() -> None:
    """JSON has whole numbers of any size."""
    draft = read(chat(entry("Hi", -(10**400), [entry("Hi", -(10**400)), entry("a", -0.5)])))
    assert list(candidates(draft)) == [b"a"]
    with pytest.raises(CloudError, match="above 0"):
        read(chat(entry("Hi", 10**400)))


def test_what_is_too_much_to_look_at_is_left_out() -> None:
    """Tokens longer than any vocabulary's, endless lists, more samples than anybody asks for."""
    many = [entry(f"w{n}", -9.0) for n in range(1000)]
    draft = read(chat(entry("Hi", -0.5, [*many, entry("x" * 100_000, -0.1)]), entry("y" * 100_000), text=""))
    assert draft.text == b"Hi"
    assert len(candidates(draft)) == 256
    choices = json.loads(chat(entry("Hi")))["choices"] * 100
    assert len(read_drafts(json.dumps({"choices": choices}).encode(), max_tokens=5)) == 8


def test_a_text_that_never_stops_is_cut() -> None:
    """No more positions than were asked for, whatever comes; it did not end then."""
    draft = read(chat(*[entry(" and")] * 90), max_tokens=7)
    assert (len(draft.positions), draft.ended) == (7, False)


@pytest.mark.parametrize("finish", ["length", "content_filter", None])
def test_only_a_stop_is_an_end(finish: str | None) -> None:
    """A text that a limit or a filter cut did not end."""
    assert not read(chat(entry("Hi"), finish=finish)).ended


USELESS = {
    "no JSON": b"<html>Quillon</html>",
    "no UTF-8": b'\xff\xfe{"choices": []}',
    "no object": b"[1, 2]",
    "no choices": b'{"choices": null}',
    "choices of words": b'{"choices": ["Quillon"]}',
    "an error": b'{"error": {"message": "Quillon"}}',
    "deep": b'{"choices": ' + b"[" * 100_000,
    "nothing": b"",
    "no sample": b'{"choices": []}',
    "no log-probabilities": chat(text="Quillon", content=None),
    "log-probabilities as words": b'{"choices": [{"message": {"content": "Quillon"}, "logprobs": "x"}]}',
    "empty": chat(text=""),
    "blank": chat(entry("\n\n")),
    "above 0": chat(entry("Quillon", 1.5)),
    "a candidate above 0": chat(entry("Quillon", -1.5, [entry("x", 3.0)])),
    "infinite": chat(entry("Quillon", math.inf)),
    "probabilities, not their logarithms": chat(entry("Quillon", 0.6, [entry("x", 0.4), entry("y", 0.2)])),
    "more than all": chat(entry("Quillon", -0.1, [entry(word, -0.1) for word in "abc"])),
    "nonsense": b'{"choices": [{"message": 5, "logprobs": {"content": [5, null, [], {}]}}]}',
}


@pytest.mark.parametrize("what", USELESS)
def test_what_is_no_use_is_an_error_that_quotes_nothing(what: str) -> None:
    """The caller falls back; nothing of the answer stands in the message or is chained to it."""
    with pytest.raises(CloudError) as caught:
        read_drafts(USELESS[what], max_tokens=50)
    assert caught.value.status == 200
    assert not caught.value.retryable
    assert "Quillon" not in repr(caught.value)
    assert caught.value.__context__ is None
