"""Laws of acts: each is taken up once, however many trials hold it, and what was said last is in force."""

from hypothesis import given
from hypothesis import strategies as st

from bilevel.acts import Act, Steering

KINDS = ("guide", "freeze", "unfreeze", "pin", "retire", "budget", "pause", "approve")
one = st.tuples(st.sampled_from(KINDS), st.sampled_from(("x", "y", "trials")), st.integers(1, 9))
lists = st.lists(one, max_size=12).map(
    lambda some: tuple(Act(n, kind, what, kind, value, "s") for n, (kind, what, value) in enumerate(some, 1))
)


@given(lists, st.data())
def test_an_act_that_several_trials_hold_counts_once(acts, data):
    """With workers, trials in flight take up the same acts: each begins where the trials that it saw ended."""
    whole, at, steering = Steering().after(acts), 0, Steering()
    while at < len(acts):
        first = data.draw(st.integers(0, at))
        last = data.draw(st.integers(at + 1, len(acts)))
        steering, at = steering.after(acts[first:last]), last
    assert steering == whole and whole.after(acts) == whole


@given(lists)
def test_what_persons_said_last_of_a_thing_is_in_force(acts):
    found = Steering().after(acts)
    for name in ("x", "y", "trials"):
        froze = [act.kind for act in acts if act.kind in ("freeze", "unfreeze") and act.what == name]
        assert (name in found.frozen) == (froze[-1:] == ["freeze"])
        assert (name in found.freed) == (froze[-1:] == ["unfreeze"])
        held = [act.kind for act in acts if act.kind in ("pin", "retire") and act.what == name]
        assert ((name, "s") in found.pinned) == (held[-1:] == ["pin"])
        assert ((name, "s") in found.retired) == (held[-1:] == ["retire"])
        budgets = [act.value for act in acts if act.kind == "budget" and act.what == name]
        assert found.budget.get(name) == (budgets[-1] if budgets else None)
    assert found.taken == {act.number for act in acts}
    assert found.guidance == tuple(act.text for act in acts if act.kind == "guide")
