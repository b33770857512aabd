"""Rules of detectors: versions that never change, checked parameters, an author and an audit row."""

from typing import Any

import pytest
from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction

from accounts.models import AuditEvent, User
from channels.services import catalogue
from moderation import detection, permissions
from moderation.detectors import seeds
from moderation.detectors.table import DETECTORS
from moderation.models import DetectorRule, PolicyCategory
from moderation.services import detector_rules
from tests.moderation import calls, desk

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def rules(categories: None) -> None:
    """The first version of each rule."""
    calls.seed()


def publish(detector: str = "attack", **changes: Any) -> DetectorRule:
    """A version of the attack detector's rule, as first seeded but for this."""
    words: dict[str, Any] = {
        "mode": "signal",
        "parameters": DETECTORS[detector].defaults(),
        "category": desk.category(DETECTORS[detector].category),
        "note": "Tried out",
        "actor": None,
    }
    return detector_rules.publish(detector=detector, **{**words, **changes})


@pytest.mark.req("GW-35")
def test_every_detector_has_a_first_version_within_its_own_bounds() -> None:
    assert set(DETECTORS) == set(DetectorRule.Detector.values)
    for rule in DetectorRule.objects.filter(version=1):
        detector = DETECTORS[rule.detector]
        assert detector.check(rule.parameters) == rule.parameters
        assert (rule.mode in detector.modes, rule.category.code) == (True, detector.category)
    modes = {rule.detector: rule.mode for rule in DetectorRule.objects.filter(version=1)}
    signalling = {name for name, mode in modes.items() if mode == "signal"}
    assert signalling == {"rate_evasion", "sustained_abuse", "block_evasion", "attack"}
    assert set(modes.values()) == {"signal", "shadow"}


@pytest.mark.req("GW-35")
def test_seeding_again_makes_only_what_is_missing() -> None:
    publish(mode="off")
    before = list(DetectorRule.objects.values())
    seeds.seed(DetectorRule, PolicyCategory)
    assert list(DetectorRule.objects.values()) == before
    DetectorRule.objects.filter(detector="harvesting").delete()
    seeds.seed(DetectorRule, PolicyCategory)
    assert DetectorRule.objects.filter(detector="harvesting").count() == 1


@pytest.mark.req("GW-35")
def test_an_edit_is_a_new_version_with_its_author_and_an_audit_row(rex: User) -> None:
    desk.grant(rex, permissions.PUBLISH_DETECTOR)
    first = DetectorRule.objects.get(detector="attack")
    second = publish(parameters={"requests_min": 80, "minutes": 5}, mode="shadow", actor=rex, note="Too many clients")
    assert (second.version, second.author, second.note, second.mode) == (2, rex, "Too many clients", "shadow")
    kept = DetectorRule.objects.get(pk=first.pk)
    assert (kept.version, kept.mode, kept.parameters["requests_min"]) == (1, "signal", 50)
    row = AuditEvent.objects.get(action="detector.publish")
    assert (row.actor, row.reason, row.object_id) == (rex, "Too many clients", str(second.pk))
    assert row.changes == {"version": [1, 2], "mode": ["signal", "shadow"], "requests_min": [50, 80]}


@pytest.mark.req("GW-35")
def test_the_newest_version_of_each_counts_unless_it_is_off_and_workers_hear_of_it() -> None:
    version = catalogue.current_version()
    publish(mode="shadow")
    publish("harvesting", mode="off")
    assert catalogue.current_version() == version + 2
    in_force = {rule.detector: (rule.version, rule.mode) for rule in detection.rules_in_force()}
    assert in_force["attack"] == (2, "shadow")
    assert "harvesting" not in in_force
    assert len(in_force) == len(DETECTORS) - 1


def test_rules_in_force_cost_one_query(django_assert_num_queries: Any) -> None:
    for _ in range(5):
        publish()
    with django_assert_num_queries(1):
        assert len(detection.rules_in_force()) == len(DETECTORS)


@pytest.mark.req("GW-12")
def test_the_gateway_gets_the_phrases_with_the_version_that_they_are_of() -> None:
    rule = publish(
        "jailbreak", mode="block", parameters={"phrases": ["Open  SESAME now", "open sesame now", "let me in"]}
    )
    assert list(detection.phrases_of(detection.rules_in_force())) == [
        (rule.pk, "open sesame now"),
        (rule.pk, "let me in"),
    ]
    [told] = [one for one in detection.rules_in_force() if one.detector == "jailbreak"]
    assert (told.blocks, told.is_shadow, told.category) == (True, False, "PA-JAILBREAK")


@pytest.mark.req("GW-35")
@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"detector": "horoscope"}, "detector"),
        ({"mode": "block"}, "mode"),
        ({"mode": "loud"}, "mode"),
        ({"note": "  "}, "note"),
        ({"parameters": {"requests_min": 50}}, "minutes"),
        ({"parameters": {"requests_min": 4, "minutes": 5}}, "requests_min"),
        ({"parameters": {"requests_min": "50", "minutes": 5}}, "requests_min"),
        ({"parameters": {"requests_min": True, "minutes": 5}}, "requests_min"),
        ({"parameters": {"requests_min": 50.5, "minutes": 5}}, "requests_min"),
        ({"parameters": {"requests_min": 50, "minutes": 16}}, "minutes"),
        ({"parameters": {"requests_min": 50, "minutes": 5, "color": 1}}, "__all__"),
        ({"detector": "jailbreak", "parameters": {"phrases": []}}, "phrases"),
        ({"detector": "jailbreak", "parameters": {"phrases": "ignore"}}, "phrases"),
        ({"detector": "jailbreak", "parameters": {"phrases": ["abc"]}}, "phrases"),
        ({"detector": "jailbreak", "parameters": {"phrases": ["x" * 201]}}, "phrases"),
        ({"detector": "jailbreak", "parameters": {"phrases": [7]}}, "phrases"),
        ({"detector": "jailbreak", "parameters": {"phrases": [f"phrase {i}" for i in range(201)]}}, "phrases"),
    ],
)
def test_what_a_detector_does_not_take_is_refused_and_changes_nothing(changes: dict[str, Any], field: str) -> None:
    version = catalogue.current_version()
    words: dict[str, Any] = {
        "detector": "attack",
        "mode": "signal",
        "parameters": DETECTORS["attack"].defaults(),
        "category": desk.category("CY-ATTACK"),
        "note": "Tried out",
        "actor": None,
    }
    with pytest.raises(ValidationError) as refused:
        detector_rules.publish(**{**words, **changes})
    assert list(refused.value.message_dict) == [field]
    assert not DetectorRule.objects.filter(version=2).exists()
    assert not AuditEvent.objects.filter(action="detector.publish").exists()
    assert catalogue.current_version() == version


def test_a_retired_category_and_one_not_in_force_here_are_refused() -> None:
    PolicyCategory.objects.filter(code="CY-ATTACK").update(is_retired=True)
    for code in ("CY-ATTACK", "PO-CULT"):
        with pytest.raises(ValidationError, match="retired or not in force"):
            publish(category=desk.category(code))


def test_who_started_from_an_older_version_is_told(rex: User) -> None:
    publish(seen_version=1)
    with pytest.raises(ValidationError, match="another version"):
        publish(seen_version=1)
    assert DetectorRule.objects.filter(detector="attack").count() == 2


def test_the_database_keeps_versions_apart() -> None:
    with pytest.raises(IntegrityError), transaction.atomic():
        DetectorRule.objects.create(
            detector="attack", version=1, mode="off", category=desk.category("CY-ATTACK"), note="By hand"
        )
