"""What people get about many orders. tests/golden/alerts holds each kind: UPDATE_GOLDEN=1 writes them anew."""

import json
import os
import re
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from invoicekey.delivery.queues import alert_entry
from invoicekey.messages import summary
from invoicekey.messages.alert import Alert, Style
from invoicekey.messages.chat import ChatMessage
from invoicekey.messages.summary import DeferredOrder, Fault, OpenFailure, SinceLast, Week
from invoicekey.messages.texts import LANGUAGES
from invoicekey.rules.verdict import Code

GOLDEN = Path(__file__).parents[1] / "golden" / "alerts"

ACCOUNT = "luxstore"
LONGEST_ACCOUNT = "l" * 63
HELD_SINCE = datetime(2026, 3, 3, 17, 5, tzinfo=UTC)
NOW = datetime(2026, 3, 10, 12, 5, tzinfo=UTC)
READ = datetime(2026, 3, 10, 11, 40, tzinfo=UTC)
PT, EN = Style("pt-BR"), Style("en")
KEY = "35260311222333000181550010006438111732194050"
LIST = "invoicekey failures --account luxstore --format csv"
LINK = "https://luxstore.myvtex.com/admin/orders/"
WEEK = Week(checked=143, mended=4, last_checked_at=datetime(2026, 3, 9, 20, 42, tzinfo=UTC))
SINCE_LAST = SinceLast(datetime(2026, 3, 9, 12, 5, tzinfo=UTC), opened=9, resolved=14)


def held(kind: str, count: int, *codes: Code, first: int = 975103) -> list[DeferredOrder]:
    return [
        DeferredOrder(
            f"VVJ-{first + number}-01",
            kind,
            tuple(
                Fault(code, None if code is Code.NO_INVOICE else str(first + number - 331_305 + place))
                for place, code in enumerate(codes)
            ),
            HELD_SINCE + timedelta(seconds=number),
        )
        for number in range(count)
    ]


def suggested(orders: Sequence[DeferredOrder]) -> list[DeferredOrder]:
    """Return the orders with a key suggested for the first invoice of each."""
    return [
        replace(order, faults=(replace(order.faults[0], suggested_key=KEY, has_suggestion=True), *order.faults[1:]))
        for order in orders
    ]


def flood(*, resolved: int = 0, expired: int = 0) -> list[DeferredOrder]:
    return [
        *held("failing", 31, Code.MISSING, Code.MALFORMED, first=975102),
        *suggested(held("failing", 4, Code.MALFORMED, first=975203)),
        *held("failing", 2, Code.NO_INVOICE, first=975303),
        *held("resolved", resolved, first=975403),
        *held("expired", expired, Code.MISSING, first=975503),
    ]


def a_failure(
    order_id: str = "VVJ-975102-01",
    days: float = 6.1,
    code: Code = Code.MISSING,
    number: str | None = "643797",
    *,
    key: str | None = None,
    others: Sequence[Fault] = (),
    read_at: datetime = READ,
) -> OpenFailure:
    faults = (Fault(code, number, key, has_suggestion=key is not None), *others)
    return OpenFailure(order_id, NOW - timedelta(days=days), read_at, faults)


OPEN = [
    a_failure("VVJ-975170-01", 2.4, Code.MISSING, "643852"),
    a_failure("VVJ-975131-01", 5.2, Code.MALFORMED, "643811", key=KEY, read_at=READ + timedelta(minutes=20)),
    a_failure("VVJ-975140-01", 4.9, Code.WRONG_MODEL, "643820", others=[Fault(Code.MISSING, "643821")]),
    a_failure(),
    a_failure("VVJ-975166-01", 3, Code.NO_INVOICE, None),
    a_failure("VVJ-975190-01", 0.3, Code.REUSED, "643901"),
    a_failure("VVJ-975191-01", 0.01, Code.INVALID_CHECK_DIGIT, "643902"),
]
MANY_OPEN = [a_failure(f"VVJ-{975200 + number}-01", 1 + number / 10) for number in range(32)]
WITHOUT_TRACKING = [
    a_failure("VVJ-975140-01", 4.9, Code.TRACKING_MISSING, "643820"),
    a_failure("VVJ-975141-01", 3.9, Code.COURIER_MISSING, "643821"),
]


