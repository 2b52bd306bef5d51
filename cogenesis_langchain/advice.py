"""What the config loader tells its user: pydantic's errors in words, and warnings on what it accepts."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from cogenesis_langchain.catalogue import catalogue
from cogenesis_langchain.faults import Fault, KeyPath, dotted, nearest, suggest
from cogenesis_langchain.route import sends_unlabelled
from cogenesis_langchain.types import All, Any_, Condition, Level, Match, Not, Policy, Route

if TYPE_CHECKING:
    from cogenesis_langchain.config import Config

_WORDS = {
    "missing": "is missing",
    "model_type": "must be a mapping of keys",
    "dict_type": "must be a mapping of keys",
    "tuple_type": "must be a list",
    "string_type": "must be text",
    "bool_type": "must be true or false",
    "bool_parsing": "must be true or false",
    "too_short": "must not be empty",
}

_UNBOUNDED = "level free is unbounded: words of the local model's own leave, from no closed list"

_ENTITIES = frozenset(
    # Presidio's recognisers, its spaCy labels, and what our patterns, Rampart and the lexicon add.
    """ABA_ROUTING_NUMBER API_KEY AU_ABN AU_ACN AU_MEDICARE AU_TFN CREDENTIAL CREDIT_CARD CRYPTO DATE_TIME
    DE_ID_CARD DE_PASSPORT DE_TAX_ID DECLARED EMAIL_ADDRESS ES_NIE ES_NIF FI_PERSONAL_IDENTITY_CODE HANDLE
    IBAN_CODE IN_AADHAAR IN_GSTIN IN_PAN IN_PASSPORT IN_VEHICLE_REGISTRATION IN_VOTER IP_ADDRESS
    IT_DRIVER_LICENSE IT_FISCAL_CODE IT_IDENTITY_CARD IT_PASSPORT IT_VAT_CODE KR_RRN LOCATION MAC_ADDRESS
    MEDICAL_LICENSE NRP ORGANIZATION PASSWORD PERSON PHONE_NUMBER PL_PESEL PRIVATE_KEY SECRET SG_NRIC_FIN
    SG_UEN TH_TNIN TOKEN UK_NHS UK_NINO URL US_BANK_NUMBER US_DRIVER_LICENSE US_ITIN US_MBI US_NPI
    US_PASSPORT US_SSN COORDINATES VIN FILE_PATH SALARY PROPER_NOUN PHRASE UUID
    AGE BANK_ACCOUNT DATE_OF_BIRTH DRIVER_LICENSE GOVERNMENT_ID ID_NUMBER LICENSE_PLATE LINK PASSPORT
    RARE_WORD TAX_ID TITLE""".split()  # noqa: SIM905  (one name a line would fill a page)
)


def not_set(variable: str) -> str:
    """What to say where an environment variable is missing."""
    return f"environment variable {variable} is not set; export it and retry"


# --- Errors ---------------------------------------------------------------------------------------


def faults_of(error: ValidationError, model: type[BaseModel]) -> list[Fault]:
    """Pydantic's errors as faults that name the nearest valid key or value and never show an input."""
    details = error.errors(include_url=False)
    within = {detail["loc"][:depth] for detail in details for depth in range(len(detail["loc"]))}
    # A list whose every entry is faulty counts as empty for Pydantic: the entries' faults say it better.
    real = [one for one in details if one["type"] != "too_short" or one["loc"] not in within]
    return [_fault(detail, model) for detail in real]


def _fault(detail: ErrorDetails, model: type[BaseModel]) -> Fault:
    context = detail.get("ctx", {})
    loc = tuple(part for part in detail["loc"] if part != "[key]")
    path: KeyPath = (*loc, *context.get("path", ()))
    kind = detail["type"]
    if kind == "extra_forbidden":
        return Fault(path, f"unknown; {suggest(path[-1], _fields_at(model, path[:-1]))}")
    if kind in ("literal_error", "enum"):
        return Fault(path, _choice(detail["input"], str(context.get("expected", ""))))
    if kind == "value_error":
        return Fault(path, str(context.get("error")))
    message = _WORDS.get(kind) or detail["msg"].replace("Input should", "must").replace(
        "String should", "must"
    )
    return Fault(path, message)


def _choice(given: Any, expected: str) -> str:
    choices = [word.strip("'") for word in expected.replace(" or ", ", ").split(", ")]
    near = nearest(given, choices) if isinstance(given, str) else None
    hint = f"; did you mean '{near}'?" if near else ""
    return f"must be {' or '.join(choices)}{hint}"


def _fields_at(model: type[BaseModel], path: KeyPath) -> list[str]:
    """Names of the keys that may stand under `path`."""
    here: type[BaseModel] | None = model
    for part in path:
        if here is None:
            return []
        if part not in here.model_fields:  # a place in a list, or a name that the user gave
            continue
        here = next(_models_in(here.model_fields[part].annotation), None)
    return list(here.model_fields) if here else []


