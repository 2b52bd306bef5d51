"""The error tree. Messages name the cause and the fix, and never carry the user's text.

CoGenesisError
├── ConfigError            the YAML policy: file, line and key
├── ModelError
│   ├── ModelMissingError  not in the cache: names `cogenesis models pull`
│   ├── ModelCorruptError  wrong size, wrong SHA-256, or not loadable
│   └── DownloadError      no source answered, or the disk is full
├── InputError             empty, too long, no text, no user
├── StoreError             the private context cannot be read or written
│   ├── StoreBusyError     another process holds the store
│   └── CryptoError        no key, a wrong key, or an entry that should be sealed and is not
├── VaultError             a handle that this (user, thread) does not own
├── DetectorError          the detector failed: nothing is sent
├── WriterError            the local model failed
├── SketchError            the cloud's answer is no sketch
├── AuditError             receipts cannot be written or do not verify
│   └── LedgerError        a cap on what may be told in a day is reached: nothing was sent
├── GateError              the gate refused: nothing was sent
│   └── GateHit            a private value in the last bytes; carries spans, never values
└── CloudError             the cloud did not answer usefully; `retryable` says whether to try again
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cogenesis_langchain.types import PrivateSpan


class CoGenesisError(Exception):
    """Root of every error this package raises on purpose."""

    exit_code = 1


class ConfigError(CoGenesisError):
    """The policy file is wrong; the message names file, line, key and the nearest valid name."""

    exit_code = 2


class ModelError(CoGenesisError):
    """A model file cannot be used."""

    exit_code = 3


class ModelMissingError(ModelError):
    """The file is not in the cache."""


class ModelCorruptError(ModelError):
    """The file is not what the catalogue pins."""


class DownloadError(ModelError):
    """No source gave the whole file."""


class InputError(CoGenesisError):
    """The request itself cannot be worked on."""

    exit_code = 2


class StoreError(CoGenesisError):
    """The private context cannot be read or written."""

    exit_code = 4


class StoreBusyError(StoreError):
    """Another process is writing to the same store."""


class CryptoError(StoreError):
    """An entry cannot be opened (no key, another key, changed, in the clear), or a key cannot be kept."""


class VaultError(CoGenesisError):
    """A handle that this (user, thread) does not own, or that is gone."""

    exit_code = 4


class DetectorError(CoGenesisError):
    """Detection failed, so nothing may be sent."""

    exit_code = 3


class WriterError(CoGenesisError):
    """The local model failed."""

    exit_code = 3


class SketchError(CoGenesisError):
    """The cloud's answer cannot be read as a sketch."""

    exit_code = 7


class AuditError(CoGenesisError):
    """Receipts cannot be written or do not verify, so nothing may be sent."""

    exit_code = 5


class LedgerError(AuditError):
    """One more request does not fit under the caps of `privacy.ledger`; nothing was sent."""


class GateError(CoGenesisError):
    """The gate refused a request; nothing was sent."""

    exit_code = 6


class GateHit(GateError):
    """A private value was found in the last bytes. `spans` say where and what kind, never which."""

    def __init__(self, message: str, spans: Sequence[PrivateSpan] = ()) -> None:
        super().__init__(message)
        self.spans = tuple(spans)


class CloudError(CoGenesisError):
    """The cloud is down, slow, refusing or answering nonsense. `status`: of its answer, where it had one."""

    exit_code = 7

    def __init__(self, message: str, *, retryable: bool = False, status: int | None = None) -> None:
        super().__init__(message)
        self.retryable = retryable
        self.status = status
