"""What the suite found, case by case, and whether one finding is worse than another.

It refuses to know how a finding came about.
"""

import json
from collections import Counter

# Best first. What is only informational is as good as what is asked for: the standard leaves it open.
ORDER = ["OK", "INFORMATIONAL", "NON-STRICT", "UNIMPLEMENTED", "WRONG CODE", "UNCLEAN", "FAILED BY CLIENT", "FAILED"]

# A message, then an offence. A peer that is judged by itself has echoed the message before it reads the offence; the relay
# sees the offence at once, and ends the link while the echo is on its way. The suite foresees that, as NON-STRICT.
SOONER = {"behavior": "NON-STRICT", "behaviorClose": "OK", "remoteCloseCode": 1002}
SOONER_IN = ["3.2", "3.3", "3.4", "4.1.3", "4.1.4", "4.1.5", "4.2.3", "4.2.4", "4.2.5", "5.15"]

# A frame with an offence in its middle, in pieces with a second in between. Whoever forwards whole frames looks at it when it
# is whole. The suite foresees that too.
LATER = {"behavior": "NON-STRICT", "behaviorClose": "OK", "remoteCloseCode": 1007}
LATER_IN = ["6.4.3", "6.4.4"]

COMPARED = ["behavior", "behaviorClose", "remoteCloseCode"]


def read(index, agent):
    """What the suite wrote down for this agent: case → verdict."""
    cases = json.loads(index.read_text())[agent]
    return {case: {name: found[name] for name in COMPARED} for case, found in cases.items()}


class Comparison:
    """The verdicts of one set-up through the relay, beside those without it."""

    def __init__(self, without, through, whole_frames):
        self.without, self.through = without, through
        cases = sorted(without.keys() | through.keys(), key=lambda case: list(map(int, case.split("."))))
        self.differing = {case: judged(case, without.get(case), through.get(case), whole_frames) for case in cases}
        self.differing = {case: judgement for case, judgement in self.differing.items() if judgement}
        self.worse = [case for case, judgement in self.differing.items() if judgement == "WORSE"]

    def print(self, title):
        counts = Counter(self.differing.values())
        print(f"\n{title}: {len(self.through)} cases, of which " + ", ".join(
            f"{counts[judgement]} {judgement}" for judgement in ["better", "other code", "sooner", "later", "WORSE"]
        ))
        print(f"  without the relay  {counted(self.without)}")
        print(f"  through the relay  {counted(self.through)}")
        for case, judgement in self.differing.items():
            print(f"  {judgement:12}{case:8}{told(self.without.get(case)):40}{told(self.through.get(case))}")


def judged(case, without, through, whole_frames):
    """What the difference is; nothing where there is none."""
    if without == through:
        return None
    if without is None or through is None:
        return "WORSE"
    if case in SOONER_IN and through == SOONER:
        return "sooner"
    if whole_frames and case in LATER_IN and through == LATER:
        return "later"
    ranks = [(ORDER.index(without[name]), ORDER.index(through[name])) for name in ["behavior", "behaviorClose"]]
    if any(through > without for without, through in ranks):
        return "WORSE"
    # Where the closing is judged the same, the standard leaves the code open.
    return "better" if any(through < without for without, through in ranks) else "other code"


def counted(verdicts):
    behaviors = Counter(verdict["behavior"] for verdict in verdicts.values())
    closes = Counter(verdict["behaviorClose"] for verdict in verdicts.values())
    return "; ".join(
        f"{name}: " + ", ".join(f"{number} {kind}" for kind, number in counts.most_common())
        for name, counts in [("behaviour", behaviors), ("closing", closes)]
    )


def told(verdict):
    return "not run" if verdict is None else " / ".join(str(verdict[name]) for name in COMPARED)
