"""The taxonomy as data: `policy.csv` beside this file, one row per code."""

import csv
from pathlib import Path
from typing import Any

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
