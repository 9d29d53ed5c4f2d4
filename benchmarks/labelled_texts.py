"""Adverts and résumés, Russian and English, in which every piece of personal data is marked.

All of it is made up: the texts by hand, the persons from lists of names, the numbers by lot with the
check digits that they should have. What looks like personal data and is none (salaries, years,
versions, numbers of laws and companies, names of firms and tools) stands unmarked beside it.
"""

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass

# A slot of a text: `{phone}` is one value of that kind; `{surname_first}` and the like are names.
_NAMES = {
    "ru": (
        ("Мария", "Анна", "Светлана", "Ольга", "Гузель", "Екатерина", "Наталья", "Юлия"),
        ("Иван", "Сергей", "Алексей", "Рустам", "Дмитрий", "Павел", "Армен", "Никита"),
        ("Иванов", "Петров", "Кузнецов", "Соловьёв", "Гайдар", "Ким", "Ткаченко", "Шевчук", "Белый", "Ахметов"),
        ("Сергеевич", "Иванович", "Алексеевич", "Павлович", "Дмитриевич"),
    ),
    "en": (
        ("Mary", "Anna", "Sarah", "Priya", "Olivia", "Chloe", "Fatima", "Grace"),
        ("John", "James", "Robert", "Ahmed", "Michael", "Wei", "Carlos", "Sean"),
        ("Smith", "Johnson", "O'Connor", "Patel", "Garcia-Lopez", "Nguyen", "Brown", "McDonald", "Okafor", "Lee"),
        (),
    ),
}
_CONTACT_TEXTS = {
    "ru": (
        "Контактное лицо: {full_name}, тел. {phone}, почта {email}",
        "Обращаться к {first_dative} по телефону {phone}.",
        "Резюме присылайте на {email} или в телеграм {handle}",
        "Звоните! {phone} ({first}), с 9:00 до 18:00. Зарплата от 80 000 до 120 000 руб.",
        "Требуется сварщик. График 5/2, оклад 90000-110000 рублей. Телефон для связи {phone}, спрашивать {full_accusative}.",
        "Пишите в WhatsApp {phone}. Мы на рынке с 1998 года, в штате 2500 сотрудников.",
        "Подробности на сайте {link}. HR-менеджер {first_surname}",
        "Менеджер по персоналу {first_surname} ответит на все вопросы: {phone}, {phone}",
        "ООО «Ромашка», ОГРН 1027700132195. Отдел кадров: {phone}, e-mail: {email}",
        "Мы в соцсетях: {link}. Вопросы в Telegram: {handle}",
        "Наш рекрутер — {first}. Телефон: {phone}",
        "Отклики и вопросы направляйте {surname_dative} {email}",
        "Опыт от 3 лет, знание 1С 8.3, ГОСТ 12.1.004-91, СНиП 2.04.01-85. Контакты: {phone}.",
        "вайбер / ватсап: {phone}. Оплата 2 раза в месяц, 45 000 — 60 000 ₽",
        "С уважением, {full_name}\nHR-директор\n{email}",
        "Собеседование проводит {full_name}, тел: {phone}",
        "Звонить по номеру {phone}, {first_patronymic}.",
        "По всем вопросам: {first_patronymic} {phone}",
    ),
    "en": (
        "Contact {full_name} on {phone} or email {email}.",
        "Please send your CV to {email}, quoting reference 2024/1187.",
        "For an informal discussion call {full_name}, Head of HR, on {phone}.",
        "Apply at {link} or message us on Telegram {handle}. Salary 45,000 - 60,000 a year.",
        "Recruiter: {full_name}\nPhone: {phone}\nWe have 12,500 staff in 30 countries since 1987.",
        "WhatsApp {phone}. Hours 9:00-17:30, 40 hours per week, start 01/09/2024.",
        "Questions? Ask for {first} at {phone}.",
        "Contact person: {full_name} ({email})",
        "Follow {handle} on Twitter. ISO 9001:2015 certified; experience with C++ 17, Python 3.11, Windows 10.",
        "Kind regards,\n{full_name}\nTalent Acquisition\n{link}",
        "Interested candidates should reach out to {full_name} via {link}",
        "Call {phone} today. Bonus of $10,000 - $15,000 and 401(k).",
        "Our consultant {full_name} will be happy to help: {email}",
        "Tel.: {phone}, fax 2 copies of form 1099-MISC.",
        "Hiring manager: {full_name}. Req ID 20231187.",
    ),
}
_RESUME_TEXTS = {
    "ru": (
        "{surname_name_patronymic}\nМужчина, 34 года, родился {birth}\n{phone}\nМосква. Руководитель отдела продаж с 2015 по 2021",
        "Резюме\n{full_name}\nДата рождения: {birth}\nТелефон: {phone}\nE-mail: {email}\nЖелаемая должность: бухгалтер",
        "{full_name}, д.р. {birth}\nПаспорт: {passport}, СНИЛС {snils}\nОпыт работы: электромонтёр 5 разряда, 2010-2020",
        "ФИО: {surname_name_patronymic}\nИНН {inn}\nГод рождения 1985. Образование: МГТУ им. Баумана, 2007",
        "Ищу работу водителем. Стаж с 2003 года, категории B, C. {phone}, {full_name}",
        "Имя: {first_surname}\nTelegram: {handle}\nНавыки: Python, SQL, Docker, Kubernetes 1.27",
        "Меня зовут {first_surname}, {birth} г.р. Портфолио: {link}",
        "паспорт серия {passport}, СНИЛС: {snils}, ИНН: {inn}",
        "Дата рождения {birth}\nСемейное положение: женат\nСтаж 12 лет, последнее место ПАО «Газпром», 01.02.2012 - 31.12.2020",
        "{surname_name_patronymic}\nродилась {birth}\nПроживает: Казань\n{email}",
    ),
    "en": (
        "{full_name}\n{email} | {phone} | {link}\nSenior Java Developer\nExperience 2012-2020",
        "CURRICULUM VITAE\n{full_name}\nDate of birth: {birth}\nNationality: British\nMobile: {phone}",
        "Name: {full_name}\nDOB {birth}\nSSN: {ssn}\nWork history: nurse, 03/2015 - 06/2021",
        "My name is {full_name}, born on {birth}. GitHub: {link}",
        "{full_name}\nLondon\n{phone}\nWarehouse Operative, forklift licence, 2015 to 2019",
        "Passport No: {passport_en}\nD.O.B.: {birth}\nEmail: {email}",
        "Resume of {full_name}\n{email}\nSkills: Excel 2016, SAP S/4HANA, SQL Server 2019",
    ),
}
_OTHER_TEXTS = {
    "ru": (
        "Работа на заводе имени Кирова, станки с ЧПУ Haas VF-2, чертежи ЕСКД 2.301-68.",
        "Зарплата 150 000 - 200 000 руб., премия до 30%. График 2/2, 12 часов.",
        "Обращаться в отдел кадров по адресу: г. Тверь, ул. Ленина, д. 15, корп. 2, офис 304.",
        "ИП Смирнов, ОКПО 00032537, расчётный счёт уточняйте. Контакты в карточке компании.",
        "Знание Битрикс24, Figma, Photoshop. Уровень английского B2, опыт с 01.09.2019.",
        "Оборот 1 200 000 000 руб., 12 филиалов, 89 магазинов, 495 сотрудников, 8 (восемь) отпускных дней в квартал.",
        "Серия станков 4510, партия 123456, артикул 7701234567 на складе 12.",
        "Звоните в рабочее время, менеджер Отдела Продаж ответит. Контактное лицо: Отдел Персонала",
        "Node.js, Vue.js, ASP.NET, React.JS, т.е. веб-разработка, и др. Оформление по ТК РФ.",
        "Требуется Мастер Участка на Северо-Запад, Санкт-Петербург, метро Чернышевская.",
    ),
    "en": (
        "Senior Software Engineer\nMachine Learning Platform\nFive years with Node.js and ASP.NET Core 6.0.",
        "Salary $120,000 - $150,000, 401k, start 2024-09-01, ref. 123-45-678.",
        "Contact Human Resources at the front desk. Call Centre Agent, 24/7 shifts.",
        "Annual turnover 1,250,000,000; 3000 stores; founded 1921; EN 10025-2:2019 steels.",
        "Must know Salesforce, Oracle EBS R12.2.9, Jira 8.20.1 and IEC 61131-3.",
        "Recruiter - Technical Hiring. You will contact candidates and ask for references.",
        "Goldman Sachs and Morgan Stanley experience preferred. Work near St. James Park.",
        "Registered Nurse\nIntensive Care Unit\nPermanent, full time",
    ),
}
# Written when the rules were done, and never looked at to change one.
_UNSEEN_TEXTS = {
    "ru": (
        "Если вам интересно — напишите Ане ({full_name}) на {email}, она расскажет подробнее.",
        "Приём звонков: {phone} с 10 до 19 мск, доб. 204. Оформление с первого дня, ДМС через 3 месяца.",
        "Собеседования по будням, при себе паспорт и трудовая. {first} {phone}",
        "Вакансию ведёт {first_surname}, отклик можно прислать на {email} с темой «Инженер-2024».",
        "Опыт: 2011–2019 ООО «Вектор», руководитель {first_surname}, рекомендации по тел. {phone}",
        "{surname_name_patronymic}\n{birth} г.р., г. Пермь\nмоб. {phone}\nПовар 4 разряда",
        "Связь: {handle} (тг), {phone} (только WhatsApp)",
        "Требования: водительский стаж с 2005 г., медкнижка, СНИЛС. Звонить {first_dative}: {phone}",
        "Гражданство РФ, паспорт {passport} выдан 12.03.2010 ОВД. ИНН {inn}.",
        "Резюме: {link}. Портфолио и рекомендации по запросу на {email}.",
    ),
    "en": (
        "{full_name} is leading this search; drop her a line at {email}.",
        "We'd love to hear from you! Text {phone} or apply via {link}.",
        "Report to the site office and ask for {full_name} ({phone}). PPE provided, 12.50 an hour.",
        "References: {full_name}, Operations Director, {email}, {phone}",
        "{full_name}\n12 High Street, Leeds\nDOB: {birth}\n{phone} / {email}\nCare Assistant, 2016-2022",
        "To apply, send a cover letter to {first} at {email} before 30/11/2024.",
        "DM {handle} on Instagram for a chat, or see {link}",
        "Social security number {ssn}, passport number {passport_en}.",
        "Your point of contact will be {full_name}; phone {phone}, ext. 12.",
        "Born {birth} in Lagos. Registered nurse since 2012.",
    ),
}


