"""Postal addresses by their form: streets, boxes, flats, postcodes, and the town behind them. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator

from cogenesis_langchain.detect.scanning import SOURCE, Pattern, Text, pattern, scan
from cogenesis_langchain.known.matcher import is_common
from cogenesis_langchain.types import PrivateSpan

_STREETS = (
    r"(?:Streets?|St|Avenue|Ave?|Road|Rd|Lane|Ln|Drive|Dr|Boulevard|Blvd|Court|Ct|Place|Pl|Squares?|Sq"
    r"|Terrace|Way|Row|Close|Crescent|Hill|Parkway|Pkwy|Highway|Hwy|Walk|Gardens|Grove|Mews|Alley|Circle|Cir|Trail)"
)
_NOT_A_STREET = (
    r"(?!(?:minutes?|hours?|days?|weeks?|months?|years?|miles?|km|meters?|blocks?|of|to|the|a|in|from"
    r"|down|more|or|and|percent|lanes?|people|cars|main)\ )"
)
_UPPER = "[A-ZÀ-ÖØ-ÞĀĂĄĆČĎĐĒĘĚĞĢĪİĶĻŁŃŇŐŒŘŚŞŠŢŤŪŮŰŹŻŽΑ-ΩА-Я]"
_STATES = (
    r"(?:A[AEKLPRZ]|C[AOT]|D[CE]|FL|G[AU]|HI|I[ADLN]|K[SY]|LA|M[ADEINOST]|N[CDEHJMVY]|O[HKR]|P[AR]|RI"
    r"|S[CD]|T[NX]|UT|V[AIT]|W[AIVY])"
)
_FRENCH_STREETS = (
    *("rue ", "avenue ", " av. ", "boulevard ", " bd ", "place d", "place l", "chemin "),
    *("impasse ", "allée ", "quai ", "route d", " cours "),
)
_SOUTHERN_STREETS = (
    *("calle ", "c/ ", "avenida ", "avda", "plaza ", "paseo ", "carrer ", "camino ", "via ", "viale "),
    *("corso ", "piazza ", "vicolo ", "rua ", "travessa ", "praça ", "ulica ", "ul. "),
)
_STREET_ENDS = (
    *(
        "straße",
        "strasse",
        r"str\.",
        "gasse",
        "weg",
        "platz",
        "allee",
        "ufer",
        "damm",
        "straat",
        "laan",
        "gracht",
    ),
    *(
        "plein",
        "gatan",
        "vägen",
        "gata",
        "gate",
        "vegen",
        "veien",
        "vej",
        "gade",
        "vænget",
        "stien",
        "katu",
        "tie",
    ),
    *("kuja", "polku", "utca", "körút", "ulice", "ulica", r"\ út", r"\ u\.", r"\ tér", r"\ str", r"\ ul\."),
    *(r"\ sok\.", r"\ cad\."),
)

PATTERNS: tuple[Pattern, ...] = (
    pattern(
        "LOCATION",
        0.65,
        r"[0-9](?<![\w.,].)[0-9]{0,4}+[A-Za-z]?\ (?:[NSEW]\.?\ )?(?:[A-Z0-9][\w'’.-]{0,20}+\ ){1,4}"
        + _STREETS
        + r"\b\.?"
        r"(?:\ [NSEW]{1,2}\b)?",
        flags=re.UNICODE,
    ),
    pattern(
        "LOCATION",
        0.6,
        r"[0-9](?<![\w.,].)[0-9]{0,4}+\ (?:" + _NOT_A_STREET + r"[a-z][a-z'-]{2,20}\ ){1,2}"
        r"(?:street|avenue|boulevard|blvd|lane|crescent|terrace|drive|court|road)(?!\w)",
        ("street", "avenue", "boulevard", "blvd", "lane", "crescent", "terrace", "drive", "court", "road"),
        lower=True,
    ),
    pattern(  # a house number behind the name of a street, as most of Europe writes it
        "LOCATION",
        0.6,
        _UPPER
        + r"(?<!\w.)[\w'’.-]{1,30}+(?:\ (?:utca|út|u\.|tér|str\.?|ulica|ul\.|sok\.|cad\.))?(?=\ [0-9])"
        + f"(?:{'|'.join(f'(?<={end})' for end in _STREET_ENDS)})"
        + r"\ [0-9]{1,4}(?:\ ?[a-zA-Z])?(?!\w)",
        where="digits",
        flags=re.UNICODE,
    ),
    pattern(
        "LOCATION",
        0.6,
        r"(?:Calle|C/|Avenida|Avda?\.|Plaza|Paseo|Carrer|Camino|Via"
        r"|Viale|Piazza|Corso|Vicolo|Rua|Travessa|Praça|Ulica|ul\.)"
        r"\ ?(?:(?:de|del|della|di|da|do|dos|la|las|los"
        r"|el)\ ){0,3}[^\W\d_a-z][\w'’.-]{1,30}(?:\ [\w'’.-]{1,30}+){0,3}?"
        r",?\ (?:n[.º°o]{1,2}\ ?)?[0-9]{1,4}(?!\w)",
        _SOUTHERN_STREETS,
        where="digits",
        flags=re.UNICODE,
    ),
    pattern(
        "LOCATION",
        0.65,
        r"[0-9](?<![\w.,].)[0-9]{0,3}+(?:\ ?(?:bis|ter))?,?\ (?:rue|avenue|av\.|boulevard|bd|place|chemin"
        r"|impasse|allée|quai"
        r"|route|cours)\ (?:(?:de|du|des|d['’]|la|le|les"
        r"|l['’])\ ?){0,3}[^\W\d][\w'’-]{1,30}(?:\ [^\W\d_a-z][\w'’-]{1,30}+){0,3}",
        _FRENCH_STREETS,
        flags=re.UNICODE | re.IGNORECASE,
    ),
    pattern(
        "LOCATION",
        0.6,
        r"[asufw](?<![a-z].)(?:(?<=a)p(?:t|artment)|(?<=s)(?:ui)?te|(?<=u)nit|(?<=f)lat|(?<=w)ohnung)(?:\."
        r"|\ no\.?)?\ ?\#?\ ?(?:[0-9]{1,5}[a-z]?|[a-z][0-9]{1,4})"
        r"(?:,?\ box\ [0-9]{1,5})?(?:\s[adf]po\ a[aep]\ [0-9]{5})?(?!\w)",
        ("apt ", "apt.", "apartment ", "suite ", " ste ", "unit ", "flat ", "wohnung "),
        lower=True,
    ),
    pattern(
        "LOCATION",
        0.65,
        r"(?:p\.?\ ?o\.?\ ?box|postfach|apartado|casilla|bp|psc"
        r"|cmr)(?<![a-z]bp)\ [0-9]{1,6}(?:,?\ box\ [0-9]{1,5})?"
        r"(?:\s[adf]po\ a[aep]\ [0-9]{5})?(?!\w)",
        ("box", "postfach", "apartado", "casilla", "bp ", "psc ", "cmr "),
        lower=True,
    ),
    pattern(
        "LOCATION",
        0.65,
        r"(?:USS|USNS|USNV|USCGC)(?:\ [A-Z][a-z'’-]{1,20}+){1,3}+,?\s{1,4}FPO,?\ A[AEP]\ [0-9]{5}(?!\w)",
        ("fpo",),
    ),
    pattern(
        "LOCATION",
        0.6,
        r"[Cc]orner\ of\ ((?:[A-Z0-9][\w'’.-]{0,30}+\ ){1,4}(?:and|&)(?:\ [A-Z0-9][\w'’.-]{0,30}+){1,4}+)",
        ("corner of",),
        flags=re.UNICODE,
    ),
    pattern("LOCATION", 0.65, r"[ADF]PO,?\ A[AEP]\ [0-9]{5}(?!\w)", ("apo", "dpo", "fpo")),
    pattern("LOCATION", 0.6, _STATES + r"\.?,?\ [0-9]{5}(?:-[0-9]{4})?(?![\w,.]\w|\w)", where="digits"),
    pattern(
        "LOCATION",
        0.6,
        r"[A-Z](?<!\w.)[a-z.'-]{2,20}+(?:\ [A-Z][a-z.'-]{2,20}+){0,2},\ (?!MD|MA|PA|OR|IN|ME|HI|OK)"
        + _STATES
        + r"(?!\w)",
    ),
    pattern(
        "LOCATION",
        0.6,
        r"(?:zip|zip\ ?code|postal\ code|post\ ?code|plz|code\ postal|código\ postal|cap)(?<![a-z]cap)"
        r"(?:\ is|\ ist|\ est|\ es)?\s?[:\#]?\s{0,2}([0-9][0-9a-z]{2,5}+(?:[ -][0-9][0-9a-z]{1,3}+)?)(?!\w)",
        ("zip", "postal", "postco", "post co", "plz", " cap "),
        lower=True,
    ),
)

# What stands around a street or a flat: a flat, a town, a country, with a postcode before or behind them.
_NAME = r"[^\W\d_a-z][\w'’.()-]{0,25}+"
_BEHIND = re.compile(
    rf"""(?:,?[\s>]{{1,6}}(?:nan|(?:apt\.|Apt\.|Suite|Flat|Unit|Box)\ [0-9]{{1,4}}+|{_NAME})){{0,7}}+
         ,?[\s>]{{1,6}}(?!19|20)[0-9]{{4,5}}+(?:-[0-9]{{3,4}})?(?:\ {_NAME}){{0,2}}+(?!\w)
       |,\s{{0,2}}{_NAME}(?:\ {_NAME}){{0,2}}+""",
    re.VERBOSE,
)
_BEFORE_UNIT = re.compile(
    r"(?:[0-9]{1,5}\ )?(?:[^\W\d_a-z][\w'’.-]{1,25}\ ){1,4}[0-9]{1,4}[a-zA-Z]?\.?,?\s{1,8}\Z|[0-9]{3,5}\ \Z"
)


def find(text: Text) -> Iterator[PrivateSpan]:
    """Addresses in `text`, in no order; spans may overlap."""
    for span in scan(PATTERNS, text):
        yield span
        start, end = span.start, span.end
        behind = _BEHIND.match(text.text, end)
        if behind and not is_common(behind[0]):
            end = behind.end()
        before = _BEFORE_UNIT.search(text.text, max(start - 80, 0), start)
        if before:
            start = before.start()
        if (start, end) != (span.start, span.end):
            yield PrivateSpan(span.type, start, end, span.score, SOURCE)
