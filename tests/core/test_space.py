"""Domains, spaces, candidates."""

import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tiny import SPACE, START

from bilevel.errors import InputError
from bilevel.space import Bool, Candidate, Choice, Derived, Float, Int, Space, same_value

units = st.floats(0.0, 1.0)
finite = st.floats(-1e9, 1e9)


@st.composite
def floats(draw):
    log = draw(st.booleans())
    number = st.floats(1e-12, 1e9) if log else finite
    low, high = sorted((draw(number), draw(number)))
    return Float(low, high, log=log)


@st.composite
def ints(draw):
    power = draw(st.booleans())
    if power:
        low = 2 ** draw(st.integers(0, 40))
        high = low * 2 ** draw(st.integers(0, 20)) + draw(st.integers(0, 3))
        return Int(low, high, power_of_two=True)
    log = draw(st.booleans())
    low, high = sorted((draw(st.integers(1 if log else -(10**6), 10**6)), draw(st.integers(1, 10**6))))
    return Int(low, high, log=log)


scalars = st.one_of(st.booleans(), st.integers(-5, 5), st.sampled_from([0.0, 1.0, 2.5]), st.text(max_size=2))


@st.composite
def choices(draw):
    options = draw(st.lists(scalars, min_size=1, max_size=6, unique_by=lambda v: (type(v), v)))
    return Choice(tuple(options))


domains = st.one_of(floats(), ints(), choices(), st.just(Bool()))


@given(domains, units)
def test_what_a_domain_draws_lies_within_it_and_so_do_its_neighbours(domain, unit):
    value = domain.at(unit)
    assert domain.check(value) is None
    for near in domain.neighbours(value):
        assert domain.check(near) is None
        assert not same_value(near, value)


@given(st.one_of(ints(), choices(), st.just(Bool())), units)
def test_the_unit_scale_gives_back_whole_numbers_choices_and_flags(domain, unit):
    value = domain.at(unit)
    assert 0.0 <= domain.unit(value) <= 1.0
    assert same_value(domain.at(domain.unit(value)), value)


@given(floats(), units)
def test_the_unit_scale_gives_back_a_real_number_up_to_six_digits(domain, unit):
    value = domain.at(unit)
    again = domain.at(domain.unit(value))
    tolerance = 2e-5 if domain.log else 1e-5
    assert math.isclose(again, value, rel_tol=tolerance, abs_tol=1e-6 * (domain.high - domain.low))


@given(st.integers(3, 2**40))
def test_a_power_of_two_that_does_not_exist_is_refused(low):
    if low & (low - 1):
        with pytest.raises(InputError, match="power of two"):
            Int(low, low, power_of_two=True)
    else:
        assert Int(low, low, power_of_two=True).at(0.3) == low


def test_two_to_the_nineteenth_is_an_integer():
    value = Int(2**10, 2**20, power_of_two=True).at(0.9)
    assert value == 2**19
    assert type(value) is int
    assert Int(2**10, 2**20, power_of_two=True).check(2**19 + 1) == "524289 is not a power of two"
    assert "whole number" in Int(2**10, 2**20, power_of_two=True).check(2.0**19)


def test_true_is_not_one():
    assert "whole number" in Int(0, 3).check(True)
    assert "finite number" in Float(0, 3).check(True)
    assert "true or false" in Bool().check(1)
    assert Choice((1, 2)).check(True) is not None
    assert Candidate({"a": True}) != Candidate({"a": 1})
    assert Candidate({"a": True}).changes_from(Candidate({"a": 1}))
    assert Choice((1, True)).unit(True) == 1.0


def test_a_logarithmic_scale_with_zero_is_refused():
    for kind, options in ((Float, {"log": True}), (Int, {"log": True}), (Int, {"power_of_two": True})):
        for low in (0, -1):
            with pytest.raises(InputError, match="above 0"):
                kind(low, 8, **options)


@pytest.mark.parametrize("bounds", [(2, 1), (math.nan, 1), (0, math.inf)])
def test_impossible_bounds_are_refused(bounds):
    with pytest.raises(InputError, match="low <= high"):
        Float(*bounds)


