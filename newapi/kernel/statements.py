"""Statements that are written once a process: Django writes one for longer than a database takes to carry it out.

For what is asked or written very often, such as at every booking. What differs from one time to the next is a `Slot`
in an ordinary queryset; its value goes through the field's own conversion, so the same holds on both databases.
PostgreSQL also keeps the plan, which takes it longer to make than to carry out; SQLite always does.
"""

import functools
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Generic, TypeVar, cast

import psycopg
from django.db import connection, models
from django.db.models.expressions import Expression
from django.db.models.query import FlatValuesListIterable, ModelIterable, get_related_populators
from django.db.models.sql import UpdateQuery

Row = TypeVar("Row")
# Of more rows at once a statement is not worth keeping, as there would be one for each number of rows.
_KEPT_ROWS_MAX = 2
# PostgreSQL has a limit of its own, far above this.
_PARAMETERS_MAX = 20_000


class Slot(Expression):
    """The place of a value that is said later, by its name. Never of None, which nothing equals in SQL."""

    def __init__(self, name: str, field: "models.Field[Any, Any]") -> None:
        super().__init__(output_field=field)
        self.name = name

    def as_sql(self, compiler: Any, connection: Any, **options: Any) -> Any:
        """A placeholder, whose parameter is the slot itself."""
        return "%s", [self]


def slot(model: type[models.Model], field: str, name: str = "") -> Slot:
    """The place of a value of a model's field, called like it unless another name is given."""
    return Slot(name or field, cast("models.Field[Any, Any]", model._meta.get_field(field)))


class Select(Generic[Row]):
    """A queryset with slots, asked again and again. `build` makes it when it is asked for the first time."""

    def __init__(self, build: "Callable[[], models.QuerySet[Any, Row]]") -> None:
        self._build = build

    def rows(self, **values: Any) -> list[Row]:
        """What it gives with these values in its slots: instances or tuples, as the queryset says."""
        with _cursor() as cursor:
            statement, made_of = self._written
            cursor.execute(statement.text, statement.filled(values))
            return [made_of(row) for row in cursor.fetchall()]

    def first(self, **values: Any) -> Row | None:
        """The first of them, if there is any."""
        return next(iter(self.rows(**values)), None)

    @functools.cached_property
    def _written(self) -> "tuple[_Statement, Callable[[Sequence[Any]], Row]]":
        queryset = self._build()
        compiler = queryset.query.get_compiler(connection=connection)
        return _Statement.of(compiler), _maker(queryset, compiler)


class Update:
    """An update with slots, guarded by its conditions, so that its row count decides. `build`: see Select."""

    def __init__(self, build: "Callable[[], tuple[models.QuerySet[Any, Any], Mapping[str, Any]]]") -> None:
        self._build = build

    def __call__(self, **values: Any) -> int:
        """Returns how many rows it changed, with these values in its slots."""
        with _cursor() as cursor:
            statement = self._written
            cursor.execute(statement.text, statement.filled(values))
            return cursor.rowcount

    @functools.cached_property
    def _written(self) -> "_Statement":
        queryset, changes = self._build()
        query = cast(UpdateQuery, queryset.query.chain(UpdateQuery))
        query.add_update_values(dict(changes))
        return _Statement.of(query.get_compiler(connection=connection))


def insert(rows: Sequence[models.Model], *, unless_standing: bool = False) -> int:
    """Insert rows of one model, as they are. Returns how many were inserted. Raises IntegrityError as a save would.

    Rows without a key get it from the database, one by one. unless_standing: of rows with a key, leave out those that
    a unique constraint forbids, because such a row stands; where one is about to be inserted, wait for it.
    """
    if not rows:
        return 0
    model, is_keyed = type(rows[0]), rows[0].pk is not None
    fields = _fields(model, is_keyed)
    size, inserted = (_rows_max(len(fields)) if is_keyed else 1), 0
    for start in range(0, len(rows), size):
        part = rows[start : start + size]
        values = [field.get_db_prep_save(getattr(row, field.attname), connection) for row in part for field in fields]
        with _cursor() if len(part) <= _KEPT_ROWS_MAX else connection.cursor() as cursor:
            cursor.execute(_insert_into(model, len(part), is_keyed, unless_standing), values)
            inserted += cursor.rowcount if is_keyed else 1
            if not is_keyed:
                part[0].pk = cursor.fetchone()[0]
    for row in rows:
        row._state.adding, row._state.db = False, connection.alias
    return inserted


