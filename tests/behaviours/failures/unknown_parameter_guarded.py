"""Freeze the architecture while the optimiser is tuned."""

from bilevel.mechanism import Mechanism


class FreezeArchitecture(Mechanism):
    """Freeze architectural parameters in the first 20 trials."""

    domain = "coordinate descent"
    architecture = ("n_layer", "n_head", "n_embd")

    def constrain(self, view, space):
        names = [name for name in self.architecture if name in space.active]
        return space.freeze(names, "architecture first") if names and view.number <= 20 else space
