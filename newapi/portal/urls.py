"""The paths of the portal. An organisation's pages carry its slug."""

from django.urls import path

from newapi.portal import report_api
from newapi.portal.views import (
    appeals,
    approvals,
    auto_top_ups,
    balance,
    calls,
    home,
    invite,
    keys,
    models,
    notice_settings,
    notices,
    overview,
    policy,
    rates,
    redeem,
    reports,
    reviews,
    standing,
    statement,
    top_ups,
    usage,
)

app_name = "portal"

# Stands before allauth's page of this path, with which people could give themselves another login (ACC-23).
account_urlpatterns = [path("email/", home.email)]

urlpatterns = [
    path("", home.home, name="home"),
    path("models", home.models, name="my_models"),
    path("policy", policy.policy, name="policy"),
    path("report", reports.report, name="report"),
    path("report/<str:token>", reports.status, name="report_status"),
    path("api/v1/reports", report_api.Reports.as_view(), name="report_api"),
    path("api/v1/reports/<str:token>", report_api.ReportStatus.as_view(), name="report_api_status"),
    path("rates", rates.rates, name="rates"),
    path("rates.csv", rates.as_csv, name="rates_csv"),
    path("rates.json", rates.as_json, name="rates_json"),
    path("o/<slug:slug>/", overview.overview, name="overview"),
    path("o/<slug:slug>/usage", usage.usage, name="usage"),
    path("o/<slug:slug>/calls", calls.calls, name="calls"),
    path("o/<slug:slug>/calls/<uuid:call_id>", calls.call, name="call"),
    path("o/<slug:slug>/models", models.models, name="models"),
    path("o/<slug:slug>/balance", balance.balance, name="balance"),
    path("o/<slug:slug>/statement", statement.statement, name="statement"),
    path("o/<slug:slug>/redeem", redeem.redeem, name="redeem"),
    path("o/<slug:slug>/top-up", top_ups.order, name="top_up"),
    path("o/<slug:slug>/top-ups", top_ups.listing, name="top_ups"),
    path("o/<slug:slug>/top-ups/automatic", auto_top_ups.automatic, name="auto_top_up"),
    path("o/<slug:slug>/top-ups/automatic/off", auto_top_ups.automatic_off, name="auto_top_up_off"),
    path("o/<slug:slug>/top-ups/<slug:reference>", top_ups.followed, name="top_up_order"),
    path("o/<slug:slug>/top-ups/<slug:reference>/state", top_ups.state, name="top_up_state"),
    path("o/<slug:slug>/approvals", approvals.approvals, name="approvals"),
    path("o/<slug:slug>/approvals/use-case", approvals.apply_use_case, name="approval_use_case"),
    path("o/<slug:slug>/approvals/label", approvals.apply_label, name="approval_label"),
    path("o/<slug:slug>/reviews", reviews.reviews, name="reviews"),
    path("o/<slug:slug>/invite", invite.invite, name="invite"),
    path("o/<slug:slug>/invite/<int:invitation_id>/withdraw", invite.withdraw, name="invitation_withdraw"),
    path("appeal/<str:token>", appeals.by_link, name="appeal"),
    path("o/<slug:slug>/standing", standing.standing, name="standing"),
    path("o/<slug:slug>/standing/notices/<int:notice_id>", standing.notice, name="case_notice"),
    path("o/<slug:slug>/standing/demands/<slug:reference>", standing.demand, name="demand"),
    path("o/<slug:slug>/standing/decisions/<slug:reference>/appeal", appeals.by_member, name="appeal_decision"),
    path("o/<slug:slug>/notice-settings", notice_settings.notice_settings, name="notice_settings"),
    path("o/<slug:slug>/notice-settings/secret", notice_settings.renew_secret, name="notice_hook_secret"),
    path("o/<slug:slug>/notices", notices.notices, name="notices"),
    path("o/<slug:slug>/keys", keys.keys, name="keys"),
    path("o/<slug:slug>/keys/new", keys.create, name="key_new"),
    path("o/<slug:slug>/keys/<int:key_id>", keys.key, name="key"),
    path("o/<slug:slug>/keys/<int:key_id>/revoke", keys.revoke, name="key_revoke"),
]