def remind(
    failures: Sequence[OpenFailure], style: Style = PT, since_last: SinceLast | None = SINCE_LAST, tracking: int = 3
) -> Alert:
    return summary.reminder(
        ACCOUNT, failures, now=NOW, since_last=since_last, without_tracking=tracking, style=style
    )  # fmt: skip


def stale(failures: Sequence[OpenFailure]) -> list[OpenFailure]:
    return [replace(failure, checked_at=NOW - timedelta(hours=4)) for failure in failures]


def lines(text: str) -> list[str]:
    return text.splitlines()


def chat(told: Alert) -> dict[str, Any]:
    message: dict[str, Any] = json.loads(json.loads(told.message(chat=True))["https"])
    return message


# ---- Golden files


def golden_cases(style: Style) -> dict[str, Alert]:
    elsewhere = replace(style, stack="invoicekey-dev")
    return {
        "digest": summary.digest(ACCOUNT, flood(), style),
        "digest-of-all-kinds": summary.digest(ACCOUNT, flood(resolved=5, expired=2), style),
        "digest-with-room": summary.digest(
            ACCOUNT, held("failing", 3, Code.MISSING) + held("resolved", 20, first=975200), elsewhere
        ),
        "digest-of-one": summary.digest(ACCOUNT, held("failing", 1, Code.INVALID_CHECK_DIGIT), style),
        "digest-tracking": summary.digest(
            ACCOUNT,
            held("failing", 3, Code.TRACKING_MISSING) + held("failing", 2, Code.COURIER_MISSING, first=975200),
            style,
        ),
        "digest-expired": summary.digest(
            ACCOUNT, held("expired", 12, Code.MISSING) + held("resolved", 1, first=975200), style
        ),
        "digest-expired-one": summary.digest(ACCOUNT, suggested(held("expired", 1, Code.MALFORMED)), style),
        "digest-resolved": summary.digest(ACCOUNT, held("resolved", 37), style),
        "digest-resolved-one": summary.digest(ACCOUNT, held("resolved", 1), style),
        "reminder": remind(OPEN, style),
        "reminder-many": remind(MANY_OPEN, style),
        "reminder-one": remind([a_failure()], style, SinceLast(SINCE_LAST.at, opened=1, resolved=0), 1),
        "reminder-first": remind(OPEN[:3], style, None, 0),
        "reminder-some-not-read": remind([*stale(OPEN[:3]), *OPEN[3:]], style),
        "reminder-none-read": remind(stale(OPEN), replace(style, stack="invoicekey-dev")),
        "reminder-one-not-read": remind(stale([a_failure()]), style),
        "reminder-tracking": remind(WITHOUT_TRACKING, style, SinceLast(SINCE_LAST.at, opened=0, resolved=1), 0),
        "all_well": summary.all_well(ACCOUNT, WEEK, style),
        "all_well-one": summary.all_well(ACCOUNT, Week(1, 1, WEEK.last_checked_at), style),
        "all_well-none-read": summary.all_well(ACCOUNT, Week(0, 0, None), style),
        "all_well-none-read-for-long": summary.all_well(
            ACCOUNT, Week(0, 0, datetime(2026, 2, 20, 20, 42, tzinfo=UTC)), style
        ),
        "trial": summary.trial(ACCOUNT, style),
    }


GOLDEN_CASES = {
    f"{style.language}/summaries/{name}": told for style in (PT, EN) for name, told in golden_cases(style).items()
}
ALERTS = [pytest.param(told, id=path) for path, told in GOLDEN_CASES.items()]


@pytest.mark.parametrize("path", GOLDEN_CASES)
def test_a_summary_reads_as_its_golden_file(path: str) -> None:
    told = GOLDEN_CASES[path]
    text = f"Subject: {told.subject}\nSMS: {told.sms}\n\n{told.body}\n"
    file = GOLDEN / f"{path}.txt"
    if os.environ.get("UPDATE_GOLDEN"):
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, "utf-8")

    assert text == file.read_text("utf-8")


def test_there_is_no_golden_file_without_its_case() -> None:
    files = GOLDEN.glob("*/summaries/*")

    assert {str(file.relative_to(GOLDEN).with_suffix("")) for file in files} == set(GOLDEN_CASES)


# ---- What every summary keeps


