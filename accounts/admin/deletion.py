"""Deletion in the admin: only of what nothing has ever used, and with a reason."""

from django.db.models import ForeignObjectRel, Model


def used_by(obj: Model) -> str | None:
    """A kind of rows that point to an object, or None when nothing has ever used it.

    Each kind is asked by EXISTS alone: Django's own collector would load the rows, which for usage
    events can be millions. Hidden relations (usage and its rollups) are the large ones, so they come last.
    """
    relations = [
        relation
        for relation in obj._meta.get_fields(include_hidden=True)
        if isinstance(relation, ForeignObjectRel) and not relation.related_model._meta.auto_created
    ]
    relations.sort(key=lambda relation: (relation.hidden, relation.related_model._meta.model_name or ""))
    for relation in relations:
        if relation.related_model._base_manager.filter(**{relation.field.name: obj}).exists():
            return str(relation.related_model._meta.verbose_name_plural)
    return None
