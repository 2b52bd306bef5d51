"""`cogenesis doctor`: is everything in place, and is it private? Each finding comes with its fix."""

from __future__ import annotations

import os
import shutil
import stat
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from cogenesis_langchain.commands.common import ConfigOption, JsonOption, load_engine, out, print_json
from cogenesis_langchain.errors import CoGenesisError, ConfigError, ModelError

NEEDED_BYTES = 2 * 1024**3
TRACING = ("LANGSMITH_TRACING", "LANGSMITH_TRACING_V2", "LANGCHAIN_TRACING_V2", "LANGCHAIN_TRACING")
REROUTING = ("LANGSMITH_GATEWAY", "OPENAI_BASE_URL", "HTTPS_PROXY", "ALL_PROXY")


@dataclass(frozen=True, slots=True)
class Finding:
    """One check. `fix` is empty where all is well."""

    check: str
    status: Literal["ok", "note", "fail"]
    message: str
    fix: str = ""


ProbeOption = Annotated[
    bool,
    typer.Option(
        "--probe",
        help="Also ask the cloud what it can do for route fuse: a few small requests of constant words.",
    ),
]


def doctor(config: ConfigOption = None, probe: ProbeOption = False, as_json: JsonOption = False) -> None:
    """Check models, permissions, keys, tracing, endpoints and disk. Exit code 1 if one is broken.

    Nobody is contacted, but for --probe.
    """
    findings = list(examine(config, probe=probe))
    if as_json:
        print_json([asdict(finding) for finding in findings])
    else:
        styles = {"ok": "green", "note": "yellow", "fail": "bold red"}
        for finding in findings:
            out.print(f"{finding.status:4}", style=styles[finding.status], end="  ")
            out.print(f"{finding.check}: {finding.message}", markup=False)
            if finding.fix:
                out.print(f"      fix: {finding.fix}", markup=False)
    if any(finding.status == "fail" for finding in findings):
        raise typer.Exit(1)


def examine(config: str | None, *, probe: bool = False) -> Iterator[Finding]:
    """All findings, in order; with `probe` the cloud is asked. Never raises for what it looks for."""
    try:
        engine = load_engine(config)
    except ConfigError as error:
        yield Finding(
            "policy", "fail", str(error), "correct the file; `cogenesis policy check FILE` shows all"
        )
        return
    settings = engine.config
    yield Finding("policy", "ok", f"{settings.source}, rules: {len(engine.policy.rules)}")
    for _, variable in settings.missing_variables():
        yield Finding(
            "key",
            "note",
            f"{variable} is not set, so requests stay local",
            f"export {variable}=... to use the cloud",
        )
    yield from _models(settings)
    yield from _permissions(engine.data_dir, *([engine.keys.folder] if settings.store.encrypt else []))
    yield from _keys(engine)
    yield from _tracing()
    yield from _endpoints(settings)
    yield from _fusion(engine, probe)
    yield from _disk(engine.data_dir)


def _models(settings: Any) -> Iterator[Finding]:
    from cogenesis_langchain import models

    names = [models.EMBEDDER]
    if settings.privacy.tier != "fast":
        names += [models.PIPELINE, models.RAMPART]
    local = settings.models.local
    if local.provider == "llama_cpp" and local.path is None:
        names.insert(0, local.model)
    for name in names:
        try:
            models.locate(name)
            yield Finding("model", "ok", f"{name} is there and its SHA-256 is right")
        except ModelError as error:
            yield Finding("model", "fail", str(error), f"cogenesis models pull {name}")
    if local.path is not None:
        try:
            models.check_gguf(Path(local.path).expanduser(), local.sha256)
            yield Finding("model", "ok", "the GGUF named by models.local.path is readable")
        except (CoGenesisError, OSError) as error:
            yield Finding("model", "fail", str(error), "correct models.local.path or models.local.sha256")


def _permissions(*folders: Path) -> Iterator[Finding]:
    """Whether the user, and nobody else, can read and write what lies in the folders."""
    there = [path for path in dict.fromkeys(folder.resolve() for folder in folders) if path.exists()]
    if not there:
        yield Finding("permissions", "ok", "no private context is stored yet")
        return
    paths = {path for folder in there for path in (folder, *folder.rglob("*"))}
    modes = {path: path.lstat().st_mode for path in paths if os.path.lexists(path)}
    modes = {path: mode for path, mode in modes.items() if not stat.S_ISLNK(mode)}
    named = " ".join(f"'{folder}'" for folder in there)
    if shut := sum(not os.access(path, os.R_OK | os.W_OK) for path in modes):
        yield Finding("permissions", "fail", f"you cannot use {shut} of the files", f"chmod -R u+rwX {named}")
    if opened := sum(bool(mode & (stat.S_IRWXG | stat.S_IRWXO)) for mode in modes.values()):
        yield Finding(
            "permissions", "fail", f"{opened} files are open to other users", f"chmod -R go-rwx {named}"
        )
    if not shut and not opened:
        yield Finding("permissions", "ok", "only you can read the stored context")