@pytest.mark.parametrize("told", ALERTS)
def test_the_body_has_no_stray_blanks(told: Alert) -> None:
    assert "\n\n\n" not in told.body
    assert told.body == told.body.strip()
    assert all(line == " ".join(line.split()) for line in lines(told.body))


@pytest.mark.parametrize("told", ALERTS)
def test_subject_and_text_message_are_short_and_ascii_and_begin_with_the_account(told: Alert) -> None:
    for text, longest in ((told.subject, 99), (told.sms, 140)):
        assert text.isascii()
        assert text.isprintable()
        assert len(text) <= longest
        assert text.startswith(f"{ACCOUNT}: ")
    assert not set("[]{}~^|\\`") & set(told.sms)


@pytest.mark.parametrize("told", ALERTS)
def test_one_is_never_told_in_the_plural_nor_many_in_the_singular(told: Alert) -> None:
    text = "\n".join([told.subject, told.sms, told.body])

    assert not re.search(r"\b1 (pedidos|resolvidos|entraram|orders|foram)\b", text)
    assert not re.search(r"\b([02-9]|\d\d+)( more)?( Casas Bahia)? (pedido|resolvido|entrou|order|foi)\b", text)


@pytest.mark.parametrize("told", ALERTS)
def test_only_summaries_that_call_for_work_are_errors(told: Alert) -> None:
    calls_for_work = re.search(
        r"problem|sem corre|a corrigir|sem chave|fixed|without a valid|confira|please check", told.subject
    )

    assert told.attributes["severity"] == ("error" if calls_for_work else "info")
    assert told.order_id is None


@pytest.mark.parametrize("orders", [1, 3, 50])
def test_so_many_orders_are_named_as_the_shop_wants(orders: int) -> None:
    style = replace(PT, summary_orders=orders)
    open_ones = [a_failure(f"VVJ-{number:03}-01") for number in range(60)]
    held = [DeferredOrder(failure.order_id, "failing", failure.faults, failure.opened_at) for failure in open_ones]

    for told in (remind(open_ones, style), summary.digest(ACCOUNT, held, style)):
        assert len(set(re.findall(r"VVJ-\d{3}-01", told.body))) == orders
        assert "60" in told.body


@pytest.mark.parametrize("told", ALERTS)
def test_a_summary_is_a_chat_message_in_the_thread_of_its_type(told: Alert) -> None:
    message = chat(told)

    assert message["metadata"]["threadId"] == told.thread == f"{ACCOUNT}:{told.attributes['type']}"
    assert message["content"]["title"].startswith(f"{ACCOUNT}: ")
    ChatMessage.model_validate(message)


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_longest_account_keeps_what_it_is_about(language: str) -> None:
    style = Style(language)
    told = [
        summary.digest(LONGEST_ACCOUNT, held("failing", 10_000, Code.MISSING), style),
        summary.digest(LONGEST_ACCOUNT, held("expired", 10_000), style),
        summary.digest(LONGEST_ACCOUNT, held("resolved", 10_000), style),
        summary.reminder(
            LONGEST_ACCOUNT, [a_failure()] * 10_000, now=NOW, since_last=None, without_tracking=0, style=style
        ),
        summary.all_well(LONGEST_ACCOUNT, replace(WEEK, checked=10_000), style),
        summary.all_well(LONGEST_ACCOUNT, Week(0, 0, None), style),
        summary.trial(LONGEST_ACCOUNT, style),
    ]

    for text in told:
        assert len(text.subject) <= 99
        assert len(text.sms) <= 140
        assert text.subject.startswith(f"{LONGEST_ACCOUNT}: ")
        assert len(json.dumps(text.message(chat=True))) < 30_000
    assert [re.sub(r"\D", "", text.subject) for text in told[:4]] == ["10000"] * 4


# ---- Digest


def test_a_digest_counts_each_order_once_by_its_first_error() -> None:
    body = summary.digest(ACCOUNT, flood(), PT).body

    assert "31 sem chave de acesso | 4 com chave fora do formato | 2 sem nota visível" in lines(body)


