"""What the guard tells people: what to do first, why after it. No secret, and of foreign texts a cleaned host alone."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple

from invoicekey.messages.texts import Said, leading_to

LONGEST_ACCOUNT_SHOWN = 40
MOST_ACCOUNTS_NAMED = 50
"""So many accounts are named that have the same trouble; how many more there are is told."""


class Trouble(StrEnum):
    """What can be wrong with an account that nobody would notice; the gravest first."""

    CREDENTIALS_REFUSED = "credentials_refused"
    """VTEX refused the appKey and appToken."""
    QUIET = "quiet"
    """No hook came for QuietAlarmHours, once a first had come."""
    NO_CNOVA = "no_cnova"
    """Hooks came for seven days, and none was about an order of CNova's."""
    FEED_FOUND = "feed_found"
    """The feed brought what the hook had missed."""
    HOOK_ELSEWHERE = "hook_elsewhere"
    """The hook is another system's; the guard has a notice of its own about it."""
    FEED_LEFT_ALONE = "feed_left_alone"
    """The feed may be another system's; the guard has a notice of its own about it."""


@dataclass(frozen=True, slots=True)
class Notice:
    """A message about the system itself."""

    subject: str
    """ASCII, below 100 characters."""
    body: str


def hook_elsewhere(hosts: Mapping[str, str | None], language: str, stack: str) -> Notice:
    """Say whose hooks point at another system: by account its host, None where the address can't be read."""
    places = {account: f"«{host}»" if host else _UNREADABLE.to(language) for account, host in hosts.items()}
    if len(places) > 1:
        named = [f"{account} ({place})" for account, place in places.items()]
        return _notice_of_several(_HOOKS_SUBJECT, _HOOKS_BODY, named, language, stack)
    ((account, place),) = places.items()
    return _notice(_HOOK_SUBJECT, _HOOK_BODY, language, stack, account=account, place=place)


def feed_left_alone(accounts: Sequence[str], language: str, stack: str) -> Notice:
    """Say that the feeds of these accounts' appKeys may be another system's."""
    if len(accounts) > 1:
        return _notice_of_several(_FEEDS_SUBJECT, _FEEDS_BODY, accounts, language, stack)
    return _notice(_FEED_SUBJECT, _FEED_BODY, language, stack, account=accounts[0])


def not_shown(accounts: Sequence[str], language: str, stack: str) -> Notice:
    """Say that VTEX shows neither a hook, or a feed, of these accounts nor that there is none."""
    if len(accounts) > 1:
        return _notice_of_several(_SEVERAL_NOT_SHOWN_SUBJECT, _SEVERAL_NOT_SHOWN_BODY, accounts, language, stack)
    return _notice(_NOT_SHOWN_SUBJECT, _NOT_SHOWN_BODY, language, stack, account=accounts[0])


def operations_unconfirmed(language: str, stack: str) -> Notice:
    """Say, on the alert topic, that nobody hears the alarms."""
    return _notice(_UNCONFIRMED_SUBJECT, _UNCONFIRMED_BODY, language, stack)


def accounts_in_trouble(
    accounts: Mapping[Trouble, Sequence[str]], quiet_hours: int, language: str, stack: str
) -> Notice:
    """Say which accounts have which trouble, of those that are told together: Trouble without the last two.

    `quiet_hours` is for how long an account that counts as quiet has had no hook, at the least.
    """
    found = [(_TOLD_TOGETHER[trouble], sorted(accounts[trouble])) for trouble in Trouble if accounts.get(trouble)]
    names = sorted({name for _, named in found for name in named})
    values = {"hours": str(quiet_hours), "of_stack": leading_to(stack), "make_of_stack": leading_to(stack, " STACK=")}
    parts = [
        f"{number}. {told.what_to_do.to(language).format(**values)}\n{_named(named, language)}"
        for number, (told, named) in enumerate(found, start=1)
    ]
    whose = _shown(names[0]) if len(names) == 1 else _SEVERAL.to(language).format(count=len(names))
    more = _AND_MORE.to(language) if len(found) > 1 else ""
    subject = f"{whose}: {found[0][0].headline.to(language).format(**values)}{more}"
    body = [_TOGETHER.to(language), *parts, _TOGETHER_MORE.to(language), _AGAIN.to(language)]
    return Notice(subject, "\n\n".join(body))


