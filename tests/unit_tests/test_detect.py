from __future__ import annotations

import logging
import socket
import subprocess
import sys
import threading
import time
import traceback
from itertools import pairwise
from pathlib import Path

import pytest

from cogenesis_langchain.detect import patterns
from cogenesis_langchain.detect.detector import MAX_CHARS, Detector
from cogenesis_langchain.errors import DetectorError
from cogenesis_langchain.known.matcher import KnownValues
from cogenesis_langchain.types import ContextItem, KnownValue, PrivateSpan

# Fictional persons throughout. The fast tier needs no model.
ZIP = {
    "recognizers": [
        {
            "name": "Harbour pass",
            "supported_language": "en",
            "patterns": [{"name": "pass", "regex": "HP-[0-9]{4}", "score": 0.6}],
            "supported_entity": "HARBOUR_PASS",
            "context": ["harbour"],
        }
    ]
}


@pytest.fixture(scope="module")
def fast() -> Detector:
    """One detector for the whole file: loading is what takes time."""
    return Detector("fast")


def found(detector: Detector, text: str, **options: object) -> dict[str, str]:
    """Type by found text."""
    return {text[s.start : s.end]: s.type for s in detector.detect(text, **options)}  # type: ignore[arg-type]


def test_our_own_patterns_and_known_values_are_found(fast: Detector) -> None:
    """Cards, mail and keys by their form, known values by the user's store."""
    known = KnownValues([KnownValue("Nora Lindqvist", "PERSON", "field")])
    text = "N\u200bora, card 4111 1111 1111 1111, tom@example.org, sk-proj-abcDEF0123456789abcd"
    assert found(fast, text, known=known) == {
        "N\u200bora": "PERSON",
        "4111 1111 1111 1111": "CREDIT_CARD",
        "tom@example.org": "EMAIL_ADDRESS",
        "sk-proj-abcDEF0123456789abcd": "API_KEY",
    }


@pytest.mark.parametrize(
    "disguised",
    [
        "ｔｏｍ＠ｅｘａｍｐｌｅ．ｏｒｇ",
        "t\u200bo\u00adm@exam\u2060ple.org",
        "tom&#64;example&#46;org",
        "tom%40example.org",
        "４１１１ １１１１ １１１１ １１１１",
    ],
)
def test_disguised_text_is_read_and_covered_as_it_stands(fast: Detector, disguised: str) -> None:
    """The finding covers exactly the disguised stretch, whatever had to be undone to see it."""
    text = f"Reach me: {disguised} (any time)"
    (span,) = fast.detect(text)
    assert text[span.start : span.end] == disguised