def test_a_digest_counts_rare_problems_together() -> None:
    rare = [
        Code.INVALID_STATE, Code.INVALID_YEAR, Code.INVALID_MONTH, Code.INVALID_TAX_ID, Code.INVALID_NUMBER,
        Code.INVALID_EMISSION_TYPE, Code.WRONG_MODEL,
    ]  # fmt: skip
    orders = [order for number, code in enumerate(rare) for order in held("failing", 9 - number, code)]

    (counts,) = [line for line in lines(summary.digest(ACCOUNT, orders, PT).body) if line.startswith("9 com")]

    assert counts.endswith(" | 4 com tipo de emissão inválido na chave | 3 com outros problemas")


def test_an_order_whose_errors_are_not_known_is_counted_too() -> None:
    body = summary.digest(ACCOUNT, [*held("failing", 2, Code.MISSING), *held("failing", 1)], PT).body

    assert "2 sem chave de acesso | 1 com outros problemas" in lines(body)


def test_a_digest_tells_the_codes_of_what_fails() -> None:
    told = summary.digest(ACCOUNT, flood(expired=1), PT)

    assert told.attributes == {
        "type": "digest", "account": ACCOUNT, "severity": "error", "codes": ["missing", "malformed", "no_invoice"]
    }  # fmt: skip


def test_a_digest_begins_with_the_order_held_back_first() -> None:
    later, earlier = (
        DeferredOrder("B", "failing", (Fault(Code.MISSING),), NOW),
        DeferredOrder("A", "failing", (Fault(Code.MISSING),), HELD_SINCE),
    )

    body = summary.digest(ACCOUNT, [later, earlier], PT).body

    assert lines(body)[0].startswith("Desde 03/03/2026 às 14h05, mais 2 pedidos")
    assert [line for line in lines(body) if " | " in line] == ["A | sem chave de acesso", "B | sem chave de acesso"]


@pytest.mark.parametrize(
    ("failing", "expired", "resolved", "headings"),
    [
        (37, 2, 5, ["Com problema (20 de 37):", "Sem correção, último aviso:"]),
        (20, 12, 5, ["Com problema:", "Sem correção, último aviso (10 de 12):"]),
        (3, 1, 20, ["Com problema:", "Sem correção, último aviso:", "Resolvidos (17 de 20):"]),
        (0, 0, 20, ["Resolvidos:"]),
    ],
)
def test_twenty_orders_are_named_those_that_fail_first_and_ten_that_are_given_up(
    failing: int, expired: int, resolved: int, headings: list[str]
) -> None:
    orders = [
        *held("resolved", resolved, first=975400),
        *held("expired", expired, first=975300),
        *held("failing", failing, Code.MISSING),
    ]

    body = summary.digest(ACCOUNT, orders, PT).body

    assert re.findall(r"^(?:Com problema|Sem correção|Resolvidos).*:$", body, re.MULTILINE) == headings
    assert len(set(re.findall(r"VVJ-\d+-01", body))) == 20 + min(expired, 10)


@pytest.mark.parametrize(
    ("orders", "asks"),
    [
        (held("failing", 12, Code.MISSING), True),
        (held("failing", 12, Code.MALFORMED) + held("resolved", 12), True),
        (held("expired", 12), False),
        (held("resolved", 12), False),
    ],
)
@pytest.mark.parametrize("language", LANGUAGES)
def test_only_failures_have_the_erp_asked_about(orders: list[DeferredOrder], asks: bool, language: str) -> None:
    assert ("ERP" in summary.digest(ACCOUNT, orders, Style(language)).body) is asks


def test_the_erp_is_asked_about_the_key_only_where_keys_are_missing() -> None:
    assert "invoiceKey" in summary.digest(ACCOUNT, flood(), PT).body
    assert "invoiceKey" not in summary.digest(ACCOUNT, held("failing", 12, Code.MALFORMED), PT).body


@pytest.mark.parametrize(
    ("codes", "subject"),
    [
        ([Code.MISSING], "luxstore: mais 1 pedido Casas Bahia com problema na chave desde as 14h05"),
        ([Code.NO_INVOICE], "luxstore: mais 1 pedido Casas Bahia com problema na nota desde as 14h05"),
        ([Code.TRACKING_MISSING], "luxstore: mais 1 pedido Casas Bahia com problema na nota desde as 14h05"),
    ],
)
def test_a_key_is_blamed_only_where_it_is_to_blame(codes: list[Code], subject: str) -> None:
    told = summary.digest(ACCOUNT, [DeferredOrder("VVJ-1-01", "failing", tuple(map(Fault, codes)), HELD_SINCE)], PT)

    assert told.subject == subject
    assert told.sms == f"{subject}. Veja o e-mail."