def _models_in(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for argument in get_args(annotation):
        yield from _models_in(argument)


# --- Warnings -------------------------------------------------------------------------------------


def advice(config: Config, policy: Policy) -> Iterator[str]:
    """Warnings on a valid policy that may not do what its author thinks."""
    for path, variable in config.missing_variables():
        yield f"key '{dotted(path)}': {not_set(variable)}. Until then that endpoint is not used"
    local = config.models.local
    if local.provider == "llama_cpp" and local.path is None and local.model not in catalogue():
        yield (
            f"key 'models.local.model': the catalogue has no '{local.model}'; "
            f"{suggest(local.model, catalogue())} (see `cogenesis models list`, or give path)"
        )
    yield from _ledger_advice(config, policy)
    if policy.observe:
        yield "key 'privacy.mode': observe decides, builds and logs, and sends nothing"
    sending = [rule for rule in policy.rules if rule.step.route.sends]
    if config.models.cloud is None and (sending or policy.default.route.sends):
        yield "key 'models.cloud': no cloud model is named, so every request is answered locally"
    yield from _fuse_advice(config, policy)
    if policy.default.level is Level.FREE:
        yield f"key 'routing.default': {_UNBOUNDED}"
    for rule in policy.rules:
        if any(step.level is Level.FREE for step in (rule.step, *rule.on_failure)):
            yield f"rule '{rule.name}': {_UNBOUNDED}"
        if sends_unlabelled(rule):
            yield f"rule '{rule.name}': cloud is used only for text labelled public; add {{label: public}}"
        yield from _entity_advice(rule.name, _entities(rule.when), config.presidio)


def _ledger_advice(config: Config, policy: Policy) -> Iterator[str]:
    """Steps without a bound in bits never fit under a cap in bits."""
    if config.privacy.ledger.max_bits_per_day is None:
        return
    named = [(f"rule '{rule.name}'", step) for rule in policy.rules for step in (rule.step, *rule.on_failure)]
    for where, step in dict.fromkeys([*named, ("key 'routing.default'", policy.default)]):
        if step.route is Route.MASK or step.level is Level.FREE:
            yield (
                f"{where}: {step} has no bound in bits, so it never fits under "
                "privacy.ledger.max_bits_per_day, and what is more private happens instead"
            )


def _fuse_advice(config: Config, policy: Policy) -> Iterator[str]:
    """What route fuse needs, and what its form live gives away."""
    routes = {step.route for step in policy.steps}
    if config.models.local.provider != "llama_cpp" and routes & {Route.FUSE, Route.LIVE}:
        yield "key 'models.local.provider': route fuse needs llama_cpp; until then a sketch is made instead"
    if (coefficients := config.fuse.combiner_file) is not None and not coefficients.is_file():
        yield (
            "key 'fuse.combiner_file': there is no such file, so fused texts are written here alone; "
            "make it: cogenesis train combiner"
        )
    if Route.LIVE not in routes:
        return
    live, caps, cloud = config.fuse.live, config.privacy.ledger, config.models.cloud
    if cloud is not None and config.privacy.lists(cloud.base_url):
        yield "key 'privacy.trusted_endpoints': the cloud is listed, so form live sends it requests and texts"
        return
    bits = live.max_nats / math.log(2) + live.end_bits
    yield f"key 'fuse.live': form live may give away {bits:.0f} bits of each text, besides kind and topic"
    if caps.max_bits_per_day is not None and caps.max_bits_per_day < bits:
        yield (
            f"key 'privacy.ledger.max_bits_per_day': one text in form live may need {bits:.0f}; at "
            f"{caps.max_bits_per_day:g} the cloud's part ends early: raise it, or lower fuse.live.max_nats"
        )
    from cogenesis_langchain.fusion.shadow import Budget  # numpy, which few policies need here

    tokens = Budget(live.nats_per_token, live.max_nats).tokens
    requests = min(live.max_requests, int(tokens / max(live.tokens_per_request, 1)) + 1)
    least = min(config.privacy.gate.max_requests_per_live_run, caps.max_requests_per_day or requests)
    if least < requests:
        yield (
            f"key 'fuse.live': one text may take {requests} requests, and the smaller of "
            "privacy.gate.max_requests_per_live_run and privacy.ledger.max_requests_per_day ends the cloud's "
            f"part after {least}"
        )


def _entity_advice(rule: str, used: Iterable[str], presidio: Mapping[str, Any] | Path) -> Iterator[str]:
    if isinstance(presidio, Path):
        return  # a recogniser of the user's own may give any name
    valid = _ENTITIES | frozenset(_supported(presidio))
    for entity in used:
        if entity not in valid:
            yield f"rule '{rule}': the detector gives no entity '{entity}'; {suggest(entity, valid)}"


def _entities(condition: Condition) -> Iterator[str]:
    if isinstance(condition, Not):
        yield from _entities(condition.condition)
    elif isinstance(condition, All | Any_):
        for part in condition.conditions:
            yield from _entities(part)
    elif isinstance(condition, Match) and condition.signal == "entity":
        yield from condition.values


def _supported(presidio: Any) -> Iterator[str]:
    """Entity names that the user's own recognisers give."""
    if isinstance(presidio, Mapping):
        for key, value in presidio.items():
            if key in ("supported_entity", "supported_entities", "model_to_presidio_entity_mapping"):
                names = value.values() if isinstance(value, Mapping) else value
                yield from [names] if isinstance(names, str) else map(str, names or ())
            yield from _supported(value)
    elif isinstance(presidio, list | tuple):
        for part in presidio:
            yield from _supported(part)
