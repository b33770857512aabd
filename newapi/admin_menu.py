"""The admin's menu: who, where, how much, may it, and the system itself. Each sees what their rights open."""

from typing import Any

from django.apps import apps
from django.contrib import admin
from django.http import HttpRequest
from django.urls import reverse

from accounts.admin.requests import actor_of
from billing.admin.adjustments import waiting_count
from moderation import board
from moderation.models import SlaClock
from moderation.selectors import visible_to

# Title, and (title, icon, model) of each item; `model>page` leads to a page of its own, for whoever may view the model.
GROUPS: tuple[tuple[str, tuple[tuple[str, str, str], ...]], ...] = (
    (
        "Who",
        (
            ("Organisations", "apartment", "accounts.organisation"),
            ("Members", "group", "accounts.membership"),
            ("Projects", "account_tree", "accounts.project"),
            ("API keys", "key", "accounts.apikey"),
            ("People", "person", "accounts.user"),
            ("Groups of rights", "shield_person", "auth.group"),
            ("Notices", "notifications", "accounts.notice"),
        ),
    ),
    (
        "Where",
        (
            ("Channels", "hub", "channels.channel"),
            ("Models", "smart_toy", "channels.model"),
            ("Aliases", "alternate_email", "channels.modelalias"),
            ("Routes", "alt_route", "channels.route"),
            ("Limits by model", "speed", "channels.modellimit"),
            ("Upstream keys", "vpn_key", "channels.upstreamkey"),
            ("Upstream accounts", "badge", "channels.upstreamaccount"),
            ("Providers", "domain", "channels.provider"),
            ("Authorisation evidence", "verified_user", "channels.authorisationevidence"),
            ("Reviews of terms", "contract", "channels.upstreamterms"),
        ),
    ),
    (
        "How much",
        (
            ("Calls", "receipt_long", "billing.usageevent"),
            ("Wallets", "account_balance_wallet", "billing.wallet"),
            ("Bookings by hand", "edit_note", "billing.adjustment"),
            ("Grants", "savings", "billing.grant"),
            ("Purses", "wallet", "billing.purse"),
            ("Changes of grants", "difference", "billing.grantentry"),
            ("Balance alerts", "notification_important", "billing.balancealert"),
            ("Code batches", "confirmation_number", "billing.codebatch"),
            ("Redemption codes", "tag", "billing.redemptioncode"),
            ("Redemptions", "receipt", "billing.redemption"),
            ("Prices", "sell", "billing.priceversion"),
            ("Price lists", "upload_file", "billing.priceimport"),
            ("Re-ratings", "published_with_changes", "billing.rerating"),
            ("Promotions", "campaign", "billing.promotion"),
            ("Invitations", "group_add", "billing.invitation"),
            ("Gains by promotions", "featured_seasonal_and_gifts", "billing.promotionuse"),
            ("Top-ups", "add_card", "billing.topuporder"),
            ("Automatic top-ups", "autorenew", "billing.autotopup"),
            ("Money back", "undo", "billing.moneyback"),
            ("Payment news", "inbox", "billing.paymentevent"),
            ("Payment providers", "credit_card", "billing.paymentprovider"),
            ("Recharge agreement", "handshake", "billing.rechargeagreement"),
            ("Acceptances of it", "done_all", "billing.rechargeacceptance"),
            ("Ledger transactions", "menu_book", "billing.ledgertransaction"),
            ("Ledger transfers", "swap_horiz", "billing.ledgertransfer"),
            ("Ledger accounts", "account_balance", "billing.ledgeraccount"),
            ("Usage by month", "calendar_month", "billing.rollupmonth"),
            ("Usage by day", "today", "billing.rollupday"),
            ("Usage by hour", "schedule", "billing.rolluphour"),
            ("Usage by quarter hour", "timelapse", "billing.rollup15m"),
        ),
    ),
    (
        "May it",
        (
            ("Board", "monitoring", "moderation.case>moderation_board"),
            ("Queue", "inbox", "moderation.case>moderation_queue"),
            ("Cases", "gavel", "moderation.case"),
            ("Reports", "flag", "moderation.report"),
            ("Reporters", "person_alert", "moderation.reporter"),
            ("Appeals", "balance", "moderation.appeal"),
            ("Notices of cases", "outgoing_mail", "moderation.casenotice"),
            ("Deliveries of notices", "mark_email_read", "moderation.delivery"),
            ("Texts of notices", "article", "moderation.noticetemplate"),
            ("Webhooks for notices", "webhook", "moderation.noticehook"),
            ("Decisions", "balance", "moderation.decision"),
            ("Demands", "contact_support", "moderation.demand"),
            ("Measures", "rule", "moderation.enforcementaction"),
            ("Strikes", "exclamation", "moderation.strike"),
            ("Conduct", "badge", "moderation.conductrecord"),
            ("Conflicts of interest", "handshake", "moderation.conflict"),
            ("Care list", "shield_person", "moderation.careentry"),
            ("Disputes", "swords", "moderation.dispute"),
            ("Community", "forum", "moderation.communityitem"),
            ("Pauses of clocks", "pause_circle", "moderation.slapause"),
            ("Escalations", "campaign", "moderation.escalation"),
            ("Restrictions", "block", "moderation.restriction"),
            ("Approvals", "approval", "moderation.approval"),
            ("Blocklists", "front_hand", "moderation.blockentry"),
            ("Signals", "sensors", "moderation.signal"),
            ("Detectors", "radar", "moderation.detectorrule"),
            ("Human reviews", "rate_review", "moderation.humanreview"),
            ("Policy categories", "policy", "moderation.policycategory"),
            ("Policy texts", "article", "moderation.policytext"),
            ("Policy documents", "library_books", "moderation.policydocument"),
            ("Policy packs", "inventory_2", "moderation.policypack"),
            ("Evidence", "attach_file", "moderation.evidence"),
            ("Custody log", "inventory", "moderation.custodyentry"),
            ("Chain roots", "link", "moderation.chainroot"),
            ("Chains by root", "dataset_linked", "moderation.chainrootline"),
            ("Reports to authorities", "local_police", "moderation.authorityreport"),
            ("Legal requests", "balance", "moderation.legalrequest"),
            ("Unsealings", "lock_open", "moderation.unsealing"),
            ("Looks at sealed cases", "visibility", "moderation.sealedlook"),
            ("Access to calls", "data_check", "moderation.dataaccessgrant"),
            ("Captured calls", "archive", "moderation.capturedcall"),
            ("Reads of calls", "preview", "moderation.dataread"),
            ("Case events", "history", "moderation.caseevent"),
            ("Clocks", "timer", "moderation.slaclock"),
            ("Calendar", "date_range", "moderation.calendarversion"),
            ("Duty roster", "event_available", "moderation.dutyshift"),
            ("Transparency", "insights", "moderation.transparencyreport"),
        ),
    ),
    (
        "System",
        (
            ("Audit record", "fact_check", "accounts.auditevent"),
            ("Compliance", "verified_user", "accounts.auditevent>compliance"),
            ("Retention rules", "auto_delete", "accounts.retentionrule"),
            ("Legal holds", "lock_clock", "accounts.legalhold"),
            ("Purged usage", "delete_history", "billing.usagepurge"),
            ("Money checks", "verified", "billing.verifierrun"),
            ("Posting faults", "report", "billing.postingfault"),
            ("Sums waiting", "hourglass", "billing.rollupdirty"),
            ("Catalogue version", "sync", "channels.cataloguestate"),
            ("Jobs", "event_repeat", "django_celery_beat.periodictask"),
            ("Intervals", "timer_play", "django_celery_beat.intervalschedule"),
            ("Crontabs", "calendar_clock", "django_celery_beat.crontabschedule"),
            ("Clocked times", "alarm", "django_celery_beat.clockedschedule"),
            ("Solar times", "wb_sunny", "django_celery_beat.solarschedule"),
            ("Second factors", "phonelink_lock", "mfa.authenticator"),
            ("E-mail addresses", "mail", "account.emailaddress"),
            ("Locked logins", "lock", "axes.accessattempt"),
            ("Failed logins", "no_accounts", "axes.accessfailurelog"),
            ("Logins", "login", "axes.accesslog"),
        ),
    ),
)


