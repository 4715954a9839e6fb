"""The times of frames, made usable where a file states them badly."""
from __future__ import annotations

from dataclasses import dataclass, field
from fractions import Fraction
from typing import Dict, List, Optional, Sequence, Tuple

USUAL_RATE = Fraction(25)
AHEAD = 8  # frames; where the times go back for longer, they begin anew
TICK = Fraction(1, 90000)  # seconds; the unit of times where the rate varies
COARSE_TICK = Fraction(1, 1000)
MOST_A_SECOND = Fraction(120)  # of a file that has one rate
MOST_FRAMES = 100_000
LONGEST = 2 ** 31 - 1  # ticks between two frames, the most that MP4 can hold


@dataclass
class Timing:
    """When the frames are shown, in seconds."""

    times: List[Fraction]  # strictly rising
    end: Fraction  # of the last frame
    rate: Fraction  # frames a second, the mean where the rate varies
    tick: Fraction  # unit of the times: 1 / rate where the rate is constant
    notes: List[str] = field(default_factory=list)

    @property
    def varies(self) -> bool:
        return self.tick != 1 / self.rate

    def shift(self, by: Fraction) -> None:
        self.times, self.end = [time + by for time in self.times], self.end + by

    def durations(self) -> List[Fraction]:
        return [after - time for time, after in zip(self.times, self.times[1:] + [self.end])]


def timing_of(ticks: Sequence[Optional[int]], tick: Fraction, stated: Optional[Fraction], last: int = 0) -> Timing:
    """The times of all frames of a file.

    Args:
        ticks: the times of the frames in the file; None for a frame without a time.
        tick: unit of `ticks` in seconds.
        stated: frames a second by the header.
        last: how long the last frame is shown, in `tick`; 0: not stated.
    """
    stated = stated if stated and stated > 0 else None
    step = usual_step(ticks, tick, stated)
    times, notes = _rising([None if number is None else number * tick for number in ticks], step)
    held = last * tick or step
    rate = (stated or _mean_rate(times) or USUAL_RATE).limit_denominator(1001)
    if rate:
        even = [times[0] + number / rate for number in range(len(times))]
        if all(abs(time - place) <= tick for time, place in zip(times, even)) and held - 1 / rate <= tick:
            return Timing(even, even[-1] + 1 / rate, rate, 1 / rate, notes)  # equal but for the container's rounding
    rate = max((_mean_rate(times) or 1 / held).limit_denominator(1001), Fraction(1, 1001))
    end = times[-1] + held
    longest = max(after - time for time, after in zip(times, times[1:] + [end]))
    return Timing(times, end, rate, TICK if longest / TICK < LONGEST else COARSE_TICK, notes)


def one_rate(timing: Timing) -> Tuple[Fraction, Fraction]:
    """The rate for a container that has only one, and by how many seconds a frame is shown at another time there."""
    steps = sorted(timing.durations())
    length = timing.end - timing.times[0]
    rate = min(1 / steps[len(steps) // 4], MOST_A_SECOND, MOST_FRAMES / length).limit_denominator(1001)
    rate = max(rate, Fraction(1, 1001))
    places = numbers(timing.times, 1 / rate)
    return rate, max(abs(place / rate - time) for place, time in zip(places, timing.times))


def numbers(times: Sequence[Fraction], tick: Fraction) -> List[int]:
    """The times in whole ticks, no two frames in one tick."""
    result: List[int] = []
    for time in times:
        number = round(time / tick)
        result.append(max(number, result[-1] + 1) if result else number)
    return result


def usual_step(ticks: Sequence[Optional[int]], tick: Fraction, stated: Optional[Fraction]) -> Fraction:
    """The median time between two frames in seconds."""
    known = [number for number in ticks if number is not None]
    steps = sorted(b - a for a, b in zip(known, known[1:]) if b > a)
    return steps[(len(steps) - 1) // 2] * tick if steps else 1 / (stated or USUAL_RATE)


def _mean_rate(times: Sequence[Fraction]) -> Optional[Fraction]:
    return (len(times) - 1) / (times[-1] - times[0]) if len(times) > 1 else None


def _rising(times: List[Optional[Fraction]], step: Fraction) -> Tuple[List[Fraction], List[str]]:
    """Times that rise. A frame whose time is missing or repeated is placed between its neighbours."""
    shift, good, restarts, wrong = Fraction(0), {}, 0, 0
    latest: Optional[Fraction] = None
    for number, time in enumerate(times):
        if time is None:
            wrong += 1
            continue
        following = times[number + 1:number + 1 + AHEAD]
        if latest is not None and time + shift < latest and _stay_below(following, latest - shift):
            shift, restarts = latest + step - time, restarts + 1
        if latest is None or time + shift > latest:
            good[number] = latest = time + shift
        else:
            wrong += 1
    notes = []
    if wrong:
        notes.append(f"times: {wrong} of {len(times)} frames have none of their own, placed between their neighbours")
    if restarts:
        notes.append(f"times: begin anew ({restarts} times within the film), continued without a gap")
    return _filled(good, len(times), step), notes


def _stay_below(times: Sequence[Optional[Fraction]], latest: Fraction) -> bool:
    return all(time is None or time <= latest for time in times)


def _filled(good: Dict[int, Fraction], count: int, step: Fraction) -> List[Fraction]:
    """`good` with the missing numbers up to `count`: even between two that are known, by `step` outside of them."""
    if not good:
        return [number * step for number in range(count)]
    known = sorted(good)
    times = [good[known[0]] - (known[0] - number) * step for number in range(known[0])]
    for a, b in zip(known, known[1:]):
        times += [good[a] + (good[b] - good[a]) * number / (b - a) for number in range(b - a)]
    return times + [good[known[-1]] + number * step for number in range(count - known[-1])]
