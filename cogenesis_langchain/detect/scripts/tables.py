"""What tells names from other words: function words, first names, titles, kin. By hand, in small letters.

Only languages other than English are read with these tables; English has a model.
"""

from __future__ import annotations


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


FUNCTION_WORDS: dict[str, frozenset[str]] = {
    name: _words(words)
    for name, words in {
        "en": "the of and to is that for with my you are this it please was have has i from at by we he "
        "she they what "
        "would can your be not but will about write me our his her who which there when how an as or if do",
        "de": "der die das und ist nicht ich mit ein eine einen einem einer für auf den dem des zu zum "
        "zur von vom wir "
        "sie es im am auch bitte mein meine meinen meiner meinem wie was war hat haben sind oder aber "
        "bei aus nach "
        "dass mich mir dir uns ihr ihre schreibe schreib er bin wird werden noch um über wenn kann "
        "heute morgen gestern "
        "liebe lieber hallo sehr dann doch so nur als hier da dort ja nein danke viele",
        "fr": "le la les des et est une un pour dans que qui je vous nous avec mon ma mes sur pas du au "
        "aux ce cette il "
        "elle son sa ses en ne se plus bonjour écrivez écris merci être a par ou mais où votre notre "
        "nos vos tu te "
        "chez depuis comme quand aussi très bien cher chère salut oui non",
        "es": "el los las de que y es en un una por para con mi mis su sus se del al no yo hola escribe "
        "lo le como pero "
        "más está son muy gracias o fue ha ser tu te me nos este esta vive también cuando donde querido "
        "querida sí "
        "buenos buenas estimado estimada ayer hoy mañana",
        "it": "il lo gli di che è una per con mio mia sono della del nel nella alla dei delle un e non "
        "si ciao scrivi da "
        "ho ha al come ma più questo questa grazie caro cara anche quando dove molto vive suo sua i mi "
        "ti ci le la",
        "pt": "o os as que é um uma para com meu minha não do da em no na olá escreva por mais ao dos "
        "das e se foi você "
        "são obrigado obrigada eu ele ela também mora quando onde muito seu sua caro cara",
        "nl": "de het een en is van ik niet met voor op mijn te dat die er aan in zijn schrijf naar "
        "maar ook bij om wat "
        "hallo beste heeft wij jij hij zij dit deze woont geen wel nog",
        "tr": "ve bir bu için ile ben çok benim değil olarak mi mı da de ne gibi daha ama sen o lütfen "
        "yaz merhaba var "
        "yok kadar sonra bana beni biz siz sevgili sayın",
        "pl": "i w na nie jest z do się to że mój moja dla o jak po od ale za ma co proszę napisz oraz "
        "który która są "
        "drogi droga pan pani",
        "sv": "och är att det en som på jag för med inte av till den ett har om vi så min mitt du skriv "
        "hej bor i kan",
        "da": "og er at det en som på jeg for med ikke af til den et har om vi så min mit du skriv hej "
        "bor i kan ikkje",
        "cs": "a je na se v že to s z do pro jako by ale po od jsem můj moje napište prosím který které "
        "není i o k",
        "hu": "a az és hogy nem is egy van ez meg de én kérem írj írjon vagy volt nagyon mint csak szia "
        "kedves",
        "ro": "și este în la de pe cu pentru nu un o că mai din care am meu mea scrie vă rog sunt",
        "ru": "и в не на я что с по это как но из к у за от он она они мы вы для мой моя напиши "
        "пожалуйста был была",
        "el": "και το η ο να τα της του για με στο στη που είναι από δεν θα μου σε οι τον την ένα μια",
    }.items()
}

