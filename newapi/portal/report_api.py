"""Reporting abuse by a program: the same rules as the form's, in JSON, with the errors of every API of ours."""

from typing import Any

from django.core.exceptions import ValidationError
from django.urls import reverse
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from moderation.models import PolicyCategory, Report
from moderation.services import report_rules, reporters, reports
from newapi.kernel import errors
from newapi.portal import reporting

BODY_BYTES_MAX = 64 * 1024


class ReportIn(serializers.Serializer):
    """What is sent. Everything but the description may be left out; of three, one is needed."""

    description = serializers.CharField(max_length=report_rules.DESCRIPTION_LENGTH_MAX)
    category = serializers.CharField(required=False, allow_null=True, allow_blank=True, max_length=20)
    task_id = serializers.CharField(
        required=False, allow_null=True, allow_blank=True, max_length=report_rules.TASK_ID_LENGTH_MAX
    )
    model = serializers.CharField(
        required=False, allow_null=True, allow_blank=True, max_length=report_rules.MODEL_NAME_LENGTH_MAX
    )
    happened_at = serializers.DateTimeField(required=False, allow_null=True)
    url = serializers.CharField(
        required=False, allow_null=True, allow_blank=True, max_length=report_rules.URL_LENGTH_MAX
    )
    accused = serializers.CharField(
        required=False, allow_null=True, allow_blank=True, max_length=report_rules.ACCUSED_LENGTH_MAX
    )
    email = serializers.CharField(
        required=False, allow_null=True, allow_blank=True, max_length=reporters.EMAIL_LENGTH_MAX
    )
    language = serializers.CharField(required=False, allow_null=True, allow_blank=True, max_length=10)


class _Open(APIView):
    """For everybody: no login is looked at, so that none is told either."""

    authentication_classes = ()
    permission_classes = ()
    group = "asked"

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        """Refuse what comes too often, or is too long to be one. Raises RateLimited, BodyTooLarge."""
        super().initial(request, *args, **kwargs)
        _refuse_at_once(request, self.group)
        if len(request._request.body) > BODY_BYTES_MAX:
            raise errors.BodyTooLarge(f"A report has at most {BODY_BYTES_MAX:,} bytes.")

    def finalize_response(self, request: Request, response: Any, *args: Any, **kwargs: Any) -> Any:
        """Nothing of it rests in a cache."""
        answer = super().finalize_response(request, response, *args, **kwargs)
        answer["Cache-Control"] = "private, no-store"
        return answer


class Reports(_Open):
    """`POST /api/v1/reports`."""

    group = "tried"

    def post(self, request: Request) -> Response:
        """Take a report in: 201 with its reference, and the token by which it is followed."""
        told = ReportIn(data=request.data)
        if not told.is_valid():
            raise _first(told.errors)
        _refuse_at_once(request, "sent", increment=False)
        given = {name: value for name, value in told.validated_data.items() if value is not None}
        given["category"] = _category(given.pop("category", ""))
        given["model_name"] = given.pop("model", "")
        try:
            report, token = reports.submit(channel=Report.Channel.API, **given)
        except ValidationError as error:
            raise _first(_named_as_sent(error.message_dict)) from None
        reporting.wait_s(request._request, "sent")
        link = reverse("portal:report_status", args=[token])
        page = request.build_absolute_uri(link)
        return Response({**_shown(report), "token": token, "status_page": page}, status=201)


class ReportStatus(_Open):
    """`GET /api/v1/reports/<token>`."""

    def get(self, request: Request, token: str) -> Response:
        """What became of it."""
        report = reports.by_token(token)
        if report is None:
            raise errors.RouteNotFound("There is no report with this token.")
        return Response(_shown(report))


def _shown(report: Report) -> dict[str, Any]:
    """What a reporter may know: reference, receipt, class of outcome. Nothing of the case."""
    return {
        "reference": report.reference,
        "received_at": report.received_at.isoformat(),
        "outcome": report.outcome,
        "outcome_text": report.get_outcome_display(),
    }


def _category(code: str) -> PolicyCategory | None:
    """The category of a code. Raises InvalidRequest for one that is none."""
    if not code:
        return None
    by_code = {category.code: category for category in PolicyCategory.objects.in_force()}
    if code not in by_code:
        raise errors.InvalidRequest(
            "This is no category in force. The page /policy lists their codes.", param="category"
        )
    return by_code[code]


def _named_as_sent(complaints: dict[str, list[str]]) -> dict[str, list[str]]:
    return {"model" if name == "model_name" else name: said for name, said in complaints.items()}


def _first(complaints: Any) -> errors.InvalidRequest:
    """The first complaint as our error. It never repeats what was sent."""
    name, said = next(iter(complaints.items()))
    first = said[0] if isinstance(said, list) else said
    param = None if name in ("non_field_errors", "__all__") else name
    return errors.InvalidRequest(str(first), param=param)


def _refuse_at_once(request: Request, group: str, *, increment: bool = True) -> None:
    if wait_s := reporting.wait_s(request._request, group, increment=increment):
        raise errors.RateLimited("Too many reports came from where you are.", retry_after_s=wait_s)
