"""Independent oracle of the access rules: it replays the log of all facts for each answer.

Written from the rules in docs/door.md. It shares no code with the engine: rules are plain
dictionaries, answers are tuples, and nothing is stored but facts.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

Answer = tuple[Any, ...]
STRICT = ("face", "card-and-face", "pin-and-face")


@dataclass
class Visitor:
    """A person, as the oracle knows them."""

    name: str
    groups: tuple[str, ...] = ()
    valid: tuple[int, int] | None = None  # days of the month
    max_uses: int | None = None
    mode: str | None = None
    exempt: bool = False


@dataclass
class Picture:
    """Situation after a log of facts."""

    side: dict[tuple[str, str], tuple[str, float | None]] = field(default_factory=dict)
    count: dict[str, int] = field(default_factory=dict)
    inside: set[tuple[str, str]] = field(default_factory=set)  # people that the count has by name
    outside: set[tuple[str, str]] = field(default_factory=set)  # people that it lacks
    used: dict[str, int] = field(default_factory=dict)
    open: list[dict[str, Any]] = field(default_factory=list)  # grants without a passage
    known: bool = True
    tailgates: int = 0


@dataclass
class Oracle:
    """Rules and facts. A fact is a dictionary with `what` and the monotonic time `t`."""

    rules: dict[str, Any]
    log: list[dict[str, Any]] = field(default_factory=list)
    shown: list[tuple[str, str, str, float, bool]] = field(default_factory=list)

    def lane(self, name: str) -> dict[str, Any]:
        return next(lane for lane in self.rules["lanes"] if lane["name"] == name)

    def zone(self, name: str | None) -> dict[str, Any]:
        return next((zone for zone in self.rules["zones"] if zone["name"] == name), {})

    # ------------------------------------------------------------ facts

    def picture(self, log: list[dict[str, Any]] | None = None, now: float = 0.0) -> Picture:
        found = Picture()
        for fact in self.log if log is None else log:
            self._alive(found, fact["t"])
            self._replay(found, fact)
        self._alive(found, now)
        return found

    @staticmethod
    def _alive(found: Picture, t: float) -> None:
        found.open = [grant for grant in found.open if not grant.get("end", t) < t]

    def _replay(self, found: Picture, fact: dict[str, Any]) -> None:
        what = fact["what"]
        everyone = {who for who, _ in found.side} | {one["who"] for one in found.open}
        if what == "grant":
            self._replay_grant(found, fact)
        elif what == "open":
            for grant in self.passing(found, fact["door"]):
                self._go(found, grant, fact["wall"])
        elif what == "sensor":
            mine = [grant for grant in found.open if grant["lane"] == fact["lane"]]
            lane = self.lane(fact["lane"])
            if mine:
                self._go(found, mine[0], fact["wall"])
            elif lane["zone"]:
                self._bump(found, lane["zone"], lane["direction"])
                places = found.outside if lane["direction"] == "in" else found.inside
                places -= {here for here in places if here[1] == lane["zone"]}
                found.tailgates += lane["direction"] == "in"
        elif what == "relock":
            for grant in found.open:
                if self.lane(grant["lane"])["door"] == fact["door"]:
                    end = fact["t"] + self.rules["passage_grace_s"]
                    grant["end"] = min(grant.get("end", end), end)
        elif what == "restart":
            self._end(found, [grant for grant in found.open if self._is_at(grant["lane"], fact)])
        elif what == "corrupt":
            found.side, found.count, found.used = {}, {}, {}
            found.open = found.open if fact.get("running") else []  # its process knows its grants
            found.inside, found.outside = set(), set()
            found.known = False
        elif what == "reset":
            self._reset(found, fact, {who for who in everyone if who == fact["who"]})
        elif what == "erase":
            self._reset(found, fact, {fact["who"]})
            found.outside = {here for here in found.outside if here[0] != fact["who"]}
            found.used.pop(fact["who"], None)
        elif what == "reset-all":
            self._reset(found, fact, everyone)
            found.known = True
        elif what == "occupancy":
            zone = fact["zone"]
            self._settle(found, fact, [one for one in found.open if one["zone"] == zone])
            found.count[zone] = fact["people"]
            found.outside = {here for here in found.outside if here[1] != zone}
            if len([here for here in found.inside if here[1] == zone]) > fact["people"]:
                found.inside = {here for here in found.inside if here[1] != zone}

    def _reset(self, found: Picture, fact: dict[str, Any], who: set[str]) -> None:
        """Forget where people are; the count loses them, and keeps those on their way in."""
        coming = self._settle(found, fact, [one for one in found.open if one["who"] in who])
        found.side = {here: where for here, where in found.side.items() if here[0] not in who}
        for here in [here for here in found.inside if here[0] in who]:
            found.count[here[1]] -= 1
            found.inside.discard(here)
            found.outside.add(here)
        for here in {(one["who"], one["zone"]) for one in coming if one["way"] == "in"}:
            if here[1]:
                self._bump(found, here[1], "in")
                found.outside.discard(here)

    def _settle(
        self, found: Picture, fact: dict[str, Any], grants: list[dict[str, Any]]
    ) -> list[dict[str, Any]]:
        """End the grants of other doors: a reset at a door does not wait for them."""
        doors = {one["name"]: one["door"] for one in self.rules["lanes"]}
        ended = [one for one in grants if doors[one["lane"]] != fact.get("at", doors[one["lane"]])]
        self._end(found, ended)
        return ended

    def _end(self, found: Picture, grants: list[dict[str, Any]]) -> None:
        """End grants whose passage is unknown: their people are inside."""
        for grant in grants:
            here = (grant["who"], grant["zone"])
            if grant["zone"]:
                if grant["way"] == "in":
                    self._count(found, grant)
                found.side[here] = ("in", grant["wall"])
                found.outside.discard(here)
            found.used[grant["who"]] = found.used.get(grant["who"], 0) + grant["use"]
        found.open = [grant for grant in found.open if grant not in grants]

    def _is_at(self, lane: str, fact: dict[str, Any]) -> bool:
        """Return True if a fact concerns a lane: it names the door of the lane, or no door."""
        return fact.get("door") in (None, self.lane(lane)["door"])

    def passing(self, found: Picture, door: str) -> list[dict[str, Any]]:
        """Return the grants whose people pass when a door's contact opens."""
        lanes = {one["name"]: (one["door"], one["passage"]) for one in self.rules["lanes"]}
        here = [grant for grant in found.open if lanes[grant["lane"]] == (door, "contact")]
        if all("end" in grant for grant in here):
            return here
        return [grant for grant in here if "end" not in grant]

    def _replay_grant(self, found: Picture, fact: dict[str, Any]) -> None:
        lane = self.lane(fact["lane"])
        for who, limited in fact["people"]:
            grant = {
                "who": who,
                "lane": lane["name"],
                "zone": lane["zone"],
                "way": lane["direction"],
                "use": int(limited and lane["direction"] == "in"),
                "wall": fact["wall"],
            }
            at_once = not lane["passage"] or (lane["passage"] == "contact" and fact["ajar"])
            if not at_once and (grant["zone"] or grant["use"]):
                again = [g for g in found.open if (g["who"], g["lane"]) == (who, lane["name"])]
                found.open = [g for g in found.open if g not in again] + [grant]
            elif at_once:
                self._go(found, grant, fact["wall"])

    def _go(self, found: Picture, grant: dict[str, Any], wall: float | None) -> None:
        found.open = [other for other in found.open if other is not grant]
        if grant["zone"]:
            self._count(found, grant)
            found.side[grant["who"], grant["zone"]] = (grant["way"], wall)
        found.used[grant["who"]] = found.used.get(grant["who"], 0) + grant["use"]

    def _count(self, found: Picture, grant: dict[str, Any]) -> None:
        """Count a passage of a person; the count never falls below those it has by name."""
        here = (grant["who"], grant["zone"])
        if grant["way"] == "in" and here not in found.inside:
            self._bump(found, grant["zone"], "in")
        elif grant["way"] == "out" and here not in found.outside:
            others = [one for one in found.inside if one[1] == here[1] and one != here]
            if found.count.get(here[1], 0) > len(others):
                self._bump(found, grant["zone"], "out")
        found.inside.discard(here)
        found.outside.discard(here)
        (found.inside if grant["way"] == "in" else found.outside).add(here)

    @staticmethod
    def _bump(found: Picture, zone: str, way: str) -> None:
        before = found.count.get(zone, 0)
        found.count[zone] = before + 1 if way == "in" else max(before - 1, 0)

    # ------------------------------------------------------------ questions

    def present(
        self,
        lane: str,
        factor: str,
        who: Visitor,
        t: float,
        wall: datetime,
        trusted: bool,
        doors: dict[str, bool],
        masked: bool,
    ) -> Answer:
        """Return what the engine must answer. `doors`: True if one is unlocked or open."""
        live = [
            one for one in self.shown if one[0] == lane and t - one[3] <= self.rules["window_s"]
        ]
        rest = [one for one in self.shown if one[0] != lane]
        is_duress = factor == "duress-pin"
        if any(one[2] != who.name for one in live):
            if any(one[1] != "face" for one in live):
                return ("refused", "other-person", is_duress)
            live, self.shown = [], rest
            if factor != "face":
                return ("refused", "other-person", is_duress)
        live = [one for one in live if one[1] != factor] + [(lane, factor, who.name, t, masked)]
        self.shown = rest + live
        has = {one[1].replace("duress-", "") for one in live}
        duress = any(one[1] == "duress-pin" for one in live)
        hidden = any(one[1] == "face" and one[4] for one in live)
        ways = self.ways(who, wall, trusted, hidden)
        if ways and not any(set(way.split("+")) <= has for way in ways):
            missing = {part for way in ways for part in way.split("+")} - has
            until = min(one[3] for one in live) + self.rules["window_s"]
            return ("waiting", tuple(sorted(missing)), until, duress)
        answer: Answer
        if not ways:
            answer = ("refused", "fallback-not-allowed", duress)
        else:
            answer = self.complete(self.lane(lane), who, t, wall, trusted, doors, duress)
        if answer[0] != "allowed":
            self.shown = rest
        return answer

    def ways(self, who: Visitor, wall: datetime, trusted: bool, hidden: bool) -> list[str]:
        night = self.rules.get("night")
        mode, alone = self.rules["mode"], list[str]()
        if night and not trusted:
            mode = max(mode, night["mode"], key=STRICT.index)
        elif night and (wall.hour >= 20 or wall.hour < 6):
            mode, alone = night["mode"], night["fallback"]
        if who.mode in ("card", "pin"):
            return [who.mode] if who.mode in alone else []
        ways = [(who.mode or mode).replace("-and-", "+"), *([] if who.mode else alone)]
        if hidden and self.rules["masked"] == "require-second-factor" and ways[0] == "face":
            ways[:1] = ["card+face", "pin+face"]
        return ways

    def complete(
        self,
        lane: dict[str, Any],
        who: Visitor,
        t: float,
        wall: datetime,
        trusted: bool,
        doors: dict[str, bool],
        duress: bool,
    ) -> Answer:
        now = self.picture(now=t)
        people = [who]
        if lane["two_people"]:
            refusal = self.personal(lane, who, now, wall, trusted)
            if refusal:
                return ("refused", refusal, duress)
            first = self.first(lane["name"])
            within_s = self.rules["two_people"]["within_s"]
            if not first or first["who"].name == who.name or t - first["t"] > within_s:
                fact = {"what": "first", "t": t, "lane": lane["name"], "who": who, "duress": duress}
                self.log.append(fact)
                return ("waiting", (), t + within_s, duress)
            people, duress = [first["who"], who], duress or first["duress"]
        for each in people:
            refusal = self.personal(lane, each, now, wall, trusted)
            if refusal:
                return ("refused", refusal, duress)
        limit = self.zone(lane["zone"]).get("max_people")
        if limit and lane["direction"] == "in":
            if not now.known:
                return ("refused", "zone-state-unknown", duress)
            coming = sum(g["zone"] == lane["zone"] and g["way"] == "in" for g in now.open)
            if now.count.get(lane["zone"], 0) + coming + len(people) > limit:
                return ("refused", "zone-full", duress)
        if self.rules["interlock"] and any(doors[each] for each in doors if each != lane["door"]):
            return ("refused", "interlock", duress)
        soft = [self.passback(lane, each, now, wall, trusted) for each in people]
        names = tuple(each.name for each in people)
        return ("allowed", names, duress, tuple(each for each in soft if each))

    def first(self, lane: str) -> dict[str, Any] | None:
        """Return the first of two people who still waits at a lane."""
        for fact in reversed(self.log):
            if fact["what"] == "corrupt" and not fact.get("running"):
                return None
            if fact["what"] == "restart" and self._is_at(lane, fact):
                return None
            if fact["what"] in ("first", "grant", "cancel") and fact["lane"] == lane:
                return fact if fact["what"] == "first" else None
        return None

    def personal(
        self, lane: dict[str, Any], who: Visitor, now: Picture, wall: datetime, trusted: bool
    ) -> str | None:
        if lane["groups"] and not set(lane["groups"]) & set(who.groups):
            return "not-in-group"
        if who.valid and not trusted:
            return "clock-untrusted"
        if who.valid and not who.valid[0] <= wall.day <= who.valid[1]:
            return "not-valid-today"
        if who.max_uses is not None and lane["direction"] == "in":
            if not now.known:
                return "zone-state-unknown"
            booked = sum(grant["use"] for grant in now.open if grant["who"] == who.name)
            if now.used.get(who.name, 0) + booked >= who.max_uses:
                return "used-up"
        if self.zone(lane["zone"]).get("anti_passback") == "hard":
            refusal = self.passback(lane, who, now, wall, trusted)
            if refusal:
                return refusal
        if lane["two_people"] and not set(self.rules["two_people"]["groups"]) & set(who.groups):
            return "two-people-not-permitted"
        return None

    def passback(
        self, lane: dict[str, Any], who: Visitor, now: Picture, wall: datetime, trusted: bool
    ) -> str | None:
        zone = self.zone(lane["zone"])
        if not zone or zone["anti_passback"] == "off" or who.exempt:
            return None
        if not now.known:
            return "zone-state-unknown" if lane["direction"] == "in" else None
        if any(g["who"] == who.name and g["zone"] == zone["name"] for g in now.open):
            return "passage-pending"
        side, since = now.side.get((who.name, zone["name"]), ("", None))
        forget = zone.get("forget_after_s")
        if forget and trusted and since is not None and wall.timestamp() - since >= forget:
            return None
        if side == lane["direction"]:
            return "already-inside" if side == "in" else "not-inside"
        return None

    def open_mode(self, door: str, mode: str) -> str:
        """Return the mode of a door that applies when the schedule gives a mode."""
        if mode != "open" or not self.rules["first_person"]:
            return mode
        begun = came = False
        for fact in self.log:
            if fact["what"] in ("restart", "corrupt"):
                begun = came = False
            elif fact["what"] == "mode" and fact["door"] == door:
                begun = fact["mode"] == "open"
                came = came and begun
            elif fact["what"] == "grant" and begun:
                lane = self.lane(fact["lane"])
                is_entry = lane["door"] == door and lane["direction"] == "in"
                came = came or (is_entry and fact["starts"])
        return "open" if came else "normal"