FIRST_NAMES = _words(
    # German
    "hans peter klaus jürgen wolfgang michael thomas andreas stefan christian martin uwe bernd "
    "frank ralf jörg dieter "
    "günter günther horst werner heinz karl otto fritz max moritz lukas leon finn jonas felix paul "
    "tim tobias sebastian "
    "florian matthias johannes jakob anton emil oskar friedrich wilhelm heinrich ludwig sven lars "
    "jens kai holger "
    "torsten anna maria ursula monika petra elisabeth sabine renate helga karin brigitte ingrid "
    "erika andrea gisela "
    "claudia susanne gabriele christa christine anja katrin katharina julia sarah lena lea mia emma "
    "hannah hanna "
    "johanna greta frieda charlotte sophie marie luisa clara klara heike silke birgit ute martina "
    "nicole stefanie "
    "jana anneliese gertrud hildegard ilse inge elke doris nora lisa laura lara antje "
    # French
    "jean pierre jacques michel philippe alain bernard patrick nicolas christophe françois laurent "
    "frédéric stéphane "
    "david pascal éric thierry olivier julien antoine guillaume hugo louis lucas théo mathieu "
    "matthieu rené marcel "
    "andré henri étienne benoît gérard yves luc rémi jérôme sylvain nathalie isabelle sylvie "
    "catherine françoise "
    "valérie christelle véronique sandrine céline stéphanie aurélie émilie camille léa manon chloé "
    "inès amélie "
    "mathilde hélène jeanne margaux brigitte monique jacqueline anne sophie élise élodie agnès chantal "
    # Spanish, Portuguese, Italian
    "josé juan antonio manuel francisco carlos javier luis miguel ángel pedro alejandro rafael "
    "fernando sergio pablo "
    "jorge alberto diego álvaro raúl rubén andrés joaquín ignacio enrique ramón vicente jesús mario "
    "gonzalo mateo "
    "santiago carmen josefa isabel dolores pilar teresa ana rosa cristina lucía paula sofía elena "
    "marta marina "
    "raquel mercedes rosario beatriz silvia patricia gabriela valentina ximena guadalupe inés rocío "
    "consuelo esperanza "
    "joão tiago rui paulo gustavo thiago bruno vitor inês catarina mariana leonor fernanda juliana "
    "letícia larissa "
    "marco giuseppe giovanni luigi francesco roberto paolo stefano giorgio lorenzo matteo "
    "alessandro davide simone "
    "luca giulia chiara francesca federica alessia valentina giovanna angela lucia caterina paola "
    "elisa ginevra "
    # Dutch, Nordic, Polish, Czech, Hungarian, Romanian
    "jan piet kees henk willem joost sanne daan bram sjoerd maarten femke anouk lotte fleur erik "
    "nils bjørn björn "
    "anders ole olav magnus henrik mikkel søren astrid ingrid solveig freja linnea sigrid piotr "
    "krzysztof andrzej "
    "tomasz paweł marcin michał jakub katarzyna małgorzata agnieszka barbara ewa magdalena zofia "
    "kasia jiří tomáš "
    "petr jaroslav lenka hana věra istván lászló zoltán gábor ferenc tamás katalin erzsébet "
    "zsuzsanna ion gheorghe "
    "mihai andrei ștefan ioana elena "
    # Turkish
    "mehmet mustafa ahmet ali hüseyin hasan ibrahim ismail osman yusuf murat ömer emre burak can "
    "kemal serkan ayşe "
    "fatma emine hatice zeynep elif meryem merve büşra esra özlem selin defne "
    # Russian, Ukrainian, Greek
    "александр сергей владимир андрей алексей дмитрий иван николай михаил евгений максим павел "
    "виктор юрий олег игорь "
    "анна мария елена ольга наталья екатерина татьяна ирина светлана юлия анастасия дарья людмила "
    "валентина петр пётр "
    "олександр сергій володимир андрій іван микола оксана наталія ірина тетяна "
    "γιώργος γιάννης κώστας δημήτρης νίκος παναγιώτης μαρία ελένη κατερίνα σοφία άννα βασιλική"
)

INTRODUCING = _words(
    "liebe lieber hallo chère cher bonjour salut querida querido estimada estimado hola cara caro "
    "ciao beste kära hej "
    "kjære sevgili drogi droga dear дорогой дорогая уважаемый уважаемая привет здравствуй друга "
    "подруга друг αγαπητέ "
    "herr herrn frau fräulein dr prof familie firma namens heiße onkel tante oma opa bruder "
    "schwester mutter vater mann "
    "sohn tochter freund freundin chef chefin kollege kollegin kollegen nachbar nachbarin cousin "
    "cousine enkel enkelin "
    "mama papa hund kater katze "
    "monsieur madame mademoiselle mme mlle docteur maître oncle appelle nommé nommée prénommé "
    "señor señora señorita don doña sr sra srta doctor doctora llamo llama llamado llamada "
    "signor signora signorina dottor dottoressa chiamo chiama "
    "senhor senhora chamo chama meneer mevrouw heet bay bayan sayın adım pan pani herra hr fru "
    "господин госпожа зовут κύριος κυρία κύριε λένε"
)
"""Titles and words that are followed by a name."""