@dataclass(frozen=True)
class Labelled:
    """A text whose personal data are marked.

    Attributes:
        language: `ru` or `en`.
        spans: kind, begin and end of each piece.
    """

    language: str
    text: str
    spans: tuple[tuple[str, int, int], ...]


def labelled_texts(fillings: int = 6, seed: int = 0, unseen: bool = False) -> list[Labelled]:
    """Each text with so many different persons and numbers.

    Args:
        unseen: the texts that were written after the rules, in place of those that they were made by.
    """
    draw = random.Random(seed)
    made = []
    for texts in (_UNSEEN_TEXTS,) if unseen else (_CONTACT_TEXTS, _RESUME_TEXTS, _OTHER_TEXTS):
        for language, templates in texts.items():
            for template in templates:
                made += [_filled(language, template, draw) for _ in range(fillings if "{" in template else 1)]
    return made


def _filled(language: str, template: str, draw: random.Random) -> Labelled:
    text, spans = "", []
    person = _person(language, draw)
    for piece in _pieces(template):
        if not piece.startswith("{"):
            text += piece
            continue
        slot = piece[1:-1]
        kind, value = ("name", person[slot]) if slot in person else _value(language, slot, draw)
        spans.append((kind, len(text), len(text) + len(value)))
        text += value
    return Labelled(language, text, tuple(spans))


