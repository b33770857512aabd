"""The taxonomy as data: `policy.csv` beside this file, one row per code."""

import csv
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from django.apps.registry import Apps
from django.db import models

_FILE = Path(__file__).with_name("policy.csv")
_FLAGS = ("level_is_stated", "is_sealed")


def rows() -> list[dict[str, Any]]:
    """The rows of policy.csv by name of field; `yes` and `no` become bool."""
    with _FILE.open(encoding="utf-8", newline="") as file:
        return [
            {name: text == "yes" if name in _FLAGS else text for name, text in row.items()}
            for row in csv.DictReader(file)
        ]


def seed(model: type[models.Model]) -> None:
    """Make the codes that are missing and bring the texts of the others up to date. Nothing is deleted.

    `model` is PolicyCategory, or its historical form in a migration; columns that it does not have are left out.
    What the deployer decides, such as retiring a code, is left as it is.
    """
    known = {field.name for field in model._meta.get_fields()}
    for row in rows():
        texts = {name: value for name, value in row.items() if name in known and name != "code"}
        model._default_manager.update_or_create(code=row["code"], defaults=texts)


# Source document → its title, and what it forbids outright though another lets it be approved (§8 of the sources).
DOCUMENTS: dict[str, tuple[str, tuple[str, ...]]] = {
    "A": (
        "apiqik terms of service",
        ("SX-ADULT", "VI-GRAPHIC", "HD-MED", "HD-LEGAL", "HD-FIN", "HD-CI", "HD-LE"),
    ),
    "M": ("ModKie acceptable use policy", ()),
    "N": ("New API compliance policy", ()),
    "T": ("TaaS API acceptable use policy", ()),
    "U": ("General AI usage policy", ("SX-ADULT", "VI-GRAPHIC")),
}
# Those that bind unless the deployer says otherwise.
BINDING_AT_FIRST = ("M", "T")


def seed_profile(apps: Apps) -> None:
    """Make the packs and the source documents that are missing. What the deployer decided stays.

    `apps` is the registry of a migration.
    """
    packs = apps.get_model("moderation", "PolicyPack")
    documents = apps.get_model("moderation", "PolicyDocument")
    categories = apps.get_model("moderation", "PolicyCategory")
    for code, is_on in (("G", True), ("CN", False)):
        packs.objects.get_or_create(code=code, defaults={"is_on": is_on})
    for code, (title, forbidden) in DOCUMENTS.items():
        row, is_new = documents.objects.get_or_create(
            code=code, defaults={"title": title, "binds": code in BINDING_AT_FIRST}
        )
        if is_new:
            row.forbids.set(categories.objects.filter(code__in=forbidden))


# One file for each language, named for it: `code,text`.
_TEXTS = Path(__file__).with_name("policy_texts")
# Before the first call that any deployment can have served, so that there is a text for every act.
TEXTS_START_AT = datetime(2020, 1, 1, tzinfo=UTC)


def texts() -> dict[tuple[str, str], str]:
    """The texts as shipped, by (code of the category, language)."""
    found: dict[tuple[str, str], str] = {}
    for file in sorted(_TEXTS.glob("*.csv")):
        with file.open(encoding="utf-8", newline="") as lines:
            found |= {(row["code"], file.stem): row["text"] for row in csv.DictReader(lines)}
    return found


def seed_texts(apps: Apps) -> None:
    """Make the first version of each text that has none yet. Versions that there are stay as they are.

    `apps` is the registry of a migration, or Django's own.
    """
    model = apps.get_model("moderation", "PolicyText")
    categories = dict(apps.get_model("moderation", "PolicyCategory")._default_manager.values_list("code", "pk"))
    there = set(model._default_manager.values_list("category__code", "language"))
    model._default_manager.bulk_create(
        model(
            category_id=categories[code],
            language=language,
            version=1,
            text=text,
            starts_at=TEXTS_START_AT,
            note="As shipped.",
        )
        for (code, language), text in texts().items()
        if (code, language) not in there and code in categories
    )