@pytest.mark.parametrize("language", LANGUAGES)
def test_commands_name_a_stack_of_another_name(language: str) -> None:
    orders, style = held("failing", 2, Code.MISSING), Style(language, stack="shop-b")

    for told in (summary.digest(ACCOUNT, orders, style), remind(OPEN, style)):
        assert told.body.endswith("invoicekey failures --account luxstore --format csv --stack shop-b")
    assert "--stack" not in summary.digest(ACCOUNT, orders, Style(language)).body


# ---- Reminder


def test_a_reminder_lists_the_oldest_first() -> None:
    rows = [line for line in lines(remind(OPEN).body) if " | VVJ-" in line]

    assert rows == [
        "6 dias | VVJ-975102-01 | nota 643797 | sem chave de acesso",
        "5 dias | VVJ-975131-01 | nota 643811 | com chave fora do formato, chave sugerida:",
        "4 dias | VVJ-975140-01 | nota 643820 | com chave que não é de NF-e",
        "3 dias | VVJ-975166-01 | sem nota visível",
        "2 dias | VVJ-975170-01 | nota 643852 | sem chave de acesso",
        "7 h | VVJ-975190-01 | nota 643901 | com chave repetida",
        "menos de 1 h | VVJ-975191-01 | nota 643902 | com dígito errado na chave",
    ]


@pytest.mark.parametrize(
    ("count", "rows", "more"), [(20, 20, ""), (21, 20, "... e mais 1."), (32, 20, "... e mais 12.")]
)
def test_a_reminder_lists_twenty_and_how_many_more_there_are(count: int, rows: int, more: str) -> None:
    body = remind(MANY_OPEN[:count]).body

    assert body.count(" | VVJ-") == rows
    assert more in lines(body)


@pytest.mark.parametrize(
    ("read", "told"),
    [
        ([READ, READ + timedelta(minutes=20)], "Verificamos todos de novo das 8h40 às 9h de 10/03/2026: "),
        ([READ, READ], "Verificamos todos de novo em 10/03/2026 às 8h40: "),
        ([READ], "Verificamos o pedido de novo em 10/03/2026 às 8h40: "),
        ([NOW - timedelta(minutes=75)] * 2, "Verificamos todos de novo em 10/03/2026 às 7h50: "),
        (
            [NOW - timedelta(minutes=76), READ],
            "Não conseguimos verificar 1 deles de novo agora: a verificação mais antiga é de 10/03/2026 às 7h49. ",
        ),
        (
            [NOW - timedelta(days=1)] * 2,
            "Não conseguimos verificar nenhum deles de novo agora: a verificação mais antiga é de 09/03/2026 às 9h05. ",
        ),
        (
            [NOW - timedelta(days=1)],
            "Não conseguimos verificar o pedido de novo agora: a última verificação é de 09/03/2026 às 9h05. ",
        ),
    ],
)
def test_a_reminder_says_when_the_orders_were_read(read: list[datetime], told: str) -> None:
    failures = [a_failure(f"VVJ-{number}-01", read_at=moment) for number, moment in enumerate(read)]

    assert lines(remind(failures).body)[1].startswith(told)


def test_readings_before_and_after_midnight_name_both_days() -> None:
    midnight = datetime(2026, 3, 10, 3, 0, tzinfo=UTC)
    failures = [a_failure(read_at=midnight - timedelta(minutes=5)), a_failure(read_at=midnight)]

    told = summary.reminder(
        ACCOUNT, failures, now=midnight, since_last=None, without_tracking=0, style=PT
    )  # fmt: skip

    assert "Verificamos todos de novo entre 09/03/2026 às 23h55 e 10/03/2026 à 0h: " in told.body


@pytest.mark.parametrize(
    ("opened", "resolved", "told"),
    [
        (9, 14, "9 entraram na lista, 14 resolvidos."),
        (1, 1, "1 entrou na lista, 1 resolvido."),
        (0, 0, "nenhum entrou na lista, nenhum resolvido."),
    ],
)
def test_a_reminder_says_what_came_and_went_since_the_last_one(opened: int, resolved: int, told: str) -> None:
    body = remind(OPEN, since_last=SinceLast(SINCE_LAST.at, opened, resolved), tracking=0).body

    assert f"Desde 09/03/2026 às 9h05: {told}" in lines(body)