def _named(accounts: Sequence[str], language: str) -> str:
    """List accounts, and how many there are besides."""
    named, more = accounts[:MOST_ACCOUNTS_NAMED], len(accounts) - MOST_ACCOUNTS_NAMED
    return _ACCOUNTS.to(language) + ", ".join(named) + (_AND_OTHERS.to(language).format(count=more) if more > 0 else "")


def _shown(account: str) -> str:
    return account if len(account) <= LONGEST_ACCOUNT_SHOWN else f"{account[: LONGEST_ACCOUNT_SHOWN - 3]}..."


def _notice(subject: Said, body: Said, language: str, stack: str, **values: str) -> Notice:
    shown = _shown(values.get("account", ""))
    commands = {"of_stack": leading_to(stack), "make_of_stack": leading_to(stack, " STACK="), "stack": stack}
    told = body.to(language).format(**commands, **values) + "\n\n" + _AGAIN.to(language)
    return Notice(subject.to(language).format(**{**values, "account": shown}), told)


def _notice_of_several(subject: Said, body: Said, accounts: Sequence[str], language: str, stack: str) -> Notice:
    number, named = str(len(accounts)), _named(accounts, language)
    return _notice(subject, body, language, stack, number=number, accounts=named)


_UNREADABLE = Said("um endereço que não conseguimos ler", "an address that we cannot read")

_AGAIN = Said(
    "Enquanto durar, este aviso volta a cada 7 dias.",
    "While it lasts, this notice comes again every 7 days.",
)

_HOOK_SUBJECT = Said("{account}: o hook da VTEX aponta para outro sistema", "{account}: VTEX's hook points elsewhere")

_HOOK_BODY = Said(
    """\
Crie uma appKey só para este sistema: o hook de pedidos da conta {account} aponta para {place}.

1. Na VTEX, crie uma appKey com os recursos View order e Feed v3 and Hook Admin (License Manager, produto OMS).
2. Grave a appKey e o appToken novos no lugar dos atuais: make credentials{make_of_stack}
3. Instale o hook: invoicekey hook install --account {account}{of_stack}

A VTEX aceita um só hook por appKey, e gravar o nosso apagaria o do outro sistema. Por isso não mudamos nada.
Até lá, podemos não saber dos pedidos faturados desta conta.""",
    """\
Create an appKey for this system alone: the order hook of account {account} points at {place}.

1. In VTEX, create an appKey with the resources View order and Feed v3 and Hook Admin (License Manager, OMS).
2. Keep the new appKey and appToken in place of the present ones: make credentials{make_of_stack}
3. Install the hook: invoicekey hook install --account {account}{of_stack}

VTEX keeps one hook an appKey, and writing ours would erase the other system's. So nothing was changed.
Until then, we may not hear of this account's invoiced orders.""",
)

_HOOKS_SUBJECT = Said(
    "{number} contas: o hook da VTEX aponta para outro sistema", "{number} accounts: VTEX's hook points elsewhere"
)

