"""Names and addresses in other languages, for `thorough`. All persons and addresses are made up."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cogenesis_langchain.detect import scripts
from cogenesis_langchain.known.matcher import merged
from cogenesis_langchain.types import PrivateSpan

PRIVATE = [
    # German
    ("Bitte schreibe eine Einladung für meine Schwester Annika in Hamburg.", ["Annika", "Hamburg"]),
    ("Der Vertrag wurde von Herrn Dr. Kowalski unterschrieben.", ["Kowalski"]),
    ("Gestern hat Thomas Ebner von seiner Reise erzählt.", ["Thomas Ebner"]),
    ("Liebe Gudrun, wir sind in der Lindenallee angekommen.", ["Gudrun", "Lindenallee"]),
    ("Ich wohne in 50667 Köln und arbeite als Lehrer.", ["50667 Köln"]),
    # French
    (
        "Écrivez une lettre à Mathilde Rousseau, qui habite rue de la République à Lyon.",
        ["Mathilde Rousseau", "rue de la République", "Lyon"],
    ),
    (
        "Ma collègue Solène m'a dit que monsieur Lefèvre part pour Toulouse.",
        ["Solène", "Lefèvre", "Toulouse"],
    ),
    # Spanish, Italian, Portuguese
    (
        "Escribe una carta a mi vecina Consuelo Ibáñez, que vive en la calle Mayor de Zaragoza.",
        ["Consuelo Ibáñez", "calle Mayor", "Zaragoza"],
    ),
    ("Scrivi una lettera a mia zia Ornella che vive a Bologna.", ["Ornella", "Bologna"]),
    (
        "Escreva uma carta para a minha avó Conceição que mora na Rua das Flores.",
        ["Conceição", "Rua das Flores"],
    ),
    # Dutch, Polish, Swedish, Turkish
    ("Schrijf een brief aan mijn buurvrouw Marloes de Wit in Utrecht.", ["Marloes de Wit", "Utrecht"]),
    (
        "Napisz list do mojej sąsiadki Bożeny Wiśniewskiej, która mieszka w Krakowie.",
        ["Bożeny Wiśniewskiej", "Krakowie"],
    ),
    ("Skriv ett brev till min granne Göran Lindström som bor i Uppsala.", ["Göran Lindström", "Uppsala"]),
    (
        "Komşum Cemal Bey, Ankara'da Gül Sokak No: 12'de oturuyor ve çok yaşlı.",
        ["Cemal", "Ankara", "Gül Sokak No: 12"],
    ),
    # Russian, Greek
    (
        "Напиши письмо моей подруге Алине Воронцовой, она живёт на ул. Садовой, д. 5, в Казани.",
        ["Алине Воронцовой", "ул. Садовой, д. 5", "Казани"],
    ),
    ("Иван Сергеевич Петров работает в банке.", ["Иван Сергеевич Петров"]),
    ("Γράψε ένα γράμμα στη φίλη μου Ελένη Παππά που μένει στη Θεσσαλονίκη.", ["Ελένη Παππά", "Θεσσαλονίκη"]),
    # Arabic, Hindi
    ("اكتب رسالة إلى صديقي خالد المنصوري الذي يسكن في شارع الملك فهد", ["خالد المنصوري", "شارع الملك فهد"]),
    ("मेरे दोस्त राहुल शर्मा को एक पत्र लिखो।", ["राहुल शर्मा"]),
    # Chinese, Japanese, Korean
    ("请给王小明写一封感谢信。", ["王小明"]),
    (
        "你好，我叫欧阳文静，我住在北京市海淀区中关村大街27号院3号楼502室。",
        ["欧阳文静", "北京市海淀区中关村大街27号院3号楼502室"],
    ),
    ("马云龙先生是我们的经理，我在青松科技有限公司工作。", ["马云龙", "青松科技有限公司"]),
    (
        "田中太郎さんは東京都渋谷区神南1丁目2番3号に住んでいます。",
        ["田中太郎", "東京都渋谷区神南1丁目2番3号"],
    ),
    ("私は鈴木一郎と申します。ひろしくんとマイケルさんが来ました。", ["鈴木一郎", "ひろし", "マイケル"]),
    ("김민수씨에게 편지를 써 주세요. 박지영은 제 친구입니다.", ["김민수", "박지영"]),
    (
        "제 이름은 최서연이고 서울특별시 강남구 테헤란로 152에 살고 있습니다.",
        ["최서연", "서울특별시 강남구 테헤란로 152"],
    ),
    # another script inside English
    ("Please write a letter to my friend Татьяна who lives in 北京.", ["Татьяна", "北京"]),
]

HARMLESS = [
    "Write an invitation to a birthday party in a garden, and say in which Order the guests arrive.",
    "Wie koche ich eine gute Suppe mit Gemüse, Nudeln und Fleisch? Nenne bitte drei Rezepte in Stichpunkten.",
    "Die Wirtschaft braucht mehr Fachkräfte, denn die Zahl der Bewerber sinkt. Danke für Ihre Mühe.",
    "Le réchauffement climatique est un problème pour tous les pays. Pourquoi la mer monte-t-elle ?",
    "La energía solar es limpia y barata. ¿Cómo funciona un panel? Explica con ejemplos.",
    "Güneş enerjisi çok önemli bir kaynak ve gelecek için gerekli.",
    "Напишите рассказ о весне и о любви к природе. Солнечная энергия очень важна для будущего.",
    "ما هي فوائد الطاقة الشمسية للبيئة والاقتصاد؟",
    "सौर ऊर्जा के क्या लाभ हैं? कृपया तीन उदाहरण दीजिए।",
    "请写一篇关于环境保护的文章，字数不少于八百字。程序运行成功，文件已经保存。",
    "我们应该高兴地面对任何困难，因为时间就是金钱。王国的历史很悠久。许多人周末去公园。",
    "お母さんとお父さんは元気です。お客様の声を皆さんに伝えたいです。同様に多様な仕様があります。",
    "이 문제는 정말 어렵습니다. 오늘은 날씨가 좋아서 강아지와 산책했어요. 김치찌개 레시피를 알려 주세요.",
]


@pytest.mark.parametrize(("text", "values"), PRIVATE)
def test_names_and_addresses_do_not_slip_through(text: str, values: list[str]) -> None:
    """Each value is covered whole, in the language it is written in."""
    spans = merged(scripts.find(text))
    for value in values:
        start = text.index(value)
        end = start + len(value)
        covered = {i for span in spans for i in range(span.start, span.end)}
        assert all(i in covered or not text[i].isalnum() for i in range(start, end)), value


@pytest.mark.parametrize(("text", "values"), PRIVATE)
def test_sentences_stay_readable(text: str, values: list[str]) -> None:
    """What is covered is little more than the values: no language is masked as a whole."""
    covered = sum(span.end - span.start for span in merged(scripts.find(text)))
    assert covered <= sum(map(len, values)) + 16


@pytest.mark.parametrize("text", HARMLESS)
def test_sentences_without_names_are_left_alone(text: str) -> None:
    """German nouns, words that begin with a surname, and polite forms are no names."""
    assert list(scripts.find(text)) == []


def test_lines_of_a_mixed_text_are_read_in_their_own_language() -> None:
    """An English request that quotes a French letter is read as both, with offsets of the whole text."""
    text = "Please translate the following for me:\nMon amie Solène vous écrit de Toulouse avec joie."
    found = [text[s.start : s.end] for s in scripts.find(text)]
    assert found == ["Solène", "Toulouse"]


def test_a_request_in_another_language_is_no_name() -> None:
    """A whole clause in another script beside English is not taken for a name."""
    text = "The quick brown fox jumps over the lazy dog again and again. 请帮我翻译这段文字的内容"
    assert list(scripts.find(text)) == []


@pytest.mark.parametrize(
    "unit", ["A", "Aa ", "张", "王 ", "さん", "김", "市", "Á ", "И. ", "12345 ", "Rue de ", "é's "]
)
def test_time_is_linear(unit: str) -> None:
    """Four times the text takes about four times the time, whatever it is made of."""
    import time

    def seconds(count: int) -> float:
        text = (unit * count)[:count]
        begun = time.process_time()
        list(scripts.find(text))
        return time.process_time() - begun

    seconds(1_000)
    small = min(seconds(4_000) for _ in range(3))
    assert min(seconds(16_000) for _ in range(3)) < 12 * max(small, 0.002)


PIECES = st.sampled_from([text for text, _ in PRIVATE])


@given(st.one_of(st.text(max_size=200), st.lists(PIECES, max_size=3).map("".join)))
def test_any_text_can_be_read(text: str) -> None:
    """Whatever is written, the rules end, and what they find lies in the text and is not empty."""
    words = [PrivateSpan("PERSON", m.start(), m.end(), 0.5, "spacy") for m in re.finditer(r"\S+", text)]
    for span in (*scripts.find(text), *scripts.sobered(text, words)):
        assert 0 <= span.start < span.end <= len(text)


def test_what_is_covered_is_told() -> None:
    """The list for the documentation names each language that has rules, and what is missing."""
    told = " ".join(scripts.COVERED)
    for language in (
        "German",
        "French",
        "Spanish",
        "Chinese",
        "Japanese",
        "Korean",
        "Arabic",
        "Hindi",
        "Turkish",
    ):
        assert language in told
    assert all("ot:" in text or "only" in text or "as French" in text for text in scripts.COVERED.values())


def tagged(text: str, source: str = "spacy") -> list[PrivateSpan]:
    """Every word a proper noun: what an English tagger makes of other languages."""
    return [PrivateSpan("PROPER_NOUN", m.start(), m.end(), 0.5, source) for m in re.finditer(r"\w+", text)]


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("Der Bericht und eine gute Suppe sind für die Kollegen von Wiebke.", ["Wiebke"]),
        ("La energía solar es limpia para Ximena y barata para los vecinos.", ["Ximena"]),
        ("Я напишу письмо Алине, и она будет рада.", ["Алине"]),
        ("请写一篇关于环境保护的文章", []),
        (
            "Nora said that every word counts here.",
            ["Nora", "said", "that", "every", "word", "counts", "here"],
        ),
    ],
)
def test_english_models_are_believed_only_as_far_as_the_language_allows(text: str, left: list[str]) -> None:
    """In other languages names stay and common words are freed; English is left as the models read it."""
    assert [text[s.start : s.end] for s in scripts.sobered(text, tagged(text))] == left


@pytest.mark.parametrize("source", ["rampart", "pattern", "known", "presidio"])
def test_only_english_models_are_doubted(source: str) -> None:
    """Findings of patterns, known values, Rampart and the adopter's own recognisers always stay."""
    text = "Der Bericht und eine gute Suppe sind für die Kollegen."
    assert list(scripts.sobered(text, tagged(text, source))) == tagged(text, source)


def test_a_span_over_several_words_keeps_its_names() -> None:
    """What a model took for one name comes back without the words that cannot be part of it."""
    text = "Wir haben gestern mit Wiebke Kraus und der Katze gesprochen."
    span = PrivateSpan("PERSON", text.index("gestern"), text.index(" gesprochen"), 0.8, "spacy")
    assert [text[s.start : s.end] for s in scripts.sobered(text, [span])] == ["Wiebke Kraus"]
