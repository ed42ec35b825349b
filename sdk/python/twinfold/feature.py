"""Features, and the conditions that are written with them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from twinfold.exceptions import InvalidDefinitionError

if TYPE_CHECKING:
    from twinfold._shapes import FeatureDict


class GroupRef(NamedTuple):
    """Which feature group: its name and version."""

    name: str
    version: int

    def __str__(self) -> str:
        return f"{self.name}_{self.version}"


class Column(NamedTuple):
    """A column of a query's result, with its type where it is known."""

    name: str
    type: str | None


class Feature:
    """One column of a feature group.

    Compared with a value, it gives a condition for :meth:`twinfold.Query.filter`.

    Parameters
    ----------
    name
        A lower-case letter followed by lower-case letters, digits or underscores.
    type
        ``boolean``, ``int``, ``bigint``, ``float``, ``double``, ``decimal(p,s)``, ``string``,
        ``binary``, ``date``, ``timestamp``, ``array<T>``, ``map<string,T>``,
        ``struct<name:T,…>`` or ``embedding(n)``.
    description
        For people.
    nullable
        Keys and the event time never are.
    default_value
        What readers see for rows written before the feature existed.

    Examples
    --------
    >>> Feature("temp", "double", "degrees Celsius")
    Feature('temp', 'double', 'degrees Celsius')
    >>> (weather.temp > 20) & ~weather["wind"].is_null()
    ((temp > 20) and (not (wind is null)))
    """

    __slots__ = ("_group", "default_value", "description", "name", "nullable", "type")

    def __init__(
        self,
        name: str,
        type: str | None = None,
        description: str = "",
        *,
        nullable: bool = True,
        default_value: Any = None,
    ) -> None:
        self.name = name
        self.type = type
        self.description = description
        self.nullable = nullable
        self.default_value = default_value
        self._group: GroupRef | None = None

    @classmethod
    def _from_core(cls, feature: FeatureDict, group: GroupRef | None = None) -> Feature:
        made = cls(
            feature["name"],
            feature["type"],
            feature["description"],
            nullable=feature["nullable"],
            default_value=feature["default"],
        )
        made._group = group
        return made

    def _to_core(self) -> FeatureDict:
        if self.type is None:
            raise InvalidDefinitionError(f"feature `{self.name}` needs a type")
        return {
            "name": self.name,
            "type": self.type,
            "nullable": self.nullable,
            "default": self.default_value,
            "description": self.description,
        }

    def __repr__(self) -> str:
        parts = [repr(self.name), repr(self.type)]
        if self.description:
            parts.append(repr(self.description))
        if not self.nullable:
            parts.append("nullable=False")
        if self.default_value is not None:
            parts.append(f"default_value={self.default_value!r}")
        return f"Feature({', '.join(parts)})"

    def _compare(self, op: str, value: Any) -> Filter:
        if isinstance(value, Feature):
            raise InvalidDefinitionError(
                f"a filter compares a feature with a value; found feature `{value.name}` "
                f"beside `{self.name}`"
            )
        return Filter(op, feature=self, value=value)

    def __eq__(self, value: object) -> Filter:  # type: ignore[override]
        return self.is_null() if value is None else self._compare("==", value)

    def __ne__(self, value: object) -> Filter:  # type: ignore[override]
        return ~self.is_null() if value is None else self._compare("!=", value)

    def __lt__(self, value: Any) -> Filter:
        return self._compare("<", value)

    def __le__(self, value: Any) -> Filter:
        return self._compare("<=", value)

    def __gt__(self, value: Any) -> Filter:
        return self._compare(">", value)

    def __ge__(self, value: Any) -> Filter:
        return self._compare(">=", value)

    __hash__ = object.__hash__

    def isin(self, values: Iterable[Any]) -> Filter:
        """Whether the value is one of these.

        Examples
        --------
        >>> weather.origin.isin(["EWR", "JFK"])
        (origin in ['EWR', 'JFK'])
        """
        return Filter("in", feature=self, value=list(values))

    def is_null(self) -> Filter:
        """Whether there is no value."""
        return Filter("is_null", feature=self)


class Filter:
    """A condition on the columns of a query, with SQL's three-valued logic.

    Made by comparing a :class:`Feature`; combined with ``&``, ``|`` and ``~``.
    """

    __slots__ = ("_feature", "_op", "_operands", "_value")

    def __init__(
        self,
        op: str,
        *,
        feature: Feature | None = None,
        value: Any = None,
        operands: tuple[Filter, ...] = (),
    ) -> None:
        self._op = op
        self._feature = feature
        self._value = value
        self._operands = operands

    def __and__(self, other: Filter) -> Filter:
        return Filter("and", operands=(self, check_filter(other)))

    def __or__(self, other: Filter) -> Filter:
        return Filter("or", operands=(self, check_filter(other)))

    def __invert__(self) -> Filter:
        return Filter("not", operands=(self,))

    def __bool__(self) -> bool:
        raise TypeError("a filter has no truth of its own: combine filters with &, | and ~")

    def __repr__(self) -> str:
        return describe(self._to_core(lambda feature: Column(feature.name, None)))

    def _to_core(self, resolve: Callable[[Feature], Column]) -> dict[str, Any]:
        """The condition as the platform takes it; ``resolve`` finds a feature's column."""
        if self._op == "not":
            return {"op": "not", "operand": self._operands[0]._to_core(resolve)}
        if self._op in ("and", "or"):
            left, right = (operand._to_core(resolve) for operand in self._operands)
            return {"op": self._op, "left": left, "right": right}
        assert self._feature is not None
        column = resolve(self._feature)
        if self._op == "is_null":
            return {"op": "is_null", "feature": column.name}
        key = "values" if self._op == "in" else "value"
        return {"op": self._op, "feature": column.name, key: self._value, "type": column.type}


def check_filter(condition: Any) -> Filter:
    """Refuse what is no condition: most often a group's own attribute in the place of a feature."""
    if isinstance(condition, Filter):
        return condition
    raise InvalidDefinitionError(
        'filter: wanted a condition such as group["temp"] > 20, found '
        f"{type(condition).__name__} {condition!r}; a feature that is named like an attribute of "
        'its group is an item of it: group["name"]'
    )


def names_of(given: str | Feature | Sequence[str | Feature] | None) -> list[str]:
    """Names of features: several, a single one, or none.

    Examples
    --------
    >>> from twinfold.feature import names_of
    >>> names_of("temp"), names_of(["origin", Feature("temp")]), names_of(None)
    (['temp'], ['origin', 'temp'], [])
    """
    if given is None:
        return []
    several = [given] if isinstance(given, (str, Feature)) else given
    return [item.name if isinstance(item, Feature) else item for item in several]


def describe(condition: dict[str, Any]) -> str:
    """A condition for people."""
    op = condition["op"]
    if op == "not":
        return f"(not {describe(condition['operand'])})"
    if op in ("and", "or"):
        return f"({describe(condition['left'])} {op} {describe(condition['right'])})"
    if op == "is_null":
        return f"({condition['feature']} is null)"
    value = condition["values"] if op == "in" else condition["value"]
    return f"({condition['feature']} {op} {value!r})"