_HOOKS_BODY = Said(
    """\
Crie, em cada conta desta lista, uma appKey só para este sistema: o hook de pedidos dela aponta para outro.

{accounts}

1. Na VTEX, crie uma appKey com os recursos View order e Feed v3 and Hook Admin (License Manager, produto OMS).
2. Grave a appKey e o appToken novos no lugar dos atuais: invoicekey accounts set CONTA --credentials{of_stack}
3. Instale o hook, conta por conta: invoicekey hook install --account CONTA{of_stack}

A VTEX aceita um só hook por appKey, e gravar o nosso apagaria o do outro sistema. Por isso não mudamos nada.
Até lá, podemos não saber dos pedidos faturados destas contas.""",
    """\
Create, in each account of this list, an appKey for this system alone: its order hook points at another one.

{accounts}

1. In VTEX, create an appKey with the resources View order and Feed v3 and Hook Admin (License Manager, OMS).
2. Keep the new appKey and appToken instead: invoicekey accounts set ACCOUNT --credentials{of_stack}
3. Install the hook, account by account: invoicekey hook install --account ACCOUNT{of_stack}

VTEX keeps one hook an appKey, and writing ours would erase the other system's. So nothing was changed.
Until then, we may not hear of these accounts' invoiced orders.""",
)

_FEED_SUBJECT = Said("{account}: o feed da VTEX pode ser de outro sistema", "{account}: VTEX's feed may be another's")

_FEED_BODY = Said(
    """\
Crie uma appKey só para este sistema: a appKey da conta {account} já tem um feed que não é como o nosso.

1. Na VTEX, crie uma appKey com os recursos View order e Feed v3 and Hook Admin (License Manager, produto OMS).
2. Grave a appKey e o appToken novos no lugar dos atuais: make credentials{make_of_stack}
3. Instale hook e feed: invoicekey hook install --account {account}{of_stack}
Se nenhum outro sistema usa esse feed, basta apagar a configuração dele na VTEX: DELETE /api/orders/feed/config

A VTEX aceita um só feed por appKey, e o que um sistema lê e confirma some para os outros. Por isso não lemos
nem mudamos esse feed. O hook continua a avisar; falta a segunda fonte.""",
    """\
Create an appKey for this system alone: the appKey of account {account} has a feed already, unlike ours.

1. In VTEX, create an appKey with the resources View order and Feed v3 and Hook Admin (License Manager, OMS).
2. Keep the new appKey and appToken in place of the present ones: make credentials{make_of_stack}
3. Install hook and feed: invoicekey hook install --account {account}{of_stack}
If no other system uses that feed, it is enough to remove its configuration in VTEX: DELETE /api/orders/feed/config

VTEX keeps one feed an appKey, and what one system reads and commits is gone for the others. So that feed is neither
read nor changed. The hook goes on telling; the second source is missing.""",
)

_FEEDS_SUBJECT = Said(
    "{number} contas: o feed da VTEX pode ser de outro sistema", "{number} accounts: VTEX's feed may be another's"
)

_FEEDS_BODY = Said(
    """\
Crie, em cada conta desta lista, uma appKey só para este sistema: a atual já tem um feed que não é como o nosso.

{accounts}

1. Na VTEX, crie uma appKey com os recursos View order e Feed v3 and Hook Admin (License Manager, produto OMS).
2. Grave a appKey e o appToken novos no lugar dos atuais: invoicekey accounts set CONTA --credentials{of_stack}
3. Instale hook e feed, conta por conta: invoicekey hook install --account CONTA{of_stack}
Se nenhum outro sistema usa o feed, basta apagar a configuração dele na VTEX: DELETE /api/orders/feed/config

A VTEX aceita um só feed por appKey, e o que um sistema lê e confirma some para os outros. Por isso não lemos
nem mudamos esses feeds. O hook continua a avisar; falta a segunda fonte.""",
    """\
Create, in each account of this list, an appKey for this system alone: the present one has a feed unlike ours.

{accounts}

1. In VTEX, create an appKey with the resources View order and Feed v3 and Hook Admin (License Manager, OMS).
2. Keep the new appKey and appToken instead: invoicekey accounts set ACCOUNT --credentials{of_stack}
3. Install hook and feed, account by account: invoicekey hook install --account ACCOUNT{of_stack}
If no other system uses the feed, it is enough to remove its configuration in VTEX: DELETE /api/orders/feed/config

VTEX keeps one feed an appKey, and what one system reads and commits is gone for the others. So those feeds are
neither read nor changed. The hook goes on telling; the second source is missing.""",
)