def test_a_choice_needs_an_option():
    with pytest.raises(InputError, match="at least one"):
        Choice(())


def test_a_derived_value_cannot_be_set():
    with pytest.raises(InputError, match="derived"):
        Derived().at(0.5)


@given(st.data())
def test_draw_and_clip_respect_domains_and_caps(data):
    cap = data.draw(st.floats(0.0, 1.0))
    space = SPACE
    for name in SPACE.active:
        space = space.cap(name, cap)
    rng = random.Random(data.draw(st.integers(0, 2**20)))
    parent = SPACE.sample(rng, START)
    for name in space.active:
        wish = SPACE.domain(name).at(data.draw(units))
        for value in (space.draw(rng, name, parent.params[name]), space.clip(name, parent.params[name], wish)):
            assert space.domain(name).check(value) is None
            assert space.step(name, parent.params[name], value) <= cap + 1e-9
    child = space.sample(rng, parent)
    assert space.problems(child, parent) == []
    assert child.params["edition"] == 1


@given(domains, domains, st.booleans())
def test_narrow_never_widens(old, new, locked):
    space = Space({"x": old})
    try:
        narrowed = space.narrow("x", new)
    except InputError:
        return
    assert narrowed.widens(space) is None
    if not isinstance(old, Bool):
        for unit in (0.0, 0.3, 0.7, 1.0):
            assert old.check(narrowed.domain("x").at(unit)) is None


def test_a_wider_space_is_noticed():
    host = SPACE.freeze(["bias"], "tabu").cap("rate", 0.1)

    def changed(**domains):
        return Space({**SPACE.domains, **domains}, host.frozen, host.caps)

    assert host.widens(host) is None
    assert "unlocked" in changed(edition=Int(1, 3)).widens(host)
    assert "admits" in changed(batch=Int(16, 1024)).widens(host)
    assert "admits" in changed(shift=Float(-3.0, 3.0)).widens(host)
    assert "admits" in changed(shape=Choice(("flat", "odd"))).widens(host)
    assert "frozen by tabu" in Space(SPACE.domains, {}, host.caps).widens(host)
    assert "capped" in Space(SPACE.domains, host.frozen, {"rate": 0.2}).widens(host)
    assert "capped" in Space(SPACE.domains, host.frozen, {"rate": math.nan}).widens(host)
    assert "other parameters" in Space({"rate": SPACE.domain("rate")}).widens(host)


def test_problems_say_what_is_wrong():
    space = SPACE.freeze(["bias"], "tabu").cap("shift", 0.1)

    def problems(**changes):
        return space.problems(START.with_params(**changes), START)

    assert problems(depth=3) == []
    assert problems(depth=13) == ["depth: 13 is outside [1, 12]"]
    assert problems(bias=True) == ["bias is frozen by tabu"]
    assert problems(edition=2) == ["edition is locked by the task"]
    assert problems(shift=-2.0)[0].startswith("shift: a step of 0.9 is more than the cap of 0.1")
    assert problems(nonsense=1) == ["there is no parameter 'nonsense'"]
    assert space.problems(Candidate({}), START)[0] == "parameter 'rate' has no value"
    assert len(problems(depth=0, batch=17)) == 2
    with pytest.raises(InputError, match="the parameters are: rate"):
        space.cap("nonsense", 1)
    with pytest.raises(InputError, match="at least 0"):
        space.cap("rate", math.nan)
    with pytest.raises(InputError, match="at least 0"):
        space.weigh("rate", -1.0)


def test_a_cap_holds_for_choices_too():
    space = SPACE.cap("shape", 0.5).cap("bias", 0.5)
    rng = random.Random(0)
    assert {space.draw(rng, "shape", "flat") for _ in range(20)} == {"flat"}
    assert {space.draw(rng, "bias", False) for _ in range(20)} == {False}


def test_bounds_that_have_one_logarithm_are_one_point():
    domain = Float(1e300, math.nextafter(1e300, math.inf), log=True)
    assert domain.unit(1e300) == domain.unit(domain.high) == 0
    assert domain.check(domain.at(0.5)) is None