@dataclass(frozen=True, slots=True)
class _Statement:
    """SQL with its parameters, some of which are slots."""

    text: str
    parameters: Sequence[Any]

    @classmethod
    def of(cls, compiler: Any) -> "_Statement":
        """What a compiler writes."""
        text, parameters = compiler.as_sql()
        if isinstance(connection.connection, psycopg.Connection):
            # A plan that is kept uses a partial index only when its condition stands in the text.
            parts = ["%s" if isinstance(part, Slot) else _literal(part) for part in parameters]
            text = text.replace("%%", "%%%%") % tuple(parts)
            parameters = [part for part in parameters if isinstance(part, Slot)]
        return cls(text, parameters)

    def filled(self, values: Mapping[str, Any]) -> list[Any]:
        """The parameters with these values in the slots. Raises KeyError for one that was not said."""
        return [
            part.output_field.get_db_prep_value(values[part.name], connection) if isinstance(part, Slot) else part
            for part in self.parameters
        ]


def _literal(value: Any) -> str:
    return psycopg.sql.Literal(value).as_string(connection.connection).replace("%", "%%")


@contextmanager
def _cursor() -> Iterator[Any]:
    """A cursor whose statements are kept, with their plans, from the second time on that a connection executes them."""
    connection.ensure_connection()
    raw = connection.connection
    # Of a statement that it keeps psycopg does not tell the text, which Django's log of statements wants.
    if not isinstance(raw, psycopg.Connection) or connection.queries_logged:
        with connection.cursor() as cursor:
            yield cursor
        return
    usual = raw.cursor_factory
    raw.cursor_factory, raw.prepare_threshold = psycopg.Cursor, 1
    try:
        with connection.cursor() as cursor:
            raw.cursor_factory = usual
            yield cursor
    finally:
        raw.cursor_factory, raw.prepare_threshold = usual, None


def _maker(queryset: "models.QuerySet[Any, Any]", compiler: Any) -> Callable[[Sequence[Any]], Any]:
    """What turns a row of the database into what the queryset gives."""
    columns = compiler.select
    converters = compiler.get_converters([column[0] for column in columns])

    def converted(row: Sequence[Any]) -> Sequence[Any]:
        if not converters:
            return row
        values = list(row)
        for index, (converts, expression) in converters.items():
            for convert in converts:
                values[index] = convert(values[index], expression, connection)
        return values

    if queryset._iterable_class is FlatValuesListIterable:
        return lambda row: converted(row)[0]
    if queryset._iterable_class is not ModelIterable:
        return lambda row: tuple(converted(row))
    places = compiler.klass_info["select_fields"]
    names = [columns[place][0].target.attname for place in places]
    related: Any = get_related_populators(compiler.klass_info, columns, connection.alias)  # type: ignore[call-arg]
    annotated = compiler.annotation_col_map or {}

    def instance(row: Sequence[Any]) -> Any:
        values = converted(row)
        found = queryset.model.from_db(connection.alias, names, [values[place] for place in places])
        for populator in related:
            populator.populate(values, found)
        for name, place in annotated.items():
            setattr(found, name, values[place])
        return found

    return instance


def _fields(model: type[models.Model], is_keyed: bool) -> "list[models.Field[Any, Any]]":
    return [field for field in model._meta.concrete_fields if is_keyed or not field.primary_key]


def _rows_max(columns: int) -> int:
    return (connection.features.max_query_params or _PARAMETERS_MAX) // columns


@functools.lru_cache(maxsize=256)
def _insert_into(model: type[models.Model], count: int, is_keyed: bool, unless_standing: bool) -> str:
    quote = connection.ops.quote_name
    columns = [quote(str(field.column)) for field in _fields(model, is_keyed)]
    places = ", ".join([f"({', '.join(['%s'] * len(columns))})"] * count)
    # Every part of it is a quoted name or a placeholder.
    text = f"INSERT INTO {quote(model._meta.db_table)} ({', '.join(columns)}) VALUES {places}"  # noqa: S608
    text += " ON CONFLICT DO NOTHING" if unless_standing else ""
    return text if is_keyed else f"{text} RETURNING {quote(str(model._meta.pk.column))}"