_NOT_SHOWN_SUBJECT = Said("{account}: sem resposta da VTEX sobre o hook", "{account}: VTEX does not show its hook")

_NOT_SHOWN_BODY = Said(
    """\
Veja se outro sistema usa a appKey da conta {account}: a VTEX não mostra se ela tem um hook ou um feed.

1. Pergunte a quem cuida do ERP e dos aplicativos: algum outro sistema recebe o hook de pedidos por essa appKey?
2. Se nenhum recebe, instale o nosso: invoicekey hook install --account {account}{of_stack}
3. Se algum recebe, crie uma appKey só para este sistema, grave-a com o comando abaixo e instale como em 2:
make credentials{make_of_stack}

A resposta da VTEX veio sem nada dentro. Gravar o nosso apagaria o de outro sistema, se houver um. Por isso não mudamos
nada. Se o nosso está lá, continua a funcionar; se não, podemos não saber dos pedidos faturados desta conta.""",
    """\
See whether another system uses the appKey of account {account}: VTEX does not show whether it has a hook or a feed.

1. Ask who looks after the ERP and the apps: does any other system get the order hook by this appKey?
2. If none does, install ours: invoicekey hook install --account {account}{of_stack}
3. If one does, create an appKey for this system alone, keep it by the command below, and install as in 2:
make credentials{make_of_stack}

VTEX answered with nothing in it. Writing ours would erase another system's, if there is one. So nothing was changed.
If ours is there, it goes on working; if not, we may not hear of this account's invoiced orders.""",
)

_SEVERAL_NOT_SHOWN_SUBJECT = Said(
    "{number} contas: sem resposta da VTEX sobre o hook", "{number} accounts: VTEX does not show the hook"
)

_SEVERAL_NOT_SHOWN_BODY = Said(
    """\
Veja se outro sistema usa a appKey de cada conta desta lista: a VTEX não mostra se ela tem um hook ou um feed.

{accounts}

1. Pergunte a quem cuida do ERP e dos aplicativos: algum outro sistema recebe o hook de pedidos por essa appKey?
2. Se nenhum recebe, instale o nosso, conta por conta: invoicekey hook install --account CONTA{of_stack}
3. Se algum recebe, crie uma appKey só para este sistema, grave-a com o comando abaixo e instale como em 2:
invoicekey accounts set CONTA --credentials{of_stack}

A resposta da VTEX veio sem nada dentro. Gravar o nosso apagaria o de outro sistema, se houver um. Por isso não mudamos
nada. Se o nosso está lá, continua a funcionar; se não, podemos não saber dos pedidos faturados destas contas.""",
    """\
See whether another system uses the appKey of each account of this list: VTEX does not show whether it has a hook or a
feed.

{accounts}

1. Ask who looks after the ERP and the apps: does any other system get the order hook by this appKey?
2. If none does, install ours, account by account: invoicekey hook install --account ACCOUNT{of_stack}
3. If one does, create an appKey for this system alone, keep it by the command below, and install as in 2:
invoicekey accounts set ACCOUNT --credentials{of_stack}

VTEX answered with nothing in it. Writing ours would erase another system's, if there is one. So nothing was changed.
If ours is there, it goes on working; if not, we may not hear of these accounts' invoiced orders.""",
)

_UNCONFIRMED_SUBJECT = Said("Nenhuma pessoa recebe os alarmes deste sistema", "Nobody hears the alarms of this system")