def _pieces(template: str) -> Iterator[str]:
    while template:
        begin = template.find("{")
        if begin < 0:
            yield template
            return
        end = template.index("}") + 1
        yield from (template[:begin], template[begin:end])
        template = template[end:]


def _person(language: str, draw: random.Random) -> dict[str, str]:
    women, men, surnames, patronymics = _NAMES[language]
    female = draw.random() < 0.5
    first, surname = draw.choice(women if female else men), draw.choice(surnames)
    if language == "en":
        return {"first": first, "full_name": f"{first} {surname}", "first_surname": f"{first} {surname}"}
    patronymic = draw.choice(patronymics)
    if female:
        patronymic = patronymic.removesuffix("ич") + "на"
        surname = {"й": surname[:-2] + "ая"}.get(
            surname[-1], surname + "а" if surname.endswith(("ов", "ёв")) else surname
        )
    dative = (
        first[:-1] + ("е" if first[-1] == "а" else "и" if first[-2:] == "ия" else "е")
        if female
        else (first[:-1] + "ю" if first[-1] == "й" else first[:-1] + "е" if first[-1] == "а" else first + "у")
    )
    accusative = (
        first[:-1] + ("у" if first[-1] == "а" else "ь" if first[-1] == "ь" else "ю")
        if female
        else (first[:-1] + "я" if first[-1] == "й" else first[:-1] + "у" if first[-1] == "а" else first + "а")
    )
    own = surname + "у" if not female and surname.endswith(("ов", "ёв")) else surname
    if female and surname.endswith(("ова", "ёва")):
        own = surname[:-1] + "ой"
    return {
        "first": first,
        "first_dative": dative,
        "first_surname": f"{first} {surname}",
        "first_patronymic": f"{first} {patronymic}",
        "full_name": draw.choice(
            (f"{first} {surname}", f"{surname} {first} {patronymic}", f"{surname} {first[0]}.{patronymic[0]}.")
        ),
        "full_accusative": accusative,
        "surname_dative": f"{own} {first[0]}. {patronymic[0]}." if draw.random() < 0.5 else f"{dative} {own}",
        "surname_name_patronymic": f"{surname} {first} {patronymic}",
    }


