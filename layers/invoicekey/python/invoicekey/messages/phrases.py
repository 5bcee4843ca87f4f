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
    "ended": Said(
        "Encerrado: o pedido foi cancelado ou devolvido, ou não está mais faturado na VTEX",
        "Closed: the order was canceled or returned, or is no longer invoiced in VTEX",
    ),
    "checked": Said("Verificado na VTEX", "Checked at VTEX"),
    "asked_by_link": Said("Pediram por link para conferir", "Somebody asked by link for a look"),
    "dismissed_by": Said("Dado por resolvido {by}", "Marked as solved {by}"),
    "snoozed_by": Said("Adiado {by} até {until}", "Put off {by} until {until}"),
    "undone_by": Said("Desfeito {by}", "Taken back {by}"),
    "by_a_link": Said("por link", "by link"),
    "by_a_command": Said("pela equipe técnica", "by the technical team"),
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
    "back": Said("Voltar", "Back"),
    # ---- The list
    "list": Said("Pedidos com problema na nota fiscal", "Orders with a problem in their invoices"),
    "list_by_link": Said(
        "Quem tem este link pode ver e fazer o que está nesta página. Ele vale por 7 dias; cada lembrete traz um novo.",
        "Whoever has this link can see and do what is on this page. It works for 7 days; reminders bring new ones.",
    ),
    "states": Said("Situação", "State"),
    "tab_open": Said("Em aberto", "Open"),
    "tab_snoozed": Said("Adiados", "Put off"),
    "tab_archived": Said("Arquivados", "Archived"),
    "tab_closed": Said("Resolvidos", "Resolved"),
    "search": Said("Buscar pedido ou nota", "Find an order or invoice"),
    "problem": Said("Problema", "Problem"),
    "any_problem": Said("todos", "any"),
    "older_than": Said("Há mais de", "For more than"),
    "any_age": Said("qualquer tempo", "any time"),
    "one_day": Said("1 dia", "1 day"),
    "days": Said("{count} dias", "{count} days"),
    "with_key": Said("Só com chave sugerida", "With a suggested key only"),
    "narrow": Said("Filtrar", "Filter"),
    "all_again": Said("Ver todos", "Show all"),
    "range": Said("{first}–{last} de {total}", "{first}–{last} of {total}"),
    "range_closed": Said(
        "{first}–{last} de {total}, dos últimos 30 dias", "{first}–{last} of {total}, of the last 30 days"
    ),
    "pages": Said("Páginas", "Pages"),
    "previous": Said("Anteriores", "Previous"),
    "next": Said("Próximos", "Next"),
    "as_csv": Said("Baixar em CSV", "Download as CSV"),
    "none_open": Said("Nenhum pedido em aberto: não há nada a fazer.", "No order is open: there is nothing to do."),
    "none_snoozed": Said("Nenhum pedido está adiado.", "No order is put off."),
    "none_archived": Said("Nenhum pedido está arquivado.", "No order is archived."),
    "none_closed": Said(
        "Nenhum pedido foi resolvido nos últimos 30 dias.", "No order was resolved in the last 30 days."
    ),
    "none_like_that": Said("Nenhum pedido com esses filtros.", "No order fits these filters."),
    "an_order_at": Said("na Casas Bahia: {order}", "at Casas Bahia: {order}"),
    "open_for": Said("Há {age}", "For {age}"),
    "since": Said("desde {since}", "since {since}"),
    "again": Said("De novo: já tinha ficado em ordem.", "Again: it had been in order before."),
    "until": Said("Adiado até {until}", "Put off until {until}"),
    "was_dismissed": Said("Dado por resolvido em {at}", "Marked as solved on {at}"),
    "was_expired": Said(
        "Não foi corrigido em 30 dias; não é acompanhado desde {at}", "Not fixed in 30 days; not followed since {at}"
    ),
    "closed_ok": Said("Em ordem na VTEX desde {at}", "In order in VTEX since {at}"),
    "closed_canceled": Said("Venda cancelada, visto em {at}", "The sale was canceled, seen on {at}"),
    "closed_returned": Said("Devolvido, visto em {at}", "Returned, seen on {at}"),
    "closed_not_invoiced": Said("Não está mais faturado, visto em {at}", "No longer invoiced, seen on {at}"),
    "closed_not_found": Said("Não existe mais na VTEX, visto em {at}", "No longer in VTEX, seen on {at}"),
    "closed_otherwise": Said("Resolvido em {at}", "Resolved on {at}"),
    "was": Said("Era", "It was"),
    "invoice_briefly": Said("Nota {number}", "Invoice {number}"),
    "key_unknown": Said("há chave sugerida: veja no pedido", "a key is suggested: see the order"),
    "choose": Said("Escolher {order}", "Choose {order}"),
    "choose_all": Said("Todos desta página", "All on this page"),
    "act_on_chosen": Said("Com os escolhidos", "With those chosen"),
    "check_chosen": Said("Conferir agora na VTEX", "Look at VTEX now"),
    "dismiss_chosen": Said("Dar por resolvidos", "Mark as solved"),
    "snooze_chosen": Said("Lembrar a partir de", "Remind from this day on"),
    "undo_chosen_snoozed": Said("Voltar aos lembretes", "Back to the reminders"),
    "undo_chosen_archived": Said("Desfazer: voltar à lista", "Undo: back to the list"),
    "chosen_hint": Said(
        "Dados por resolvidos, saem da lista e dos lembretes e voltam só se o problema mudar. Adiados, ficam fora dos "
        "lembretes até o dia, no máximo 14 dias.",
        "Marked as solved, they leave the list and the reminders and return only when the problem changes. Put off, "
        "they are in no reminder until the day, 14 days at the most.",
    ),
    "undo_hint_snoozed": Said("Voltam aos lembretes a partir de hoje.", "They are in the reminders again from today."),
    "undo_hint_archived": Said(
        "Voltam à lista; nós os verificamos agora e avisamos se ainda houver problema.",
        "They return to the list; we check them now, and tell you if something is still wrong.",
    ),
    "done_list_check": Said(
        "Pedidos que vamos conferir agora: {count}. O resultado aparece em um ou dois minutos: abra a lista de novo.",
        "Orders that we look at now: {count}. The result shows in a minute or two: open the list again.",
    ),
    "done_list_dismiss": Said("Pronto. Dados por resolvidos: {count}.", "Done. Marked as solved: {count}."),
    "done_list_snooze": Said("Pronto. Adiados: {count}.", "Done. Put off: {count}."),
    "done_list_undo": Said("Pronto. Desfeitos: {count}.", "Done. Taken back: {count}."),
    "not_done": Said(
        "Nada foi feito com {count}: mudaram enquanto isso. Veja como estão.",
        "Nothing was done with {count}: they changed meanwhile. See how they stand.",
    ),
    "not_tried": Said(
        "Faltam {count}: agora não deu certo. Espere um minuto, escolha-os e tente de novo.",
        "Still to do: {count}. That did not work just now. Wait a minute, choose them and try again.",
    ),
    "list_lags": Said(
        "A lista leva alguns segundos para mostrar a mudança.", "The list takes some seconds to show the change."
    ),
    "none_chosen_title": Said("Nenhum pedido foi escolhido", "No order was chosen"),
    "none_chosen": Said(
        "Nada foi feito. Volte à lista, marque pelo menos um pedido e tente de novo.",
        "Nothing was done. Go back to the list, tick an order at least, and try again.",
    ),
    "all_changed_title": Said("Os pedidos mudaram", "The orders changed"),
    "all_changed": Said(
        "Nada foi feito: enquanto isso, mudaram todos os pedidos escolhidos. Abra a lista de novo e veja como estão.",
        "Nothing was done: every order chosen changed meanwhile. Open the list again and see how they stand.",
    ),
    "csv_cut": Said(
        "A lista não coube toda: faltam {count} linhas. Use os filtros.",
        "The list did not fit: {count} lines are missing. Use the filters.",
    ),
    # ---- The figures
    "figures": Said("Números", "Figures"),
    "figures_title": Said("Números das últimas 12 semanas", "Figures of the last 12 weeks"),
    "to_list": Said("Lista", "List"),
    "views": Said("Páginas desta loja", "Pages of this shop"),
    "no_figures": Said(
        "Nenhum problema em 12 semanas: ainda não há números.", "No problem in 12 weeks: there are no figures yet."
    ),
    "open_now": Said("Em aberto agora", "Open now"),
    "opened_in_weeks": Said("Abertos em {count} semanas", "Opened in {count} weeks"),
    "mended_in_weeks": Said("Corrigidos em {count} semanas", "Fixed in {count} weeks"),
    "time_to_mend": Said("Tempo até a correção (mediana)", "Time to the fix (median)"),
    "suggested_rightly": Said("Chaves sugeridas que estavam certas", "Suggested keys that were right"),
    "right_of": Said("{right} de {all}", "{right} of {all}"),
    "opened_and_closed": Said("Abertos e encerrados por semana", "Opened and closed by week"),
    "opened_and_closed_told": Said(
        "Duas barras por semana. Nesta semana, até agora: abertos {opened}, encerrados {closed}. A tabela abaixo tem "
        "todos os números.",
        "Two bars a week. This week so far: opened {opened}, closed {closed}. The table below has all the numbers.",
    ),
    "open_at_end": Said("Em aberto no fim de cada semana", "Still open at each week's end"),
    "open_at_end_told": Said(
        "Uma barra por semana. Agora: {count}. A tabela abaixo tem todos os números.",
        "One bar a week. Now: {count}. The table below has all the numbers.",
    ),
    "numbers": Said("Ver os números em tabela", "Show the numbers as a table"),
    "week_of": Said("Semana de", "Week of"),
    "week_so_far": Said("{day}, até agora", "{day}, so far"),
    "figure_opened": Said("Abertos", "Opened"),
    "figure_closed": Said("Encerrados", "Closed"),
    "figure_open": Said("Em aberto", "Open"),
    "figure_mended": Said("Corrigidos", "Fixed"),
    "of_these_mended": Said("Corrigidos na VTEX", "Fixed in VTEX"),
    "of_these_dismissed": Said("Dados por resolvidos", "Marked as solved"),
    "of_these_expired": Said("Não corrigidos em 30 dias", "Not fixed in 30 days"),
    "of_these_otherwise": Said("Cancelados, devolvidos e outros", "Canceled, returned and others"),
    "figure_suggested": Said("Tinham chave sugerida", "Had a suggested key"),
    "figure_right": Said("Era a chave certa", "It was the right key"),
    "figure_total": Said("Total", "Total"),
    "mended_by_week": Said("Corrigidos na VTEX por semana", "Fixed in VTEX by week"),
    "mended_by_week_hint": Said(
        "A mediana é o tempo em que metade já estava corrigida. As chaves são contadas por nota.",
        "The median is the time within which half of them were fixed. Keys are counted by invoice.",
    ),
    "by_problem": Said("Abertos por problema", "Opened by problem"),
    "by_problem_hint": Said(
        "Um pedido com dois problemas conta nos dois.", "An order with two problems is counted with both."
    ),
    "problem_heading": Said("Pedidos", "Orders"),
    "by_issuer": Said("Abertos por emitente e série", "Opened by issuer and series"),
    "by_issuer_hint": Said(
        "O emitente e a série fazem parte da chave: mostram que filial ou sistema manda chaves erradas.",
        "Issuer and series are part of the key: they show which branch or system sends wrong keys.",
    ),
    "issuer_heading": Said("Emitente e série", "Issuer and series"),
    "issuer": Said("{tax_id}, série {series}", "{tax_id}, series {series}"),
    "issuer_unknown": Said("Ainda desconhecido: não há chave", "Not known yet: there is no key"),
    "other_issuers": Said("Outros ({count})", "Others ({count})"),
}


REASONS = ("portal", "support", "delivered", "canceled", "other")
"""How a failure was solved elsewhere: what a form offers, `reason_…` in words."""


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