def test_the_first_reminder_compares_with_none() -> None:
    assert "Desde" not in remind(OPEN, since_last=None).body


@pytest.mark.parametrize(("count", "told"), [(0, None), (1, "1 pedido."), (3, "3 pedidos.")])
def test_orders_without_tracking_are_counted_where_there_are_any(count: int, told: str | None) -> None:
    found = re.findall(r"Fora da lista, .*: (.*)", remind(OPEN, tracking=count).body)

    assert found == ([told] if told else [])


def test_a_reminder_does_not_call_a_good_key_bad() -> None:
    told = remind([*WITHOUT_TRACKING, a_failure(days=1)])

    assert told.subject == "luxstore: 3 pedidos Casas Bahia a corrigir, o mais antigo ha 4 dias"
    assert lines(told.body)[0] == "A loja luxstore tem 3 pedidos da Casas Bahia a corrigir na VTEX."
    assert told.attributes["codes"] == ["tracking_missing", "courier_missing", "missing"]


def test_a_foreign_invoice_number_stays_in_its_place() -> None:
    body = remind([a_failure(number="1\n2|<b>x</b>")]).body

    assert "6 dias | VVJ-975102-01 | nota (xml) | sem chave de acesso" in lines(body)


def test_a_long_reminder_loses_its_end_in_a_chat() -> None:
    failures = [a_failure("V" * 64, number="9" * 20) for _ in range(20)]

    description = chat(remind(failures))["content"]["description"]

    assert len(description) <= 2_900
    assert lines(description)[-1] == "…"
    assert lines(description)[-2] in lines(remind(failures).body)


# ---- What is listed is enough to act on


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("kind", ["failing", "expired"])
def test_a_listed_order_has_its_problem_its_invoice_the_suggested_key_and_its_link(language: str, kind: str) -> None:
    faults = (Fault(Code.MALFORMED, "643811", KEY), Fault(Code.MISSING, "643812"))
    held_back = DeferredOrder("VVJ-1-01", kind, faults, HELD_SINCE)
    still_open = OpenFailure("VVJ-1-01", NOW, NOW, faults)

    for told in (
        summary.digest(ACCOUNT, [held_back, *held(kind, 1)], Style(language)),
        remind([still_open], Style(language)),
    ):
        begin = next(at for at, line in enumerate(lines(told.body)) if "VVJ-1-01 | " in line)
        first, key, second, link = lines(told.body)[begin : begin + 4]
        assert "643811" in first
        assert key == KEY
        assert "643812" in second
        assert link == f"{LINK}VVJ-1-01"
        assert "DANFE" in told.body


def test_a_suggestion_whose_key_is_not_known_is_told_all_the_same() -> None:
    """As of a failure that the former version stored."""
    failure = OpenFailure("VVJ-1-01", NOW, NOW, (Fault(Code.MALFORMED, "643811", has_suggestion=True),))

    body = remind([failure]).body

    assert "menos de 1 h | VVJ-1-01 | nota 643811 | com chave fora do formato, há chave sugerida" in lines(body)
    assert f"{LINK}VVJ-1-01" in lines(body)


def test_of_many_errors_of_an_order_four_are_listed_and_the_others_counted() -> None:
    faults = tuple(Fault(Code.MISSING, str(number)) for number in range(1, 11))

    body = remind([OpenFailure("VVJ-1-01", NOW, NOW, faults)]).body

    assert re.findall(r"nota (\d+)", body) == ["1", "2", "3", "4"]
    assert "e mais 6" in lines(body)


def test_an_order_of_which_no_error_is_known_has_its_link() -> None:
    assert f"VVJ-975103-01\n{LINK}VVJ-975103-01" in summary.digest(ACCOUNT, held("expired", 2), PT).body