_UNCONFIRMED_BODY = Said(
    """\
Assine os alarmes deste sistema: o tópico de operações não tem nenhuma assinatura confirmada.

1. Na AWS, abra o SNS e o tópico de operações (saída OperationsTopicArn da stack {stack}); inscreva um e-mail.
2. Confirme no e-mail que chegar. Um clique em "unsubscribe" numa mensagem encerra a assinatura.

Sem ela, ninguém fica sabendo quando o próprio sistema para. Este aviso veio pelos alertas de pedidos.""",
    """\
Subscribe to the alarms of this system: the operations topic has no confirmed subscription.

1. In AWS, open SNS and the operations topic (output OperationsTopicArn of the stack {stack}); subscribe an e-mail.
2. Confirm it in the e-mail that comes. One click on "unsubscribe" in a message ends a subscription.

Without one, nobody knows when the system itself stops. This notice came by the alerts about orders.""",
)

_SEVERAL = Said("{count} contas", "{count} accounts")

_ACCOUNTS = Said("Contas: ", "Accounts: ")

_AND_MORE = Said(" (e mais)", " (and more)")

_AND_OTHERS = Said(" e mais {count}", " and {count} more")

_TOGETHER = Said(
    "Veja estas contas, na ordem abaixo: podemos não saber dos pedidos delas, ou não conseguir lê-los.",
    "Look at these accounts, in this order: we may not hear of their orders, or may not be able to read them.",
)

_TOGETHER_MORE = Said(
    "CONTA é o nome de cada conta. O que cada caso quer dizer: docs/runbook.md#accounts-in-trouble",
    "ACCOUNT is each account's name. What each case means: docs/runbook.md#accounts-in-trouble",
)


class _Together(NamedTuple):
    """How a trouble is told of any number of accounts."""

    headline: Said
    """ASCII, 45 characters at the most."""
    what_to_do: Said


_TOLD_TOGETHER: Mapping[Trouble, _Together] = {
    Trouble.CREDENTIALS_REFUSED: _Together(
        Said("a VTEX recusa as credenciais", "VTEX refuses the credentials"),
        Said(
            """\
Veja na VTEX se a appKey está ativa e tem o recurso View order, ou grave um par novo. A VTEX recusa as credenciais:
nenhum pedido destas contas é conferido.
invoicekey accounts set CONTA --credentials{of_stack}""",
            """\
See in VTEX whether the appKey is active and has the resource View order, or keep a new pair. VTEX refuses the
credentials: no order of these accounts is checked.
invoicekey accounts set ACCOUNT --credentials{of_stack}""",
        ),
    ),
    Trouble.QUIET: _Together(
        Said("nenhum hook em {hours} horas", "no hook in {hours} hours"),
        Said(
            """\
Veja se houve pedidos. Nenhum hook chegou em {hours} horas; se houve, instale o hook de novo e procure o que faltou.
invoicekey hook install --account CONTA{of_stack}
invoicekey backfill --account CONTA --from …{of_stack}""",
            """\
See whether there were orders. No hook came in {hours} hours; if there were, install the hook anew and look for what was
missed.
invoicekey hook install --account ACCOUNT{of_stack}
invoicekey backfill --account ACCOUNT --from …{of_stack}""",
        ),
    ),
    Trouble.NO_CNOVA: _Together(
        Said("nenhum pedido da CNova em 7 dias", "no CNova order in 7 days"),
        Said(
            """\
Compare o ID do afiliado da CNova na VTEX com CnovaAffiliateIds. Dos hooks de 7 dias, nenhum foi de um pedido da CNova.
invoicekey doctor --account CONTA{of_stack}""",
            """\
Compare CNova's affiliate id in VTEX with CnovaAffiliateIds. Of the hooks of 7 days none was about an order of CNova's.
invoicekey doctor --account ACCOUNT{of_stack}""",
        ),
    ),
    Trouble.FEED_FOUND: _Together(
        Said("o hook perde eventos", "the hook misses events"),
        Said(
            """\
Veja o que está registrado na VTEX. O feed trouxe eventos que o hook não trouxe; nada se perdeu, mas chega mais tarde.
invoicekey hook status --account CONTA{of_stack}""",
            """\
See what is registered in VTEX. The feed brought events that the hook did not; nothing is lost, but it comes later.
invoicekey hook status --account ACCOUNT{of_stack}""",
        ),
    ),
}
