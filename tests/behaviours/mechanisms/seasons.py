"""Seasons: one family of parameters at a time may be changed."""

from bilevel.mechanism import Mechanism
from bilevel.space import Space
from bilevel.view import View


class Seasons(Mechanism):
    """The active parameters are cut into families of `size` in their order; a season lasts `season` trials, then the
    next family's comes. The others are frozen; a season that would leave fewer than `least` free does nothing."""

    domain = "block coordinate descent"
    size = 3
    season = 2
    least = 1

    def constrain(self, view: View, space: Space) -> Space:
        names = space.active
        families = [names[at : at + self.size] for at in range(0, len(names), self.size)]
        if len(families) < 2:
            return space
        now = families[(max(view.number - 1, 0) // self.season) % len(families)]
        if len(now) < self.least:
            return space
        return space.freeze([name for name in names if name not in now], f"the season of {', '.join(now)}")