PARTICLES = frozenset(
    [
        "de",
        "del",
        "della",
        "di",
        "da",
        "do",
        "dos",
        "das",
        "du",
        "des",
        "von",
        "van",
        "der",
        "den",
        "vom",
        "zu",
        "zur",
        "ter",
        "ten",
        "el",
        "la",
        "le",
        "bin",
        "ben",
        "ibn",
        "al",
        "af",
        "av",
        "y",
        "e",
    ]
)

NO_NAMES = _words(
    "sie ihnen ihr ihre ihren ihrem ihrer du dir dich dein deine deinen euch euer eure usted "
    "ustedes ud uds vd lei loro "
    "вы вас вам ваш ваша ваше ваши вами ви internet web covid pdf ok dieu noël pâques état dios "
    "navidad natale pasqua "
    "natal deus monsieur madame messieurs mesdames betreff hinweis datum objet asunto oggetto "
    "teşekkürler bonjour "
    "bonsoir cordialement sincères salutations saludos atentamente cordiali distinti saluti merhaba "
    "bien sûr "
    "gracias merci grazie danke"
)

GERMAN_NO_NAMES = _words(
    "anfang ende mitte montag dienstag mittwoch donnerstag freitag samstag sonntag januar februar "
    "märz april mai juni "
    "juli august september oktober november dezember uhr prozent euro liter kilo gramm stück glas "
    "tasse flasche meter "
    "art sorte zahl paar teil menge gruppe liste reihe beispiel thema seite kapitel nummer frage "
    "abend nachmittag "
    "vormittag mittag nacht damen herren grüße gruß grüßen glückwunsch dank minuten stunden tage "
    "wochen monate jahre "
    "millionen milliarden tausend hundert text brief e-mail email mail kollegen kolleginnen freunde "
    "freundinnen eltern gäste "
    "nachbarn mitglieder leute kinder kunden kundinnen fans leser leserinnen zusammen herr frau "
    "familie firma team"
)
"""German nouns that stand before another noun without being a name."""

GERMAN_NO_PLACES = _words(
    "ordnung versehen hause kürze liebe zukunft bedarf absprache bezug eile wirklichkeit ruhe frage "
    "form zeiten gefahr "
    "kontakt urlaub rente teilzeit vollzeit arbeit schule haft verbindung stichpunkten worten "
    "sätzen gold holz glas stahl "
    "metall stoff papier spaß angst wut neugier interesse gründen sicht wunsch feierabend regen "
    "schnee sonne nacht tag "
    "jahren tagen stunden minuten wochen monaten euro prozent anlehnung kombination kooperation "
    "abhängigkeit druckform "
    "person höhe länge größe farbe bearbeitung betrieb frieden freiheit not sicherheit wahrheit "
    "scherz stunde teilen "
    "kauf eis deutsch englisch französisch spanisch richtung bester guter voller großer kleiner ganz"
)
"""German nouns that follow "in", "aus", "nach" or "bei" without an article."""

GERMAN_DETERMINERS = _words(
    "der die das den dem des ein eine einen einem einer eines kein keine keinen keinem keiner zum zur "
    "im am vom beim ins ans "
    "dieser diese dieses diesen diesem jeder jede jedes jeden jedem mein meine meinen meinem meiner "
    "dein deine deinen deinem "
    "sein seine seinen seinem seiner ihr ihre ihren ihrem ihrer unser unsere unseren euer eure alle "
    "viele mehr einige manche "
    "wenige zwei drei vier fünf sechs sieben acht neun zehn welche welcher welches"
)
"""Words behind which a German noun, with or without an adjective, is a common one."""
