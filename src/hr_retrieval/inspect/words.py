"""The words of the page, in English and Russian."""

from dataclasses import dataclass

from hr_retrieval.errors import UserError

_RUSSIAN = {
    "Data set {0}": "Набор данных {0}",
    "Source: {0}": "Источник: {0}",
    "Before you train": "Перед обучением",
    "Nothing to say against it.": "Замечаний нет.",
    "Splits": "Разбиение",
    "split": "часть",
    "queries": "запросы",
    "right answers": "верные ответы",
    "stated negatives": "заданные отрицательные",
    "train": "обучение",
    "validation": "валидация",
    "test": "тест",
    "Documents": "Документы",
    "documents": "документы",
    "with a near-duplicate": "с почти одинаковым",
    "that answer no query": "не отвечают ни на один запрос",
    "stated groups": "заданные группы",
    "queries of the largest group": "запросов в самой большой группе",
    "queries without a group": "запросов без группы",
    "Length in tokens": "Длина в токенах",
    "side": "сторона",
    "shortest": "самый короткий",
    "median": "медиана",
    "95 %": "95 %",
    "longest read": "самый длинный",
    "cut": "обрезано",
    "Languages": "Языки",
    "Cyrillic": "кириллица",
    "Latin": "латиница",
    "mixed": "смешанные",
    "other": "другие",
    "Leaks across splits": "Утечки между частями",
    "shared": "общее",
    "such as": "например",
    "and": "и",
    "None.": "Нет.",
    "Rows left out": "Отброшенные строки",
    "reason": "причина",
    "rows": "строк",
    "Masked personal data": "Скрытые персональные данные",
    "kind": "вид",
    "pieces": "сколько",
    "before": "до",
    "after": "после",
    "Sentences left out of many documents": "Фразы, убранные из многих документов",
    "Examples by lot": "Случайные примеры",
    "query": "запрос",
    "a right answer": "верный ответ",
    "query text": "текст запроса",
    "document": "документ",
    "near-duplicate document": "почти одинаковый документ",
    "group": "группа",
    "Leak: {0:,} validation or test queries share a {1} with another split, such as “{2}”.": (
        "Утечка: у {0:,} запросов валидации или теста общее с другой частью ({1}), например «{2}»."
    ),
    "The {0} split is empty.": "Часть «{0}» пуста.",
    "The {0} split has {1:,} queries: about {2:,} are needed to tell a difference of .01 in MRR apart from chance.": (
        "В части «{0}» запросов {1:,}: чтобы отличить разницу MRR в 0,01 от случайной, нужно около {2:,}."
    ),
    "One query, “{0}”, has {1:.0%} of all right answers.": "У одного запроса, «{0}», {1:.0%} всех верных ответов.",
    "{0:.0%} of the documents begin alike: “{1}”. What they share tells the encoder nothing.": (
        "{0:.0%} документов начинаются одинаково: «{1}». Общее начало ничего не говорит энкодеру."
    ),
    "{0:,} of {1:,} documents have a near-duplicate.": "У {0:,} из {1:,} документов есть почти одинаковый.",
    "{0:.0%} of the {1} are longer than the encoder reads, and are cut.": "{0:.0%} ({1}) длиннее, чем читает энкодер, и обрезаются.",
    "{0:,} rows were left out; the commonest reason: {1}.": "Отброшено строк: {0:,}; самая частая причина: {1}.",
    "The largest group holds {0:,} of {1:,} queries.": "В самой большой группе {0:,} из {1:,} запросов.",
    "The {0} split is of other languages than training: {1}.": "Языки части «{0}» не те, что в обучении: {1}.",
}
LANGUAGES = ("en", "ru")


@dataclass(frozen=True)
class Words:
    """Says things in a language.

    Raises:
        UserError: it is another one.
    """

    language: str = "en"

    def __post_init__(self) -> None:
        if self.language not in LANGUAGES:
            raise UserError(f"language to be {' or '.join(LANGUAGES)}", repr(self.language), "Choose one of them.")

    def __call__(self, form: str, *values: object) -> str:
        """The English form, or its Russian twin, with the values in it."""
        known = _RUSSIAN.get(form, form) if self.language == "ru" else form
        return known.format(*(_Said(value, self) for value in values)) if values else known

    def number(self, value: object, form: str = ",") -> str:
        """A number as the language writes it: 1,265 and 8.3%, 1 265 and 8,3%."""
        text = format(value, form)
        is_russian = self.language == "ru" and isinstance(value, int | float)
        return text.translate({ord(","): "\u202f", ord("."): ","}) if is_russian else text


@dataclass(frozen=True)
class _Said:
    """A value that a form of words asks for by a format of Python's."""

    value: object
    words: Words

    def __format__(self, form: str) -> str:
        return self.words.number(self.value, form)
