"""The channels that carry a notice: mail, webhook, message in the portal. Each returns once it has been taken.

Of a sealed case, mail and webhook say only that there is a notice in the portal. No failure names an address.
"""

from smtplib import SMTPException, SMTPRecipientsRefused, SMTPResponseException, SMTPServerDisconnected

from django.conf import settings
from django.core import mail
from django.urls import reverse

from accounts.models import Notice, User
from accounts.selectors import addressees
from accounts.services import notices as messages
from moderation.models import CaseNotice
from moderation.services import hooks, notice_values, reporters
from newapi.kernel.secrets import SealBroken

ADDRESSEES_MAX = 100
# An answer of a mail server that may be another one later begins with a 4.
_PERMANENT = 500


class Undeliverable(Exception):
    """This channel will never take it. The text is the kind of error only."""


class Unreachable(Exception):
    """This channel is out of reach now; later it may not be. The text is the kind of error only."""


def mail_it(notice: CaseNotice) -> None:
    """Mail it to everybody who is told, separately. Taken when one address has been. Raises as this module says."""
    people = _addresses(notice)
    if not people:
        raise Undeliverable("no address")
    subject, body = _mail_words(notice)
    taken, refused = 0, ""
    try:
        with mail.get_connection() as connection:
            for address in people:
                try:
                    connection.send_messages([mail.EmailMessage(subject=subject, body=body, to=[address])])
                    taken += 1
                except SMTPServerDisconnected:
                    raise
                except SMTPException as error:
                    refused = refused if refused == "later" else _refusal(error)
    except OSError as error:
        if not taken:
            raise Unreachable(type(error).__name__) from None
    if not taken:
        raise (Unreachable if refused == "later" else Undeliverable)(f"refused {refused}".strip())


def post_it(notice: CaseNotice) -> None:
    """Post it to the organisation's webhook. Raises as this module says."""
    hook = hooks.of(notice.organisation)
    if hook is None:
        raise Undeliverable("no webhook")
    subject, body = (notice.subject, notice.body) if not notice.case.category.is_sealed else _sealed(notice)
    told = {
        "type": "case_notice",
        "kind": notice.template.kind,
        "id": f"case-notice-{notice.pk}",
        "case": notice.case.reference,
        "subject": subject,
        "body": body,
        "created_at": notice.created_at.isoformat(),
    }
    try:
        hooks.send(hook=hook, message_id=f"case-notice-{notice.pk}", told=told)
    except hooks.HookAway as error:
        raise Unreachable(str(error)) from None
    except hooks.HookRefused as error:
        raise Undeliverable(str(error)) from None


def say_it(notice: CaseNotice) -> None:
    """Say it in the portal, as news that says why it comes there; a reporter finds it on the report's own page."""
    if notice.organisation is None:
        return
    if not addressees(_message(notice), limit=1):
        raise Undeliverable("nobody there")
    words = notice_values.words_for(notice.organisation)
    title = words.say("again.subject", subject=_title(notice))
    _post(notice, once=f"case_notice:{notice.pk}:again", title=title)


def post_message(notice: CaseNotice) -> None:
    """The unread message in the portal that goes beside every other channel. It says where the notice is, no more."""
    _post(notice, once=f"case_notice:{notice.pk}", title=_title(notice))
    message = Notice.objects.filter(once=f"case_notice:{notice.pk}").first()
    CaseNotice.objects.filter(pk=notice.pk).update(message=message)


def path_of(notice: CaseNotice) -> str:
    """The notice's page in the portal."""
    assert notice.organisation is not None
    return reverse("portal:case_notice", args=[notice.organisation.slug, notice.pk])


def _post(notice: CaseNotice, *, once: str, title: str) -> None:
    messages.post(
        once=once,
        kind=f"case_notice.{notice.template.kind}",
        title=title[:200],
        link=path_of(notice),
        level=Notice.Level.WARNING,
        audience=Notice.Audience.MANAGERS,
        organisation=notice.organisation,
        user=notice.user,
        is_mailed=False,
    )


def _message(notice: CaseNotice) -> Notice:
    """The audience, as accounts' selector wants to be asked."""
    return Notice(audience=Notice.Audience.MANAGERS, organisation=notice.organisation, user=notice.user)


def _addresses(notice: CaseNotice) -> list[str]:
    if notice.audience == CaseNotice.Audience.ORGANISATION:
        return [person.email for person in addressees(_message(notice), limit=ADDRESSEES_MAX)]
    reporter = notice.report.reporter if notice.report else None
    try:
        address = reporters.address_of(reporter) if reporter else ""
    except SealBroken:
        raise Undeliverable("seal broken") from None
    return [address] if address else []


def _mail_words(notice: CaseNotice) -> tuple[str, str]:
    """Subject and body. Of a sealed case nothing but where to read it."""
    is_sealed = notice.case.category.is_sealed
    words = notice_values.words_for(notice.organisation, notice.report.language if notice.report else "")
    subject, body = _sealed(notice) if is_sealed and notice.organisation else (notice.subject, notice.body)
    reader = "reader.organisation" if notice.organisation else "reader.reporter"
    name = notice.organisation.name if notice.organisation else ""
    return f"[{settings.SITE_NAME}] {subject}", f"{body}\n\n{words.say(reader, organisation=name)}\n"


def _sealed(notice: CaseNotice) -> tuple[str, str]:
    words, organisation = notice_values.words_for(notice.organisation), notice.organisation
    assert organisation is not None
    link = notice_values.absolute(path_of(notice))
    said = {"organisation": organisation.name, "portal_link": link}
    return words.say("sealed.subject", organisation=organisation.name), words.say("sealed.body", **said)


def _title(notice: CaseNotice) -> str:
    """What stands in the list of messages, which others of the house see too."""
    return _sealed(notice)[0] if notice.case.category.is_sealed else notice.subject


def _refusal(error: SMTPException) -> str:
    """`later` for a refusal that may be another answer later, else nothing."""
    codes = []
    if isinstance(error, SMTPRecipientsRefused):
        codes = [code for code, _ in error.recipients.values()]
    elif isinstance(error, SMTPResponseException):
        codes = [error.smtp_code]
    return "later" if codes and all(code < _PERMANENT for code in codes) else ""


def is_told(notice: CaseNotice, user: User) -> bool:
    """Whether a person is among those whom a notice of an organisation is for."""
    return any(person.pk == user.pk for person in addressees(_message(notice), limit=ADDRESSEES_MAX))
