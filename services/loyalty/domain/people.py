"""Which ids are one person. Balances stay per original id, so undoing a merge is exact."""

from collections.abc import Iterable

from shared.ids import CustomerId


class People:
    """The merges that are in force, as edges from the absorbed id to the survivor."""

    def __init__(self, edges: Iterable[tuple[CustomerId, CustomerId]] = ()) -> None:
        self._survivor: dict[CustomerId, CustomerId] = {}
        self._absorbed: dict[CustomerId, set[CustomerId]] = {}
        for absorbed, survivor in edges:
            self.merge(absorbed, survivor)

    def merge(self, absorbed: CustomerId, survivor: CustomerId) -> None:
        """From now on `absorbed` belongs to `survivor`; a merge with itself is nothing."""
        self.unmerge(absorbed)
        if absorbed != survivor:
            self._survivor[absorbed] = survivor
            self._absorbed.setdefault(survivor, set()).add(absorbed)

    def unmerge(self, absorbed: CustomerId) -> None:
        """`absorbed` stands alone again."""
        survivor = self._survivor.pop(absorbed, None)
        if survivor is not None:
            self._absorbed[survivor].discard(absorbed)

    def root(self, customer: CustomerId) -> CustomerId:
        """The id that stands for the person. In a circle of merges it is the least one."""
        seen = [customer]
        while (survivor := self._survivor.get(seen[-1])) is not None:
            if survivor in seen:
                return min(seen[seen.index(survivor) :])
            seen.append(survivor)
        return seen[-1]

    def ids_of(self, customer: CustomerId) -> list[CustomerId]:
        """All ids of the person, in order."""
        if customer not in self._survivor and not self._absorbed.get(customer):
            return [customer]
        found: set[CustomerId] = set()
        waiting = {self.root(customer)}
        while waiting:
            one = waiting.pop()
            found.add(one)
            waiting |= self._absorbed.get(one, set()) - found
        return sorted(found)
