"""A model in ONNX with its tokenizer, from the cache. The only importer of onnxruntime and tokenizers.

Nothing leaves the machine: files are read from the folder given, and the runtime's telemetry is off.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from cogenesis_langchain.errors import ModelCorruptError, ModelMissingError

THREADS = 2


def open_model(directory: Path, name: str, file: str = "model.onnx") -> tuple[Any, Any]:
    """(tokenizer, session) of the catalogue model `name` in `directory`.

    Raises ModelMissingError or ModelCorruptError, both naming the command that helps.
    """
    for wanted in (file, "tokenizer.json"):
        if not (directory / wanted).is_file():
            raise ModelMissingError(f"no {wanted} in {directory}; run: cogenesis models pull {name}")
    # Read once, as the library loads: the call below comes too late for its device id and first event.
    os.environ["ORT_DISABLE_TELEMETRY"] = "1"
    import onnxruntime
    from tokenizers import Tokenizer

    onnxruntime.disable_telemetry_events()  # for a process that had loaded it before
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = THREADS
    options.inter_op_num_threads = 1
    options.log_severity_level = 4  # its warnings are about graph optimisation, of no use to a person
    # Idle threads must sleep, not spin: the writer needs the cores.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    try:
        tokenizer = Tokenizer.from_file(str(directory / "tokenizer.json"))
        session = onnxruntime.InferenceSession(
            str(directory / file), options, providers=["CPUExecutionProvider"]
        )
    except Exception as error:  # both libraries raise types of their own
        raise ModelCorruptError(
            f"the model {name} in {directory} cannot be loaded ({type(error).__name__}); "
            f"run: cogenesis models pull {name}"
        ) from None
    return tokenizer, session


def feed(session: Any, **rows: Any) -> Any:
    """What the session returns first, given those of the named inputs that it takes."""
    wanted = {one.name for one in session.get_inputs()}
    return session.run(None, {name: value for name, value in rows.items() if name in wanted})[0]
