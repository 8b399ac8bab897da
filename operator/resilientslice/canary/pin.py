"""The weight set by hand: which revision it acts on, so that one left behind never ships the next image."""

from dataclasses import replace

from resilientslice.canary.state import Pin


def follow(pin: Pin | None, weight: int | None, *, wanted: str, stable: str) -> Pin | None:
    """The pin after a look at the resource.

    A value that is new, or has changed, belongs to the revision that is wanted at that moment; if that is the stable
    one, there is nothing to shift and the value is only noted. A pin whose revision has become stable has had its day.
    """
    if weight is None:
        return None
    if pin is None or pin.weight != weight:
        return Pin(weight, wanted, armed=wanted != stable)
    return replace(pin, armed=pin.armed and pin.revision != stable)


def acts_on(pin: Pin, revision: str) -> bool:
    return pin.armed and pin.revision == revision