def _value(language: str, slot: str, draw: random.Random) -> tuple[str, str]:
    digits = _digits(draw)
    if slot == "phone":
        return "phone", _phone(language, draw)
    if slot == "email":
        name = draw.choice(("m.ivanova", "hr", "job-2024", "anna_k", "o'neil.j", "rabota+spb"))
        host = draw.choice(("company.ru", "mail.example.com", "завод.рф", "gmail.com", "uni.ac.uk"))
        return "e-mail", f"{name}@{host}"
    if slot == "link":
        return "link", draw.choice(
            (
                "https://hh.ru/resume/ab12cd34", "www.company.ru/vacancies?id=5", "t.me/hr_anna", "vk.com/id1234567",
                "linkedin.com/in/john-smith-42", "https://github.com/jsmith", "http://завод.рф/работа", "company-jobs.com/apply",
            )
        )  # fmt: skip
    if slot == "handle":
        return "handle", draw.choice(("@hr_anna", "@ivan_job77", "@TalentTeam", "@o_kuznecova"))
    if slot == "birth":
        day, month, year = draw.randint(1, 28), draw.randint(1, 12), draw.randint(1955, 2004)
        names = (
            "января",
            "февраля",
            "марта",
            "апреля",
            "мая",
            "июня",
            "июля",
            "августа",
            "сентября",
            "октября",
            "ноября",
            "декабря",
        )
        english = (
            "January",
            "February",
            "March",
            "April",
            "May",
            "June",
            "July",
            "August",
            "September",
            "October",
            "November",
            "December",
        )
        forms = [f"{day:02}.{month:02}.{year}", f"{day:02}/{month:02}/{year}", f"{year}-{month:02}-{day:02}"]
        forms += (
            [f"{day} {names[month - 1]} {year}"]
            if language == "ru"
            else [f"{day} {english[month - 1]} {year}", f"{english[month - 1]} {day}, {year}"]
        )
        return "birth date", draw.choice(forms)
    if slot == "passport":
        return "document", draw.choice(
            (f"{digits(4)} {digits(6)}", f"{digits(2)} {digits(2)} {digits(6)}", f"{digits(4)} № {digits(6)}")
        )
    if slot == "passport_en":
        return "document", digits(9)
    if slot == "snils":
        number = "1" + digits(8)
        check = sum((9 - place) * int(digit) for place, digit in enumerate(number)) % 101 % 100
        return "document", draw.choice((f"{number[:3]}-{number[3:6]}-{number[6:]} {check:02}", f"{number}{check:02}"))
    if slot == "inn":
        number = "77" + digits(8)
        for weights in ((7, 2, 4, 10, 3, 5, 9, 4, 6, 8), (3, 7, 2, 4, 10, 3, 5, 9, 4, 6, 8)):
            number += str(sum(weight * int(digit) for weight, digit in zip(weights, number, strict=True)) % 11 % 10)
        return "document", number
    assert slot == "ssn"
    return "document", f"{draw.randint(100, 665)}-{draw.randint(10, 99)}-{draw.randint(1000, 9999)}"


def _digits(draw: random.Random) -> Callable[[int], str]:
    return lambda count: "".join(str(draw.randint(0, 9)) for _ in range(count))


def _phone(language: str, draw: random.Random) -> str:
    digits = _digits(draw)
    if language == "ru":
        code = draw.choice(("495", "812", "912", "926", "903", "843"))
        rest = "2" + digits(6)
        two = f"{rest[:3]}-{rest[3:5]}-{rest[5:]}"
        return draw.choice(
            (
                f"+7 ({code}) {two}", f"8 ({code}) {two}", f"8-{code}-{two}", f"8{code}{rest}", f"+7{code}{rest}",
                f"8 {code} {rest[:3]} {rest[3:5]} {rest[5:]}", f"+7 {code} {two}", f"({code}) {two}", "8 800 555 35 35",
                f"7{code}{rest}", f"+375 29 {rest[:3]}-{rest[3:5]}-{rest[5:]}",
            )
        )  # fmt: skip
    rest = digits(4)
    return draw.choice(
        (
            f"(415) 555-{rest}", f"+1 212 555 {rest}", f"646-555-{rest}", f"+44 20 7946 0{digits(3)}", f"020 7946 0{digits(3)}",
            f"07700 900{digits(3)}", f"+49 30 {digits(3)}4567", f"212.555.{rest}", f"+44 (0)161 496 0{digits(3)}", f"1-800-555-{rest}",
        )
    )  # fmt: skip
