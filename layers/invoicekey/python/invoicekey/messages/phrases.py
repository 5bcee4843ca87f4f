"""The desk's words, in Brazilian Portuguese and in English. What alerts say too stands in texts.py."""

from collections.abc import Mapping

from invoicekey.messages.texts import Said

PHRASES: Mapping[str, Said] = {
    # ---- What every page has
    "product": Said("Chave de acesso", "Access key"),
    "shop": Said("Loja {account}", "Shop {account}"),
    "at_marketplace": Said("Pedido na Casas Bahia: {order}", "Order at Casas Bahia: {order}"),
    "at_vtex": Said("Abrir o pedido na VTEX", "Open the order in VTEX"),
    "by_link": Said(
        "Quem tem este link pode ver e fazer o que está nesta página. Encaminhe só a quem deve agir.",
        "Whoever has this link can see and do what is on this page. Pass it on only to those who are to act.",
    ),
    # ---- How an order stands
    "state_open": Said("Em aberto desde {since}", "Open since {since}"),
    "state_snoozed": Said("Adiado até {until}", "Put off until {until}"),
    "state_dismissed": Said("Dado por resolvido em {since}", "Marked as solved on {since}"),
    "state_expired": Said("Não é mais acompanhado", "No longer followed"),
    "state_closed": Said("Em ordem na VTEX", "In order in VTEX"),
    "state_waiting": Said("Ainda não verificado", "Not checked yet"),
    "checked_at": Said("Última verificação {at}", "Last checked {at}"),
    # ---- What is wrong
    "wrong": Said("O que está errado", "What is wrong"),
    "nothing_wrong": Said(
        "Nada a corrigir: todas as notas de venda têm chave de acesso válida na VTEX.",
        "Nothing to fix: every sale invoice has a valid access key in VTEX.",
    ),
    "no_failure": Said("Não há problema em aberto neste pedido.", "Nothing is open for this order."),
    "invoice": Said("Nota", "Invoice"),
    "without_number": Said("sem número", "without a number"),
    "key_at_vtex": Said("Chave na VTEX", "Key in VTEX"),
    "no_key": Said("(vazia)", "(empty)"),
    "suggested_key": Said("Chave sugerida", "Suggested key"),
    "compare": Said("Compare com o DANFE antes de usar.", "Compare it with the DANFE before use."),
    "copy": Said("Copiar", "Copy"),
    "copied": Said("Copiada", "Copied"),
    # ---- What to do
    "act": Said("Já fez? Diga aqui", "Done? Say so here"),
    "check": Said("Pus a chave na VTEX: conferir agora", "I put the key in: look again now"),
    "check_hint": Said(
        "Lemos o pedido na VTEX e mostramos o resultado aqui em alguns segundos.",
        "We read the order in VTEX and show the result here within seconds.",
    ),
    "dismiss": Said("Resolvido no portal da Casas Bahia", "Solved in the Casas Bahia portal"),
    "dismiss_hint": Said(
        "O pedido sai da lista e dos lembretes. Volta só se o problema mudar.",
        "The order leaves the list and the reminders. It returns only when its problem changes.",
    ),
    "reason": Said("Como foi resolvido", "How it was solved"),
    "reason_portal": Said("Atualizado no portal da Casas Bahia", "Updated in the Casas Bahia portal"),
    "reason_support": Said("Resolvido com o suporte da Casas Bahia", "Settled with Casas Bahia's support"),
    "reason_delivered": Said("Já foi entregue", "Already delivered"),
    "reason_canceled": Said("Venda cancelada", "The sale was canceled"),
    "reason_other": Said("Outro motivo", "Another reason"),
    "note": Said("Observação (opcional)", "Remark (optional)"),
    "note_hint": Said(
        "Fica guardada: não escreva nomes nem dados de pessoas.", "It is kept: do not write names or data of people."
    ),
    "snooze": Said("Agora não: lembrar a partir de", "Not now: remind from this day on"),
    "snooze_hint": Said(
        "Sem lembretes até lá, no máximo 14 dias. Continuamos verificando; se o problema mudar, avisamos.",
        "No reminders until then, 14 days at the most. We keep checking, and tell you when the problem changes.",
    ),
    "snooze_button": Said("Adiar", "Put off"),
    "undo": Said("Desfazer", "Undo"),
    "undo_dismiss_hint": Said(
        "O pedido volta para a lista; nós o verificamos agora e avisamos se ainda houver problema.",
        "The order returns to the list; we check it now, and tell you if something is still wrong.",
    ),
    "undo_snooze_hint": Said(
        "O pedido volta para os lembretes a partir de hoje.", "The order is in the reminders again from today."
    ),
    # ---- What was done
    "checking": Said("Conferindo na VTEX…", "Looking at VTEX…"),
    "checking_hint": Said(
        "O resultado aparece aqui sozinho, em geral em poucos segundos.",
        "The result appears here by itself, mostly within seconds.",
    ),
    "not_read": Said(
        "A VTEX ainda não respondeu. Continuamos tentando; não é preciso clicar de novo.",
        "VTEX has not answered yet. We keep trying; there is no need to click again.",
    ),
    "done_check": Said("Conferido agora: está em ordem.", "Checked just now: it is in order."),
    "done_check_failing": Said(
        "Conferido agora: o problema continua na VTEX.", "Checked just now: the problem is still there in VTEX."
    ),
    "done_dismiss": Said("Pronto: dado por resolvido.", "Done: marked as solved."),
    "done_snooze": Said("Pronto: adiado.", "Done: put off."),
    "done_undo": Said("Pronto: desfeito.", "Done: taken back."),
    "steps": Said("O que fazer", "What to do"),
    "story": Said("O que aconteceu", "What happened"),
    "first_seen": Said("A VTEX avisou deste pedido", "VTEX told us of this order"),
    "opened": Said("Problema encontrado e avisado", "A problem was found and reported"),
    "closed": Said("Em ordem: todas as chaves certas", "In order: every key is right"),
    "checked": Said("Verificado na VTEX", "Checked at VTEX"),
    "asked_by_link": Said("Pediram por link para conferir", "Somebody asked by link for a look"),
    "dismissed_by_link": Said("Dado por resolvido por link", "Marked as solved by link"),
    "snoozed_by_link": Said("Adiado por link até {until}", "Put off by link until {until}"),
    "undone_by_link": Said("Desfeito por link", "Taken back by link"),
    # ---- What does not work
    "over_title": Said("Este link acabou", "This link is over"),
    "over": Said(
        "Por segurança, os links valem por alguns dias. O próximo lembrete traz um novo.",
        "For safety, links work for some days only. The next reminder brings a new one.",
    ),
    "forged_title": Said("Este link não funciona", "This link does not work"),
    "forged": Said(
        "Ele pode ter sido cortado pelo programa de e-mail. Copie o endereço inteiro do e-mail, até o fim da linha.",
        "Your mail program may have cut it. Copy the whole address from the e-mail, to the end of its line.",
    ),
    "unavailable_title": Said("Agora não deu certo", "That did not work just now"),
    "unavailable": Said(
        "Nada foi feito. Espere um minuto e tente de novo.", "Nothing was done. Wait a minute and try again."
    ),
    "failed_title": Said("Algo falhou aqui", "Something failed here"),
    "failed": Said(
        "A equipe técnica foi avisada. Abra o link do e-mail de novo e veja como o pedido está.",
        "The technical team has been told. Open the link of the e-mail again and see how the order stands.",
    ),
    "changed_title": Said("O pedido mudou", "The order changed"),
    "changed": Said(
        "Nada foi feito: enquanto isso, o pedido mudou. Abra a página de novo e veja como ele está.",
        "Nothing was done: the order changed meanwhile. Open the page again and see how it stands.",
    ),
    "busy_title": Said("Um momento", "One moment"),
    "busy": Said(
        "Nada foi feito: estamos atualizando este pedido agora mesmo. Espere um minuto e tente de novo.",
        "Nothing was done: we are updating this order at this very moment. Wait a minute and try again.",
    ),
    "senseless_title": Said("Não entendemos o pedido", "We did not understand that"),
    "senseless": Said(
        "Nada foi feito. Volte à página e tente de novo.", "Nothing was done. Go back to the page and try again."
    ),
    "back": Said("Voltar ao pedido", "Back to the order"),
}


class Words:
    """The phrases in one language, for templates: `words.check`, or `words("shop", account="luxstore")`."""

    def __init__(self, language: str) -> None:
        self.language = language

    def __call__(self, name: str, **values: object) -> str:
        """Return a phrase with its values in place; KeyError for one that there is not."""
        return PHRASES[name].to(self.language).format(**values)

    def __getattr__(self, name: str) -> str:
        """Return a phrase that takes no values."""
        try:
            return PHRASES[name].to(self.language)
        except KeyError:
            raise AttributeError(name) from None
