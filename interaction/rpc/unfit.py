"""What is wrong somewhere in data, and where that is, in few words."""

from __future__ import annotations

from collections.abc import Sequence

from interaction.exception import PayloadError

_FIRST, _LAST = 5, 3  # steps of a long path that are shown
_STEP = 60  # characters of one


class Unfit(Exception):
    """What is wrong somewhere in the data; the steps to it are added on the way out. `endless`: there is no end."""

    def __init__(self, problem: str, *, endless: bool = False) -> None:
        super().__init__(problem)
        self.problem = problem
        self._endless = endless
        self._steps: list[str] = []  # the innermost first, and so
        self._containers: list[object] = []  # what each of them leads out of

    def at(self, key: object, container: object) -> None:
        """It is in this container, under that key or position."""
        step = f"[{key!r:.{_STEP + 1}}]"
        self._steps.append(step if len(step) <= _STEP + 2 else f"{step[:_STEP]}…]")
        if self._endless:
            self._containers.append(container)

    def told(self, root: str) -> PayloadError:
        """The error for the user; `root` names the data."""
        steps, containers = self._steps[::-1], self._containers[::-1]
        for inner in range(1, len(containers)):
            for outer in range(inner):
                if containers[outer] is containers[inner]:
                    again = _path(root, steps[:outer])
                    problem = f"is {again} again; what contains itself can't be carried"
                    return PayloadError(_path(root, steps[:inner]), problem)
        return PayloadError(_path(root, steps), self.problem)


def shown(value: object) -> str:
    """What came in place of something else, in few words: all of it may be long."""
    if isinstance(value, str):
        return repr(value) if len(value) <= _STEP else f"{value[:_STEP]!r}…"
    if isinstance(value, (list, dict)):
        return f"{'a list' if isinstance(value, list) else 'an object'} of {len(value)}"
    return f"{value!r:.{_STEP}}"


def _path(root: str, steps: Sequence[str]) -> str:
    """The steps, or the first and the last of many."""
    if len(steps) > _FIRST + _LAST:
        return root + "".join([*steps[:_FIRST], "…", *steps[-_LAST:]])
    return root + "".join(steps)
