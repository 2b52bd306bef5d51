"""What must hold for a writer behind an OpenAI-compatible server, against a real one on loopback."""

from __future__ import annotations

import json
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import pytest

from cogenesis_langchain.errors import ConfigError, WriterError
from cogenesis_langchain.writer.parts import Turn
from cogenesis_langchain.writer.remote import RemoteWriter

PROMPT = (Turn("system", ("Write.",)), Turn("user", ("About me: Ada Quill (fictional). ", "Write a poem.")))
SSE, JSON = "text/event-stream", "application/json; charset=utf-8"


def event(text: str | None, finish: str | None = None) -> str:
    """One event of a streamed answer."""
    return (
        "data: " + json.dumps({"choices": [{"delta": {"content": text}, "finish_reason": finish}]}) + "\n\n"
    )


@contextmanager
def server(body: str, kind: str = SSE, status: int = 200, **headers: str) -> Iterator[tuple[str, list[Any]]]:
    """A server that gives one answer to everything; yields its address and the requests it got."""
    requests: list[Any] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            sent = self.rfile.read(int(self.headers["content-length"]))
            requests.append((self.path, dict(self.headers), json.loads(sent)))
            self.send_response(status)
            for name, value in ({"content-type": kind} | headers).items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body.encode())

        def log_message(self, *_: object) -> None:
            pass

    httpd = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=httpd.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield f"http://127.0.0.1:{httpd.server_port}", requests
    finally:
        httpd.shutdown()
        thread.join()
        httpd.server_close()


def test_text_comes_in_pieces_as_it_is_streamed() -> None:
    """The parts of a turn are joined, the settings are passed on, the key is a bearer token."""
    answer = (
        event(None)
        + ": a comment\n\n"
        + event("Dear ")
        + event("Ada")
        + event("", "stop")
        + "data: [DONE]\n\n"
    )
    with server(answer) as (url, requests):
        writer = RemoteWriter(url, "local-7b", "key")
        pieces = list(writer.write(PROMPT, scope="u", max_tokens=9, temperature=0.5, seed=3))
        writer.close()
    assert pieces == ["Dear ", "Ada"]
    path, headers, body = requests[0]
    assert path == "/v1/chat/completions"
    assert headers["authorization"] == "Bearer key"
    assert body == {
        "model": "local-7b",
        "messages": [
            {"role": "system", "content": "Write."},
            {"role": "user", "content": "About me: Ada Quill (fictional). Write a poem."},
        ],
        "max_tokens": 9,
        "temperature": 0.5,
        "stream": True,
        "seed": 3,
    }


@pytest.mark.parametrize(
    ("said", "kept"), [("stop", "stop"), ("length", "length"), ("content_filter", None), (7, None)]
)
@pytest.mark.parametrize("last", ["", "data: [DONE]\n\n"])
def test_why_a_text_ends_is_passed_on(said: Any, kept: str | None, last: str) -> None:
    """As far as it is known what the server means."""
    with server(event("Dear") + event("", said) + last) as (url, _):
        pieces = RemoteWriter(url, "m").write(PROMPT, scope="u")
        assert next(pieces) == "Dear"
        with pytest.raises(StopIteration) as end:
            next(pieces)
    assert end.value.value == kept


def test_cancel_and_close_end_the_stream() -> None:
    """A set cancel ends the text; a reader that stops early closes the connection without an error."""
    cancel = threading.Event()
    cancel.set()
    with server(event("a") + event("b", "stop")) as (url, _):
        writer = RemoteWriter(url, "m")
        assert list(writer.write(PROMPT, scope="u", cancel=cancel)) == []
        stream = writer.write(PROMPT, scope="u")
        assert next(stream) == "a"
        stream.close()


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        ({"body": "x", "status": 500}, "HTTP 500"),
        ({"body": "x", "status": 401}, "api_key"),
        ({"body": "", "status": 307, "location": "http://127.0.0.1:9/"}, "redirects"),
        ({"body": "<html>hello</html>", "kind": "text/html"}, "is the address right"),
        ({"body": "data: nonsense\n\n"}, "no JSON"),
        ({"body": "data: [1]\n\n"}, "no JSON"),
        ({"body": event("half a te")}, "broke off"),
        ({"body": "data: " + "x" * (3 << 20)}, "endless line"),
    ],
)
def test_bad_answers_are_clear_errors(answer: dict[str, Any], message: str) -> None:
    """Each failure of the server is a WriterError that names it and quotes no text."""
    with server(**answer) as (url, requests), pytest.raises(WriterError, match=message) as caught:
        list(RemoteWriter(url, "m").write(PROMPT, scope="u"))
    assert len(requests) == 1
    assert "Ada" not in str(caught.value)
    assert "half" not in str(caught.value)


def test_no_server_is_a_clear_error() -> None:
    """Nothing listening: the message names the endpoint."""
    with pytest.raises(WriterError, match="is the server running"):
        list(RemoteWriter("http://127.0.0.1:9", "m").write(PROMPT, scope="u"))