def test_the_last_notices_that_are_not_named_are_in_the_list_to_which_the_digest_leads() -> None:
    all_named, some_named = (summary.digest(ACCOUNT, held("expired", count), PT).body for count in (10, 11))

    assert all_named.endswith("O que ainda está em aberto, em CSV, pela equipe técnica: " + LIST)
    assert some_named.endswith("Lista completa em CSV, pela equipe técnica: " + LIST.replace(" --f", " --all --f"))


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize(("code", "told"), [(Code.NO_INVOICE, True), (Code.MISSING, False)])
def test_who_mends_from_a_list_is_warned_as_by_an_alert(code: Code, told: bool, language: str) -> None:
    style = Style(language)

    for text in (summary.digest(ACCOUNT, held("failing", 2, code), style), remind([a_failure(code=code)], style)):
        assert re.search("nota de entrada|Input invoice", text.body)
        assert bool(re.search("abra um chamado|open a ticket", text.body)) is told
    assert "nota de entrada" not in summary.digest(ACCOUNT, held("resolved", 2), PT).body


def test_one_failure_is_not_said_to_be_several() -> None:
    body = summary.digest(ACCOUNT, held("failing", 1, Code.MISSING) + held("resolved", 2), PT).body

    assert "Corrija o pedido na VTEX, pelo link abaixo:" in lines(body)
    assert "Vários problemas" not in body


@pytest.mark.parametrize("language", LANGUAGES)
def test_however_many_orders_are_to_be_listed_sns_and_the_ledger_take_the_message(language: str) -> None:
    style = Style(language, summary_orders=200, chat=True)
    faults = tuple(Fault(Code.MISSING, "\U0001f6a2" * 20, KEY) for _ in range(10))
    failures = [OpenFailure("V" * 64, NOW, NOW, faults)] * 300
    orders = [DeferredOrder("V" * 64, kind, faults, NOW) for kind in ("failing", "expired") for _ in range(300)]

    for told in (
        summary.digest(LONGEST_ACCOUNT, orders, style),
        summary.reminder(LONGEST_ACCOUNT, failures, now=NOW, since_last=None, without_tracking=0, style=style),
    ):
        message = told.message(chat=True)
        listed = told.body.count(f"/orders/{'V' * 64}")
        assert len(message.encode()) < 256_000
        assert len(alert_entry(told.subject, message, told.attributes)) < 390_000
        assert 20 < listed < 200
        assert str(300 - listed) in told.body or f"({listed} " in told.body or f"({listed - 10} " in told.body


def test_nobody_in_the_back_office_is_led_to_a_console_of_amazon() -> None:
    assert [path for path, told in GOLDEN_CASES.items() if re.search("amazon|cloudwatch", told.body)] == []


# ---- The sign of life, the test


def test_a_week_without_failures_is_no_alarm() -> None:
    told = summary.all_well(ACCOUNT, WEEK, PT)

    assert told.subject == "luxstore: tudo em dia - 143 pedidos Casas Bahia verificados em 7 dias"
    assert told.attributes == {"type": "reminder", "account": ACCOUNT, "severity": "info"}


@pytest.mark.parametrize(
    ("checked", "mended", "told"),
    [
        (143, 4, "verificamos 143 pedidos deste canal; 4 foram corrigidos depois de um aviso nosso."),
        (143, 1, "verificamos 143 pedidos deste canal; 1 foi corrigido depois de um aviso nosso."),
        (143, 0, "verificamos 143 pedidos deste canal."),
        (1, 1, "verificamos 1 pedido deste canal, corrigido depois de um aviso nosso."),
        (1, 0, "verificamos 1 pedido deste canal."),
    ],
)
def test_a_week_is_counted(checked: int, mended: int, told: str) -> None:
    body = summary.all_well(ACCOUNT, Week(checked, mended, None), PT).body

    assert f"Nos últimos 7 dias {told}" in lines(body)
    assert "última verificação" not in body


def test_a_week_in_which_nothing_was_read_is_asked_about() -> None:
    told = summary.all_well(ACCOUNT, Week(0, 0, None), PT)

    assert told.subject == "luxstore: nenhum pedido Casas Bahia verificado em 7 dias, confira"
    assert "tudo em dia" not in told.body
    assert len(chat(told)["content"]["nextSteps"]) == 3


def test_the_test_has_a_type_of_its_own() -> None:
    told = summary.trial(ACCOUNT, PT)

    assert told.attributes == {"type": "test", "account": ACCOUNT, "severity": "info"}
    assert told.thread == "luxstore:test"