def test_in_one_run_a_text_is_read_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Patterns and models are spared a second look; known values and added detectors have theirs."""
    read: list[str] = []
    find = patterns.find
    monkeypatch.setattr(patterns, "find", lambda text: find(read.append(text) or text))
    added: list[str] = []
    detector = Detector("fast", extra=[lambda text: added.append(text) or []])
    once, text = detector.once({}), "Nora, tom@example.org"
    assert once.detect(text) == detector.detect(text)
    assert len(read) == 2
    known = KnownValues([KnownValue("Nora", "PERSON", "declared")])
    assert once.detect(text, known=known, message=3) == detector.detect(text, known=known, message=3)
    assert (len(read), len(added)) == (3, 4)
    assert "Nora" not in repr(once)


def test_the_fast_tier_loads_no_presidio() -> None:
    """Without recognisers of the user's own, neither Presidio nor a model is loaded."""
    code = (
        "import sys; from cogenesis_langchain.detect.detector import Detector;"
        "assert Detector('fast').detect('mail a@b.org');"
        "sys.exit(bool({'spacy', 'presidio_analyzer', 'onnxruntime'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_spans_are_sorted_apart_and_marked(fast: Detector) -> None:
    """Sorted by offset, without overlap, each with the number of its message."""
    text = "tom@example.org and +47 912 34 567 and tom@example.org"
    spans = fast.detect(text, message=2)
    assert [s.start for s in spans] == sorted(s.start for s in spans)
    assert all(a.end <= b.start for a, b in pairwise(spans))
    assert {s.message for s in spans} == {2}


def test_context_words_still_raise_scores() -> None:
    """Without a lemmatizer the context words of Presidio's recognisers keep working."""
    detector = Detector("fast", presidio=ZIP)
    (alone,) = [s for s in detector.detect("my HP-1234") if s.type == "HARBOUR_PASS"]
    (beside,) = [s for s in detector.detect("my harbour card HP-1234") if s.type == "HARBOUR_PASS"]
    assert beside.score > alone.score


def test_presidios_own_patterns_run_only_where_named(fast: Detector) -> None:
    """They cost more than ours and find little more; who names one in the configuration has it."""
    text = "my driver license is H1234567"
    named = {"recognizers": [{"name": "UsLicenseRecognizer", "type": "predefined"}]}
    assert "US_DRIVER_LICENSE" not in found(fast, text).values()
    assert "US_DRIVER_LICENSE" in found(Detector("fast", presidio=named), text).values()


def test_quiet_labels_are_off_unless_asked_for(fast: Detector) -> None:
    """Bare URLs are not reported, and are where somebody wants them."""
    url = {"recognizers": [{"name": "UrlRecognizer", "type": "predefined"}]}
    assert found(fast, "see https://example.com on 2024-01-02") == {}
    assert found(Detector("fast", presidio=url), "see https://example.com") == {}
    assert "URL" in found(Detector("fast", presidio=url, quiet=()), "see https://example.com").values()


def test_unknown_mail_suffixes_are_mail_all_the_same(fast: Detector) -> None:
    """An intranet address is private, too."""
    assert found(fast, "write nora@intranet.local") == {"nora@intranet.local": "EMAIL_ADDRESS"}


@pytest.mark.parametrize("section", [ZIP, {"recognizer_registry": ZIP, "supported_languages": ["en"]}])
def test_presidio_yaml_works_unchanged(section: dict[str, object]) -> None:
    """A custom recogniser is taken from a registry part as from a whole analyser file."""
    detector = Detector("fast", presidio=section)
    assert found(detector, "my harbour pass HP-1234") == {"HP-1234": "HARBOUR_PASS"}


def test_presidio_yaml_is_read_from_a_file(tmp_path: Path) -> None:
    """The path of a file does the same."""
    file = tmp_path / "presidio.yaml"
    file.write_text(
        "recognizers:\n  - name: pass\n    supported_language: en\n    supported_entity: HARBOUR_PASS\n"
        "    deny_list: [otterpass]\n"
    )
    assert found(Detector("fast", presidio=file), "my Otterpass") == {"Otterpass": "HARBOUR_PASS"}


@pytest.mark.parametrize(
    ("conf", "message"),
    [
        ({"recognisers": []}, "recognisers"),
        ({"recognizers": [{"name": "x"}]}, "cannot start"),
        ({"nlp_engine_name": "stanza", "models": [{"lang_code": "en", "model_name": "en"}]}, "download"),
        ({"nlp_engine_name": "nosuch", "models": [{"lang_code": "en", "model_name": "."}]}, "nosuch"),
        ([1], "mapping"),
    ],
)
def test_wrong_presidio_configuration_is_an_error(conf: object, message: str) -> None:
    """Nothing falls back to defaults in silence, and nothing is downloaded."""
    with pytest.raises(DetectorError, match=message):
        Detector("fast", presidio=conf).warm()  # type: ignore[arg-type]


def test_a_missing_configuration_file_is_an_error(tmp_path: Path) -> None:
    """Presidio itself would go on with its defaults."""
    with pytest.raises(DetectorError, match=r"gone\.yaml"):
        Detector("fast", presidio=tmp_path / "gone.yaml").warm()


def test_a_missing_pipeline_names_the_command(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Without the spaCy pipeline nothing is detected, nothing is downloaded, and the fix is named."""
    monkeypatch.setenv("COGENESIS_CACHE", str(tmp_path))
    with pytest.raises(DetectorError, match="cogenesis models pull"):
        Detector("balanced").detect("text")


def test_a_foreign_pipeline_is_never_downloaded() -> None:
    """A pipeline that Presidio would fetch is an error instead."""
    conf = {"nlp_engine_name": "spacy", "models": [{"lang_code": "en", "model_name": "en_core_web_nosuch"}]}
    with pytest.raises(DetectorError, match="not on this machine"):
        Detector("balanced", presidio=conf).warm()


def test_too_long_text_is_refused(fast: Detector) -> None:
    """More than a million characters is an error that says so."""
    with pytest.raises(DetectorError, match="limit"):
        fast.detect("a" * (MAX_CHARS + 1))


def test_failures_never_quote_the_text(fast: Detector) -> None:
    """Whatever breaks inside, the error and its traceback hold no word of the text."""

    class Broken:
        def find(self, text: str) -> list[PrivateSpan]:
            raise RuntimeError(text)

    text = "".join(["canary Lind", "qvist"])  # the traceback quotes this file
    with pytest.raises(DetectorError) as error:
        fast.detect(text, known=Broken())
    assert "Lindqvist" not in "".join(traceback.format_exception(error.value))


def test_a_pattern_that_times_out_is_no_clean_text(monkeypatch: pytest.MonkeyPatch) -> None:
    """Presidio skips such a pattern; here it stops the request."""
    detector = Detector("fast", presidio=ZIP)
    monkeypatch.setattr(detector._models().analyzer, "timeout_s", 0.0)
    with pytest.raises(DetectorError, match="too long"):
        detector.detect("text")


def test_nothing_is_logged(fast: Detector, caplog: pytest.LogCaptureFixture) -> None:
    """Even at level DEBUG no word of the text reaches a log."""
    logging.getLogger("presidio-analyzer").setLevel(logging.NOTSET)
    with caplog.at_level(logging.DEBUG):
        Detector("fast", presidio=ZIP).detect(
            "the harbour pass of Lindqvist is HP-1234, lindqvist@example.org"
        )
    assert "indqvist" not in caplog.text


def test_no_socket_is_opened(monkeypatch: pytest.MonkeyPatch) -> None:
    """Loading and detecting touch no network, the suffix list of mail addresses included."""

    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("a socket was opened")

    monkeypatch.setattr(socket, "socket", refuse)
    monkeypatch.setattr(socket, "create_connection", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    text = "nora@example.org has the pass HP-1234"
    assert found(Detector("fast", presidio=ZIP), text) == {
        "nora@example.org": "EMAIL_ADDRESS",
        "HP-1234": "HARBOUR_PASS",
    }


def test_values_are_extracted_from_context(fast: Detector) -> None:
    """Entities and rare phrases of an item become known values; common words do not."""
    item = ContextItem(
        "profile", "I restore vintage harmoniums. Mail: nora@example.org, mail NORA@example.org."
    )
    values = {(v.value, v.type, v.origin) for v in fast.extract_values(item)}
    assert values == {
        ("nora@example.org", "EMAIL_ADDRESS", "entity"),
        ("restore vintage", "PHRASE", "phrase"),
        ("vintage harmoniums", "PHRASE", "phrase"),
    }


def test_rare_words_are_facts_only_in_what_is_about_the_user() -> None:
    """A coined word of the profile must never leave; one in an old mail is masked where it stands."""
    text = "Quillandry barrels"
    detector = Detector("fast", extra=[lambda _: [PrivateSpan("RARE_WORD", 0, 10, 0.5, "test")]])
    assert "Quillandry" in {v.value for v in detector.extract_values(ContextItem("profile", text))}
    assert "Quillandry" not in {v.value for v in detector.extract_values(ContextItem("writing", text))}


def test_threads_share_one_detector(fast: Detector) -> None:
    """Concurrent runs each get the spans of their own text."""
    wrong: list[int] = []

    def work(i: int) -> None:
        text = "x" * i + f" user{i}@example.org"
        for _ in range(5):
            if list(found(fast, text)) != [f"user{i}@example.org"]:
                wrong.append(i)

    threads = [threading.Thread(target=work, args=(i,)) for i in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


@pytest.mark.parametrize("unit", [":", "\U0001f600", "a.", "1 ", "x@", "é", "((", "a\u200b"])
def test_hostile_text_is_survived(fast: Detector, unit: str) -> None:
    """10,000 hostile characters take a few seconds at the very most."""
    start = time.process_time()
    fast.detect((unit * 10_000)[:10_000])
    assert time.process_time() - start < 5


def test_import_is_light() -> None:
    """Importing the detector loads neither Presidio nor spaCy."""
    code = (
        "import sys, cogenesis_langchain.detect.detector, cogenesis_langchain.known.matcher;"
        "import cogenesis_langchain.vault.vault;"
        "sys.exit(bool({'spacy', 'presidio_analyzer', 'tldextract', 'ahocorasick'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
