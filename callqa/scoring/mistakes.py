"""Reading on after a mistake: every mistake of a text is kept, and something harmless stands in its place."""

from collections.abc import Callable, Collection, Iterable
from functools import partial
from typing import TypeVar

import yaml

from callqa.errors import RubricError
from callqa.scoring import marked

T = TypeVar("T")
S = TypeVar("S")


class Mistakes:
    """The mistakes found so far, in the order they were met.

    forgiving: of a stored version; keys that mean nothing today are left out without a word.
    """

    def __init__(self, *, forgiving: bool = False) -> None:
        self.found: list[RubricError] = []
        self.forgiving = forgiving

    def attempt(self, read: Callable[[], T], instead: S) -> T | S:
        """What is read; `instead` where it has a mistake, which is kept."""
        try:
            return read()
        except RubricError as mistake:
            self.found.append(mistake)
            return instead

    def each(self, nodes: Iterable[yaml.Node], read: Callable[[yaml.Node], T]) -> tuple[T, ...]:
        """All that can be read."""
        found = [self.attempt(partial(read, node), None) for node in nodes]
        return tuple(each for each in found if each is not None)

    def group(self, node: yaml.Node, what: str, known: Collection[str]) -> marked.Mapping:
        """A mapping; keys it should not have are kept as mistakes."""
        return marked.mapping(node, what, known, complain=self._keep)

    def _keep(self, mistake: RubricError) -> None:
        if not self.forgiving:
            self.found.append(mistake)