def navigation(request: HttpRequest) -> list[dict[str, Any]]:
    """The menu for a person, with a badge where something is late."""
    home = {"title": "Home", "icon": "space_dashboard", "link": reverse("admin:index")}
    groups = [
        {
            "title": title,
            "separator": True,
            "collapsible": False,
            "items": [_item(request, *item) for item in items if _may_view(request, item[2])],
        }
        for title, items in GROUPS
    ]
    return [{"items": [home]}, *(group for group in groups if group["items"])]


def _may_view(request: HttpRequest, label: str) -> bool:
    # Asked of the page itself: some are open to the child-safety team without the right to see all rows.
    return admin.site._registry[apps.get_model(label.partition(">")[0])].has_view_permission(request)


def _item(request: HttpRequest, title: str, icon: str, label: str) -> dict[str, Any]:
    model, _, page = label.partition(">")
    name = page or f"{model.replace('.', '_')}_changelist"
    item: dict[str, Any] = {"title": title, "icon": icon, "link": reverse(f"admin:{name}")}
    if label == "moderation.case" and (late := late_cases(request)):
        item |= {"badge": f"{late} late", "badge_variant": "danger"}
    if label == "billing.adjustment" and (waiting := waiting_count()):
        item |= {"badge": f"{waiting} to decide", "badge_variant": "warning"}
    return item


def late_cases(request: HttpRequest) -> int:
    """How many cases that one may see have a clock that runs and is overdue; none that stands still. For every page."""
    seen = visible_to(actor_of(request), case="case__")
    return SlaClock.objects.filter(board.standing_q("late")).filter(seen).values("case").distinct().count()
