"""Names and addresses beside a word that marks them, from Arabic to Spanish. Pure."""

from __future__ import annotations

import re

from cogenesis_langchain.detect.scanning import pattern

_U = re.UNICODE
_AR = "[\u0621-\u065f\u0670-\u06d3]"
_AR_NAMES = (
    "محمد|أحمد|احمد|علي|حسن|حسين|فاطمة|عائشة|خالد|عمر|يوسف|إبراهيم|ابراهيم|مريم|ليلى|سارة|محمود|مصطفى"
    "|عثمان|حمزة|طارق|سعيد|سليمان|كريم|رشيد"
    "|ياسين|زينب|خديجة|هند|سلمى|رانيا|منى|هدى|سميرة|نادية|ياسمين|عبدالله|عبد\\ ?{al}\\w+|أبو\\ {w}+"
    "|ابو\\ {w}+|بن\\ {w}+"
).format(al="ال", w=_AR)
_AR_TITLES = (
    "السيد|السيدة|الآنسة|الدكتور|الدكتورة|الأستاذ|الأستاذة|المهندس|المهندسة|دكتور|أستاذ|الحاج|الشيخ|اسمي"
    "|اسمه|اسمها|يدعى|تدعى|المدعو|صديقي"
    "|صديقتي|زوجتي|زوجي|ابني|ابنتي|أخي|أختي|زميلي|زميلتي|مديري|جاري|عزيزي|عزيزتي"
)
_HI = "[\u0900-\u0963\u0971-\u097f]"
_HI_NAMES = (
    "राहुल|अमित|रोहित|विकास|संजय|राजेश|सुरेश|रमेश|महेश|दीपक|अनिल|सुनील|विजय|अजय|मनोज|प्रिया|पूजा|नेहा|अंजलि|सुनीता"
    "|अनीता|कविता|सीमा|रेखा|गीता|मीना|आरव"
    "|अर्जुन|मोहन|सोहन|कृष्णा|शर्मा|वर्मा|गुप्ता|सिंह|कुमार|कुमारी|पटेल|यादव|मिश्रा|मिश्र|पांडे|तिवारी|अग्रवाल|जोशी|चौधरी"
    "|मेहता|शाह|देसाई|नायर|रेड्डी|चौहान|ठाकुर|खान"
)
_CY = "[А-ЯЁІЇЄҐа-яёіїєґ'’-]"
_CY_UP = "[А-ЯЁІЇЄҐ]"
_UP = r"[^\W\d_a-zà-öø-ÿ]"
_NAME = rf"{_UP}[\w'’-]{{1,30}}+"

SCRIPTS = (
    # Arabic
    pattern(
        "PERSON",
        0.6,
        rf"(?:{_AR_TITLES})\s(?:/\s?)?({_AR}{{2,15}}+(?:\s(?:{_AR_NAMES}|ال(?!ذي|تي){_AR}{{2,12}}+))?)",
        flags=_U,
    ),
    pattern(
        "PERSON",
        0.55,
        rf"(?<!{_AR})[وبلفك]?((?:{_AR_NAMES})(?!{_AR})(?:\s(?:(?:{_AR_NAMES})(?!{_AR})|ال(?!ذي"
        rf"|تي){_AR}{{2,12}}+)){{0,3}})",
        flags=_U,
    ),
    pattern(
        "LOCATION",
        0.6,
        rf"(?:شارع|حي|طريق|ميدان|زقاق|مدينة|عمارة|محافظة"
        rf"|منطقة)\s{_AR}{{2,15}}+(?:\s{_AR}{{2,15}}+)?(?:\s?[،,]?\s?(?:رقم\s)?[0-9٠-٩]{{1,5}})?",
        flags=_U,
    ),
    # Hindi
    pattern(
        "PERSON",
        0.6,
        rf"(?:श्री|श्रीमती|सुश्री|डॉ\.?|डॉक्टर|प्रोफेसर|कुमारी|नाम|दोस्त|भाई|बहन|पत्नी|पति|बेटे|बेटी|प्रिय)\s(?!है|हैं|का"
        rf"|की|के|और|को|से|ने|में)({_HI}{{2,15}}+(?:\s(?:{_HI_NAMES}))?)",
        flags=_U,
    ),
    pattern("PERSON", 0.6, rf"({_HI}{{2,15}}+)\sजी(?!{_HI})", flags=_U),
    pattern("PERSON", 0.55, rf"(?<!{_HI})((?:{_HI_NAMES})(?:\s(?:{_HI_NAMES}))*)(?!{_HI})", flags=_U),
    pattern(
        "LOCATION",
        0.6,
        rf"(?:{_HI}{{2,15}}\s){{1,2}}(?:मार्ग|गली|रोड|सड़क|नगर|कॉलोनी|चौक|जिला|बाज़ार"
        rf"|मोहल्ला)(?!{_HI})(?:[,\s]{{1,2}}[0-9०-९]{{1,6}})?",
        flags=_U,
    ),
    pattern("LOCATION", 0.6, r"(?:सेक्टर|मकान\sनंबर|फ्लैट|पिन(?:\sकोड)?)\s?[:-]?\s?[0-9०-९]{1,6}", flags=_U),
    # Russian, Ukrainian
    pattern(
        "PERSON",
        0.65,
        rf"(?:{_CY_UP}{_CY}{{2,20}}\s){{0,2}}{_CY_UP}{_CY}{{1,15}}(?:вич|вна|ична|вича|вичу|вичем|вны"
        rf"|вне|вной|вну|йович|ївна)(?!\w)(?:\s{_CY_UP}{_CY}{{2,20}})?",
        flags=_U,
    ),
    pattern(
        "PERSON",
        0.65,
        rf"{_CY_UP}\.\s?{_CY_UP}\.\s?{_CY_UP}{_CY}{{2,20}}|{_CY_UP}{_CY}{{2,20}}\s{_CY_UP}\.\s?{_CY_UP}\.",
        flags=_U,
    ),
    pattern(
        "LOCATION",
        0.6,
        rf"(?:ул\.|улиц[аеыу]|вул\.|вулиц[яіею]|просп\.|проспект[ае]?|пр-т|пер\.|переул\w+|наб\.|шоссе"
        rf"|бульвар|площад[ьи]|пл\.)\s?(?:{_CY_UP}{_CY}{{1,25}}\s?){{1,3}}(?:,?\s?(?:д\.|дом"
        rf"|буд\.)?\s?[0-9]{{1,4}}[а-яА-Я]?)?(?:,?\s?(?:кв\.|корп\.|стр\.|квартира)\s?[0-9]{{1,4}}){{0,2}}",
        flags=_U,
    ),
    pattern(
        "LOCATION",
        0.6,
        rf"(?:г\.|город[еа]?|м\.|с\.|дер\.|пос\.)\s{_CY_UP}{_CY}{{2,25}}(?:\s{_CY_UP}{_CY}{{2,25}})?",
        flags=_U,
    ),
)
"""Other scripts than Latin."""

