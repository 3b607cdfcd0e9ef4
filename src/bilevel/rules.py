"""Keep rules: when a challenger takes the place of its parent, as pure functions of paired gains.

A *paired gain* is what a candidate is better than its parent on one seed that both were run on; positive is better. The
loop, the trace and the simulation (`benchmarks/keep_rules.py`) ask the same functions.

race     one seed first, dropped at the first mean of the gains that is not above 0; kept if it leads on `depth` seeds,
         or as soon as the mean is beyond what noise alone gives in one comparison in twenty
fixed    `depth` seeds for every idea; kept if the mean is above 0
greedy   one seed; kept if it is better, by however little
margin   one seed; kept if it is better by more than the noise margin

Source of the race: the intensification of F. Hutter, H. H. Hoos, K. Leyton-Brown, "Sequential Model-Based Optimization
for General Algorithm Configuration", 2011, doi:10.1007/978-3-642-25566-3_40, and the elitist race of M. López-Ibáñez
et al., "The irace package", 2016, doi:10.1016/j.orp.2016.09.002; here with a last seed, so that ideas stay cheap.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from bilevel.noise import Noise

KEEP_RULES = ("race", "fixed", "greedy", "margin")


@dataclass(frozen=True)
class Rule:
    """A keep rule. `name` is one of KEEP_RULES; `depth`: on how many seeds a candidate is measured at most.

    `version` 2 looks at a candidate that leads before it takes a task for deterministic (`looks`), goes by what a trial
    saw where others are told meanwhile, and leaves guardrails more room for noise; 1 does none of it. 3 holds all runs
    of a candidate together against the guardrails (`holding.py`). It is a matter of the search, not of a trial's
    record.
    """

    name: str = "race"
    depth: int = 2
    version: int = field(default=3, metadata={"later": True})

    def under(self, noise: Noise, gains: Sequence[float] = ()) -> "Rule":
        """The rule with the depth that is needed: one run says it all where nothing is repeated, or nothing moves, and
        as many as there are gains where these are clear."""
        repeats = self.name in ("race", "fixed") and not noise.deterministic
        clear = self.name == "race" and 0 < len(gains) < self.depth and is_clear(gains, noise)
        depth = len(gains) if repeats and clear else self.depth if repeats else 1
        return replace(self, depth=depth)

    def looks(self, gains: Sequence[float], noise: Noise, repeated: int) -> bool:
        """Whether a candidate with these gains is run on a seed that nobody was run on, although no seed has moved a
        score so far: where it leads, and fewer than two candidates were `repeated`. One may be the same on all seeds
        where others are not."""
        repeats = self.version > 1 and self.name in ("race", "fixed")
        return repeats and noise.deterministic and repeated < 2 and mean(gains) > 0

    @property
    def repeats(self) -> bool:
        """Whether a candidate may be run on more than one seed."""
        return self.name in ("race", "fixed") and self.depth > 1

    @property
    def at_once(self) -> int:
        """How many seeds are planned before the first result is known."""
        return self.depth if self.name == "fixed" else 1

    def goes_on(self, gains: Sequence[float], noise: Noise, simpler: bool = False) -> bool:
        """Whether a candidate with these gains so far is run on one more seed."""
        if len(gains) >= self.depth:
            return False
        return self.name == "fixed" or mean(gains) > 0 or (simpler and self.ties(gains, noise))

    def keeps(self, gains: Sequence[float], noise: Noise) -> bool:
        """Whether a candidate with these gains is better than its parent."""
        return len(gains) >= self.depth and mean(gains) > (noise.margin if self.name == "margin" else 0.0)

    def ties(self, gains: Sequence[float], noise: Noise) -> bool:
        """Whether a candidate that is not better is equal within the noise: behind by one standard error at most.

        Only under rules that repeat, and where the noise is known. Source of the width: the one-standard-error rule of
        L. Breiman et al., "Classification and Regression Trees", 1984, section 3.4.3.
        """
        sd, degrees = noise.of_difference
        if self.name not in ("race", "fixed") or not degrees:
            return False
        return -sd / math.sqrt(len(gains)) <= mean(gains) <= 0


def in_words(rule: Rule | None, margin: float) -> str:
    """When a trial is kept, for those that propose; None is the margin."""
    if rule is None or rule.name == "margin":
        return f"it beats its parent by more than {margin:.3g}"
    if rule.depth < 2:
        return "it beats its parent"
    seeds = f"over {rule.depth} seeds that both are run on"
    if rule.name == "fixed":
        return f"it beats its parent on average {seeds}"
    return f"it beats its parent {seeds}, and on average after each of them"


def is_clear(gains: Sequence[float], noise: Noise) -> bool:
    """Whether the mean of the gains is above the one-sided 5 % quantile of what noise alone makes of it.

    False where nothing is known of the noise. The same test as the noise margin, of the mean of several.
    """
    return bool(noise.of_difference[1]) and mean(gains) > noise.margin / math.sqrt(len(gains))


def mean(gains: Sequence[float]) -> float:
    """The mean of at least one gain."""
    return sum(gains) / len(gains)
