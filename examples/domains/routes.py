"""A domain of its own: the shortest round trip. A candidate is a file with an order of cities."""

import math
import random
from dataclasses import dataclass

from bilevel.objective import Objective
from bilevel.space import Candidate, Space
from bilevel.tasks.function import FunctionTask
from bilevel.trial import Proposal, Run, Status

DRAW = random.Random(3)
CITIES = tuple((DRAW.random(), DRAW.random()) for _ in range(24))
LIFTED = {"exploit": 0, "balanced": 2, "explore": 5}  # what level 1.5 turns: how much of a tour is made anew


def read(candidate):
    return [int(word) for word in candidate.files["tour.txt"].split()]


def written(tour):
    return Candidate(files={"tour.txt": " ".join(map(str, tour)) + "\n"})


def length(params, seed=0):
    tour = params["tour"]
    return round(sum(math.dist(CITIES[a], CITIES[b]) for a, b in zip(tour, tour[1:] + tour[:1], strict=True)), 9)


class Routes(FunctionTask):
    def problems(self, candidate, parent):
        try:
            right = sorted(read(candidate)) == list(range(len(CITIES)))
        except (KeyError, ValueError):
            right = False
        return [] if right else [f"tour.txt must name each city from 0 to {len(CITIES) - 1} once"]

    def run(self, candidate, bench):
        if wrong := self.problems(candidate, candidate):
            return Run(bench.rung, bench.seed, Status.REFUSED, log=wrong[0])
        return super().run(Candidate({"tour": tuple(read(candidate))}), bench)


TASK = Routes("routes", length, Space({}), written(range(24)), Objective("length"), "Shorten it.", version=str(CITIES))


@dataclass(frozen=True)
class TwoOpt:
    name: str = "two_opt"
    reads_advice: bool = False  # the same with and without what mechanisms advise
    free: bool = True  # asking it again costs nothing

    def propose(self, view, parent, briefing):
        rng, drafts = view.rng(f"two_opt/{briefing.attempt}"), []
        for _ in range(view.settings.drafts):
            tour, (i, j) = read(parent), sorted(rng.sample(range(len(CITIES) + 1), 2))
            tour[i:j] = tour[i:j][::-1]  # step 1: a stretch the other way round
            lifted = rng.sample(tour, LIFTED[view.settings.strategy])  # step 2: some cities are taken out
            tour = [city for city in tour if city not in lifted]
            for city in lifted:  # step 3, the repair: each is put back where the detour is shortest
                tours = [[*tour[:k], city, *tour[k:]] for k in range(len(tour))]
                tour = min(tours, key=lambda tour: length({"tour": tour}))
            drafts.append(Proposal(written(tour), f"turned {i}:{j}, put back {lifted}", self.name))
        return drafts


if __name__ == "__main__":
    from bilevel.lab import Lab
    from bilevel.loop import Loop, LoopSpec
    from bilevel.mechanism import Guest
    from bilevel.mechanisms import source
    from bilevel.nesting import nest
    from bilevel.researchers import make
    from bilevel.surfaces import SettingsSurface

    restart, rules = Guest("restart", source("restart", patience=40)), make("settings_rules")
    inner = LoopSpec("inner", TASK, TwoOpt(), (restart,), seed=1)
    outer = nest(inner, SettingsSurface(), rules, name="settings", trials=10, cycles=20, start="continue")
    print(Loop(outer, Lab()).run().last.runs[-1].metrics)