LATIN = (
    # Turkish
    pattern(
        "PERSON",
        0.6,
        rf"({_NAME}(?:\ {_NAME}){{0,2}})\ (?:Bey|Hanım|Efendi|Hoca|Abi|Abla|Amca"
        rf"|Teyze)(?:['’]\w{{1,6}})?(?!\w)",
        flags=_U,
    ),
    pattern(
        "PROPER_NOUN",
        0.5,
        rf"((?:{_NAME}\ ){{0,2}}{_UP}[^\W\d_]{{2,25}}+)['’](?:[yns]?[iıuüeaoö]n?|[dt][ea]n?"
        rf"|l[ea]r\w{{0,6}}|n[iıuü]n|yl[ea])(?!\w)",
        flags=_U,
    ),
    pattern(
        "LOCATION",
        0.6,
        rf"(?:{_NAME}\ ){{1,3}}(?:Mah(?:allesi|\.)|Sok(?:ak|ağı|\.)|Cad(?:desi|\.)|Bulvarı|Blv\.|Apt\.?"
        rf"|Sitesi)(?:\ ?,?\ ?(?:No|Kat|Daire|D)\s?[:.]?\s?[0-9]{{1,4}}(?:/[0-9]{{1,4}})?){{0,3}}",
        flags=_U,
    ),
    # German, French, Spanish, Italian, Portuguese: streets without a number, towns behind a postcode
    pattern(
        "LOCATION",
        0.55,
        r"(?:[^\W\d_a-z][\w-]{2,25}(?:straße|strasse|gasse|allee|weg|platz|ufer)|(?:Am|An\ der|Im|Zum"
        r"|Zur|Auf\ dem)\ [^\W\d_a-z][\w-]{2,25}\ [0-9]{1,4}[a-z]?)(?!\w)",
        flags=_U,
    ),
    pattern(
        "LOCATION",
        0.6,
        rf"(?<![\w.,])(?:[A-Z]{{1,2}}-)?[0-9]{{4,5}}\ (?!(?:Euro|EUR|Uhr|Menschen|Personen|Mark|Prozent"
        rf"|Meter|Jahre|Kilometer)){_NAME}(?:[ -](?:am|an\ der|im|bei|sur|en|de|del|la|les?|{_NAME})){{0,3}}",
        flags=_U,
    ),
    pattern(
        "LOCATION",
        0.55,
        rf"(?:[Rr]ue|[Aa]venue|[Bb]oulevard|[Pp]lace|[Cc]hemin|[Ii]mpasse|[Qq]uai)\ (?:(?:de|du|des"
        rf"|d['’]|la|le|les|l['’])\ ?){{0,3}}{_NAME}(?:[ -]{_NAME}){{0,3}}",
        flags=_U,
    ),
    pattern(
        "LOCATION",
        0.55,
        rf"(?:[Cc]alle|[Aa]venida|[Aa]vda\.|[Pp]laza|[Pp]aseo|[Cc]arrer|[Cc]arretera|[Vv]iale?|[Pp]iazza"
        rf"|[Cc]orso|[Rr]ua|[Pp]raça|[Tt]ravessa)\ (?:(?:de|del|della|di|da|do|dos|das|la|las|los"
        rf"|el)\ ){{0,3}}{_NAME}(?:\ {_NAME}){{0,3}}",
        flags=_U,
    ),
)
"""Latin letters, in lines that are not English."""