def _keys(engine: Any) -> Iterator[Finding]:
    """Where the keys lie, whether they can be read, and whether any is missing."""
    settings = engine.config.store
    if not settings.encrypt:
        yield Finding(
            "keys",
            "note",
            "store.encrypt is false: context, threads and receipts lie on the disk in the clear",
            "set store.encrypt to true, then purge and add the context again",
        )
        return
    try:
        homes = engine.keys.homes()
        lost: list[str] = getattr(engine.store, "locked", list)()
    except CoGenesisError as error:
        yield Finding("keys", "fail", str(error), "unlock the keyring, or put the keys back")
        return
    if lost:
        yield Finding(
            "keys",
            "fail",
            f"the keys of {len(lost)} users with stored context are gone: nobody can read it",
            f"put them back into '{engine.keys.folder}', or run `cogenesis context purge`",
        )
    elif homes["file"]:
        yield Finding(
            "keys",
            "note",
            f"{homes['file']} keys lie in files at {engine.keys.folder}, {homes['keyring']} in the keyring",
            "leave that folder out of backups of the data, or set store.keys_path to another disk",
        )
    else:
        count = homes["keyring"]
        yield Finding("keys", "ok", f"{count}, all in the system's keyring" if count else "none made yet")


def _tracing() -> Iterator[Finding]:
    on = [name for name in TRACING if os.environ.get(name, "").lower() in ("1", "true")]
    if on:
        yield Finding(
            "tracing",
            "note",
            f"{', '.join(on)} is on: the router traces handles only, your other steps trace their text",
            f"unset {' '.join(on)}",
        )
    else:
        yield Finding("tracing", "ok", "LangSmith tracing is off")
    for name in REROUTING:
        if os.environ.get(name):
            yield Finding("environment", "note", f"{name} is set; the gate ignores it")


def _endpoints(settings: Any) -> Iterator[Finding]:
    cloud = settings.models.cloud
    yield Finding(
        "cloud", "ok", f"the only endpoint of the gate: {cloud.base_url}" if cloud else "none: nothing leaves"
    )
    trusted = settings.privacy.trusted_endpoints
    listed = ", ".join(trusted) if trusted else "none besides loopback"
    yield Finding("trusted endpoints", "note" if trusted else "ok", f"private text may go to: {listed}")


def _fusion(engine: Any, probe: bool) -> Iterator[Finding]:
    """Whether the cloud can do what route fuse needs, as far as it was asked."""
    if engine.config.models.cloud is None:
        return
    again = "then `cogenesis doctor --probe`"
    try:
        can = engine.capabilities(probe=probe, anew=True)
    except (CoGenesisError, OSError) as error:
        yield Finding("fusion", "note", str(error), f"see to that, {again}")
        return
    if can is None:
        yield Finding("fusion", "ok", "nobody asked the cloud yet what it can do; --probe does")
    elif not can.chat_logprobs:
        message = "the cloud gives no log-probabilities, so route fuse becomes sketch"
        yield Finding("fusion", "note", message, f"name a model that gives them, {again}")
    else:
        several = "several drafts" if can.samples else "one draft"
        if can.continuation:
            live = f"form live by {can.continuation}"
        elif engine.config.fuse.live.allow:
            live = "no text continued for form live"
        else:  # then nobody asks
            live = "form live is not allowed (fuse.live.allow)"
        message = f"{can.chat_logprobs} candidates per token, {several} per request, {live}"
        yield Finding("fusion", "ok", message)


def _disk(folder: Path) -> Iterator[Finding]:
    from cogenesis_langchain.models import cache_dir

    for name, path in (("context", folder), ("models", cache_dir())):
        there = next(p for p in [path, *path.parents] if p.exists())
        free = shutil.disk_usage(there).free
        if not os.access(there, os.W_OK):
            yield Finding(
                "disk", "fail", f"the folder for {name} cannot be written", f"make '{there}' writable"
            )
        elif free < NEEDED_BYTES:
            yield Finding("disk", "note", f"{free / 1024**3:.1f} GB free for {name}", "free some space")
        else:
            yield Finding("disk", "ok", f"{free / 1024**3:.0f} GB free for {name}")