def test_choose_takes_only_an_option() -> None:
    """The schema lists the options; an answer outside of them, or no JSON, is an error."""

    def reply(content: str) -> str:
        return json.dumps({"choices": [{"message": {"content": content}}]})

    with server(reply('{"choice": "mail"}'), JSON) as (url, requests):
        assert RemoteWriter(url, "m").choose(PROMPT, ["mail", "memo"]) == "mail"
    body = requests[0][2]
    assert body["response_format"]["json_schema"]["schema"]["properties"]["choice"]["enum"] == [
        "mail",
        "memo",
    ]
    assert body["temperature"] == 0
    for content in ('{"choice": "poem"}', "mail", "[]"):
        with (
            server(reply(content), JSON) as (url, _),
            pytest.raises(WriterError, match="none of the options"),
        ):
            RemoteWriter(url, "m").choose(PROMPT, ["mail", "memo"])


@pytest.mark.parametrize(
    "url",
    [
        "http://192.168.1.5:8080/v1",
        "http://example.com",
        "ftp://127.0.0.1",
        "https://user:pw@host",
        "127.0.0.1:80",
    ],
)
def test_private_text_goes_over_tls_or_loopback_only(url: str) -> None:
    """Anything else is refused before a byte is sent."""
    with pytest.raises(ConfigError):
        RemoteWriter(url, "m")


def test_addresses_get_their_path() -> None:
    """`/v1` is added only where there is no path."""
    assert "http://[::1]:8080/v1/chat" in repr(RemoteWriter("http://[::1]:8080", "m"))
    assert "https://host/api/chat" in repr(RemoteWriter("https://host/api/", "m"))


@pytest.mark.parametrize("model", ["gpt-oss:120b-cloud", "kimi-k2:cloud", "glm:Cloud "])
def test_models_that_ollama_forwards_are_refused(model: str) -> None:
    """A name that means the cloud never counts as local."""
    with pytest.raises(ConfigError, match="cloud"):
        RemoteWriter("http://127.0.0.1:11434", model)


def test_the_environment_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """A proxy in the environment is not used, and nothing prints the key."""
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("ALL_PROXY", "http://127.0.0.1:9")
    with server(event("hi", "stop")) as (url, _):
        writer = RemoteWriter(url, "m", "sk-key")
        assert list(writer.write(PROMPT, scope="u")) == ["hi"]
        assert "sk-key" not in repr(writer)


def test_no_session_keys_are_written(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """SSLKEYLOGFILE is not obeyed, and servers are still checked."""
    monkeypatch.setenv("SSLKEYLOGFILE", str(tmp_path / "keys"))
    made: list[ssl.SSLContext] = []
    client = httpx.Client
    monkeypatch.setattr(httpx, "Client", lambda **given: made.append(given["verify"]) or client(**given))
    writer = RemoteWriter("https://host/v1", "m")
    writer._client()
    writer.close()
    (tls,) = made
    assert tls.keylog_filename is None
    assert tls.check_hostname
    assert tls.verify_mode is ssl.CERT_REQUIRED
    assert not (tmp_path / "keys").exists()


@pytest.mark.parametrize("key", [None, "sk-caf\xe9"], ids=["half a surrogate pair", "key outside ASCII"])
def test_what_cannot_be_encoded_is_not_quoted(key: str | None) -> None:
    """An encoder's error holds the whole prompt or key: ours names its kind, and nothing is chained to it."""
    text = "Ada Quill (fictional)" + ("\ud800" if key is None else "")
    prompt = (Turn("user", (text,)),)
    with server(event("hi", "stop")) as (url, requests):
        writer = RemoteWriter(url, "m", key)
        for ask in (lambda: list(writer.write(prompt, scope="u")), lambda: writer.choose(prompt, ["a", "b"])):
            with pytest.raises(WriterError, match="UnicodeEncodeError") as caught:
                ask()
            assert caught.value.__context__ is None
            assert caught.value.__cause__ is None
    assert requests == []


@pytest.mark.parametrize("answer", ["data: nonsense\n\n", "data: [1]\n\n"])
def test_nothing_is_chained_to_an_error(answer: str) -> None:
    """A parser's error holds what the model wrote."""
    with server(answer) as (url, _), pytest.raises(WriterError, match="no JSON") as caught:
        list(RemoteWriter(url, "m").write(PROMPT, scope="u"))
    assert caught.value.__context__ is None


def test_counts_err_on_the_safe_side() -> None:
    """Three bytes a token, rounded up: letters outside ASCII count for more."""
    writer = RemoteWriter("http://127.0.0.1:1", "m")
    assert writer.count("Grusse aus Muenchen") == writer.count("Grüße aus München") == 7
    writer.close()
    with pytest.raises(WriterError, match="closed"):
        list(writer.write(PROMPT, scope="u"))
