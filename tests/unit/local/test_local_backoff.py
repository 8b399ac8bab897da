"""How long to wait before the next try."""

from resilientslice.local.processes.supervisor import CRASH_LOOP, FIRST_SECONDS, MAX_SECONDS, STABLE_SECONDS, BackOff


def test_doubles_to_a_limit_and_starts_over_after_a_stable_run() -> None:
    assert BackOff().delay == 0
    back_off, delays = BackOff(), []
    for _ in range(9):
        back_off = back_off.after_run(0.1)
        delays.append(back_off.delay)
    assert delays == [FIRST_SECONDS * 2**n for n in range(7)] + [MAX_SECONDS, MAX_SECONDS]
    assert back_off.after_run(STABLE_SECONDS).delay == FIRST_SECONDS
    assert back_off.after_run(STABLE_SECONDS - 0.1).delay == MAX_SECONDS


def test_three_ends_in_a_row_are_a_crash_loop() -> None:
    back_off = BackOff()
    loops = []
    for _ in range(CRASH_LOOP):
        back_off = back_off.after_run(0)
        loops.append(back_off.crash_loop)
    assert loops == [False, False, True]
    assert not back_off.after_run(STABLE_SECONDS).crash_loop
