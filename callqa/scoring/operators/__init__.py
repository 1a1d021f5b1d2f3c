"""检测算子: the registry. One row each; a new operator is a row in its module's ROWS and its cases in the tests."""

from collections.abc import Mapping
from types import MappingProxyType

from callqa.scoring.operators import entities, manner, phrases, records, ticket_match, timing, words
from callqa.scoring.operators.operator import Operator

REGISTRY: Mapping[str, Operator] = MappingProxyType(
    {
        row.name: row
        for rows in (words.ROWS, phrases.ROWS, entities.ROWS, ticket_match.ROWS, timing.ROWS, manner.ROWS, records.ROWS)
        for row in rows
    }
)
