"""Ids that no row can have, in a list of them: Django refuses only a single one before the database does."""

from typing import Any

from django.db.models import IntegerField
from django.db.models.lookups import In


@IntegerField.register_lookup
class IntegerIn(In):
    """`id__in` that finds nothing by numbers which do not fit the column; SQLite's driver would raise OverflowError.

    Such numbers come from addresses and forms: whatever lets several rows be chosen looks them up by such a list.
    """

    def process_rhs(self, compiler: Any, connection: Any) -> Any:
        """As Django's, without what is out of range."""
        if self.rhs_is_direct_value():
            least, most = connection.ops.integer_field_range(self.lhs.output_field.get_internal_type())
            self.rhs = [value for value in self.rhs if not isinstance(value, int) or _fits(value, least, most)]
        return super().process_rhs(compiler, connection)


def _fits(value: int, least: int | None, most: int | None) -> bool:
    return (least is None or value >= least) and (most is None or value <= most)
