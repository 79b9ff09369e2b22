"""Refresh tokens: 2,000 random histories of a session, on a real Postgres.

An honest client uses its newest token, repeats a request within the grace period if the response is lost, and waits for
the requests under way before it uses their response. Whatever else it does, in any number of tabs, it is never signed
out; and no theft survives the next two refreshes.
"""

import os
import random
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from uuid import UUID

import pytest

from chally import clock
from identity.rules import GRACE
from tests.support import api
from tests.support.people import SignUp
from tests.support.refreshing import START, THREADS, Direct, Http, Parallel, Request, System, World

# For other histories: CHALLY_SEED=7 make test. A failure names its history, which can be repeated by that name.
SEED = os.environ.get("CHALLY_SEED", "chally")
CODES = ("refresh_reused", "refresh_invalid", "session_ended")


@dataclass
class Life:
    """One session from sign-in to its end, with random events."""

    chance: random.Random
    world: World
    system: System
    person: UUID
    now: datetime = START
    told: list[str] = field(default_factory=list)
    """The history, for error messages."""

    def live(self) -> str:
        """Returns how the session ended."""
        self.session, self.held = self.world.sign_in(self.person)  # `held`: by the honest client
        self.ever = [self.held]
        self.copies: list[str] = []
        thief = self.chance.random() < 0.75
        for _ in range(self.chance.randint(1, 5)):
            if thief and self.chance.random() < 0.5:
                self.copies.append(self.chance.choice([self.held, *self.ever]))
                self.told.append(f"the thief copies token {self.ever.index(self.copies[-1])}")
            self.wait()
            end = self.act()
            if end is not None:
                return end
            if self.copies and self.chance.random() < 0.5:
                self.wait()
                end = self.steal()
                if end is not None:
                    return end
        assert self.world.is_signed_in(self.person, self.session)
        assert self.world.mails(self.person) == 0
        return "alive"

    # --- the honest client

    def act(self) -> str | None:
        """One random action of the client. Returns how the session ended; None while it goes on."""
        what = self.chance.choice(["refresh", "lose", "lose at the last", "tabs", "cold start", "expire", "leave"])
        self.told.append(f"{self.now - START}: {what}")
        if what == "leave" and self.chance.random() < 0.3:
            self.system.log_out(self.held, self.now)
            self.is_over("signed_out", mails=0)
            return "signed out"
        if what == "expire" and self.chance.random() < 0.3:
            self.now = self.world.expiry(self.held) + timedelta(milliseconds=1)  # the gateway tells no less
            assert self.ask(self.held) == "refresh_invalid"
            return "expired"
        if what == "lose at the last":  # its token expires before it asks again
            self.now = self.world.expiry(self.held) - GRACE * self.chance.uniform(0.01, 1)
        if what in ("lose", "lose at the last"):  # one to three times over
            until = self.now + GRACE
            responses = [self.ask(self.held)]
            for _ in range(self.chance.randint(0, 2)):
                self.now += (until - self.now) * self.chance.random()
                responses.append(self.ask(self.held))
            self.now = self.chance.choice([until, self.now])
            self.answered([*responses, self.ask(self.held)])
        elif what == "tabs":
            self.answered(self.ask_together(self.held, self.chance.randint(2, THREADS), late=timedelta(0)))
        elif what == "cold start":  # the gateway has the requests together; the functions serve them later
            late = timedelta(seconds=self.chance.uniform(0, 60))
            self.answered(self.ask_together(self.held, self.chance.randint(1, THREADS), late=late))
        else:
            self.answered([self.ask(self.held)])
        return None

    def wait(self) -> None:
        """Seconds, minutes, or days; never so long that a token expires."""
        self.now += self.chance.choice(
            [
                timedelta(seconds=self.chance.uniform(0, 10)),
                timedelta(seconds=self.chance.uniform(9.9, 10.1)),
                timedelta(minutes=self.chance.uniform(0, 20)),
                timedelta(days=self.chance.uniform(0, 13)),
            ]
        )

    def ask(self, token: str) -> str:
        return self.system.refresh([Request(token, self.now, self.now)])[0]

    def ask_together(self, token: str, count: int, *, late: timedelta) -> list[str]:
        """Parallel requests: each arrives within the grace of the first response, and is served up to `late` later."""
        requests = [Request(token, self.now, self.now)]
        for _ in range(count - 1):
            arrived = self.now + GRACE * self.chance.random()
            requests.append(Request(token, arrived, arrived + late * self.chance.random()))
        self.chance.shuffle(requests)
        first = min(request.now for request in requests)
        # the first request to lock the session rotates it, so the grace period of the others begins then
        requests = [Request(r.token, min(r.arrived, first + GRACE), r.now) for r in requests]
        responses = self.system.refresh(requests)
        self.now = max(request.now for request in requests)
        return responses

    def answered(self, responses: list[str]) -> None:
        """An honest client alone is never signed out, and all of its requests get the same response."""
        assert len(set(responses)) == 1, responses
        assert responses[0] not in CODES, responses
        self.held = responses[0]
        self.ever.append(self.held)

    # --- the thief

    def steal(self) -> str | None:
        """The thief uses a copy; both go on. Returns how the session ended; None if the copy was useless."""
        copy = self.chance.choice(self.copies)
        self.told.append(f"{self.now - START}: the thief uses token {self.ever.index(copy)}")
        got = self.ask(copy)
        if got == "refresh_invalid":  # it has expired since
            assert self.world.is_signed_in(self.person, self.session)
            return None
        holds = {"owner": self.held, "thief": got}
        if got not in CODES:
            # Some refreshes in any order: within the grace period the two cannot be told apart.
            for _ in range(self.chance.randint(0, 3)):
                self.now += timedelta(seconds=self.chance.uniform(0, 12))
                self.go_on(holds, *self.chance.choice([["owner"], ["thief"], ["owner", "thief"]]))
            # Then each of them once, not at the same time, in either order: this ends the session.
            for who in self.chance.sample(["owner", "thief"], 2):
                self.now += GRACE + timedelta(seconds=self.chance.uniform(0.001, 1_200))
                self.go_on(holds, who)
        self.ever += holds.values()
        self.is_over("reuse", mails=1)
        return "stolen"

    def go_on(self, holds: dict[str, str], *who: str) -> None:
        """One of them refreshes, or both, possibly twice at once."""
        who *= self.chance.choice([1, 1, 1, 2])
        self.told.append(f"{self.now - START}: {', '.join(who)} refresh")
        responses = self.system.refresh([Request(holds[one], self.now, self.now) for one in who])
        assert responses.count("refresh_reused") <= 1
        for one, response in zip(who, responses, strict=True):
            if response in CODES:
                assert response in ("refresh_reused", "session_ended"), response
            else:
                holds[one] = response

    def is_over(self, reason: str, *, mails: int) -> None:
        """No token of the session works, of either kind and in any hands."""
        assert self.world.end_of(self.session) == reason
        assert not self.world.is_signed_in(self.person, self.session)
        for token in {token for token in self.ever if token not in CODES}:
            assert self.ask(token) == "session_ended"
        assert self.world.mails(self.person) == mails


@pytest.mark.long
def test_two_thousand_random_histories_end_correctly(
    world: World, parallel: Parallel, at: Callable[[datetime], None]
) -> None:
    direct, http = Direct(world.client), Http(at)
    ends = Counter[str]()
    for number, person in enumerate(world.people(2_000)):
        system: System = http if number % 20 == 0 else parallel if number % 4 == 1 else direct
        life = Life(random.Random(f"{SEED} {number}"), world, system, person)
        try:
            ends[life.live()] += 1
        except BaseException as error:
            told = "\n  ".join(life.told)
            error.add_note(f"life {number} of CHALLY_SEED={SEED}, {type(system).__name__}:\n  {told}")
            raise
    assert world.branches() == 0
    # enough of each kind to be meaningful
    assert min(ends["stolen"], ends["alive"]) > 500, ends
    assert min(ends["signed out"], ends["expired"]) > 50, ends


def soon(token: str, after: timedelta) -> Request:
    return Request(token, START + after, START + after)


class TestCopies:
    """Malicious reuse, as described by the tests of Supabase Auth and Ory Hydra."""

    @pytest.fixture
    def stolen(self, world: World) -> tuple[UUID, UUID, str]:
        (person,) = world.people(1)
        return person, *world.sign_in(person)

    @pytest.mark.parametrize("rotations", [1, 2, 7])
    def test_a_used_token_ends_the_session(
        self, world: World, parallel: Parallel, stolen: tuple[UUID, UUID, str], rotations: int
    ) -> None:
        """Whether the owner or the thief came first: the tokens of both stop working."""
        person, session, first = stolen
        _, elsewhere = world.sign_in(person)
        family = [first]
        for turn in range(rotations):
            family += parallel.refresh([soon(family[-1], turn * timedelta(minutes=14))])
        late = rotations * timedelta(minutes=14)
        assert parallel.refresh([soon(first, late)]) == ["refresh_reused"]
        assert {parallel.refresh([soon(token, late)])[0] for token in family} == {"session_ended"}
        assert world.end_of(session) == "reuse"
        assert not world.is_signed_in(person, session)
        assert world.mails(person) == 1
        # the owner's other devices stay signed in
        assert parallel.refresh([soon(elsewhere, late)])[0] not in CODES

    def test_a_copy_used_many_times_at_once_is_reported_once(
        self, world: World, parallel: Parallel, stolen: tuple[UUID, UUID, str]
    ) -> None:
        person, session, first = stolen
        parallel.refresh([soon(first, timedelta(0))])
        responses = parallel.refresh([soon(first, timedelta(minutes=1))] * THREADS)
        assert Counter(responses) == {"refresh_reused": 1, "session_ended": THREADS - 1}
        assert world.mails(person) == 1
        audited = world.database.execute("select session_id from core.audit where action = 'refresh_token_reused'")
        assert audited == [(session,)]

    def test_a_thief_within_the_grace_period_is_found_at_the_next_rotation(
        self, world: World, parallel: Parallel, stolen: tuple[UUID, UUID, str]
    ) -> None:
        person, session, first = stolen
        both = parallel.refresh([soon(first, timedelta(0)), soon(first, timedelta(seconds=9))])
        assert both[0] == both[1]
        assert parallel.refresh([soon(both[0], timedelta(minutes=14))])[0] not in CODES
        assert parallel.refresh([soon(both[1], timedelta(minutes=15))]) == ["refresh_reused"]
        assert not world.is_signed_in(person, session)

    def test_an_access_token_of_an_ended_session_is_refused_at_once(
        self, person: SignUp, nobody: api.Client, at: Callable[[datetime], None]
    ) -> None:
        person("kari")
        session = nobody.post("/v1/auth/login", {"login": "kari", "password": "long enough for us"}).json
        kari = api.Client(session["access_token"])
        nobody.post("/v1/auth/refresh", {"refresh_token": session["refresh_token"]})
        assert kari.get("/v1/me").status == 200
        at(clock.now() + GRACE + timedelta(seconds=1))
        assert nobody.post("/v1/auth/refresh", {"refresh_token": session["refresh_token"]}).code == "refresh_reused"
        assert kari.get("/v1/me").code == "session_ended"


class TestHonest:
    """Concurrent reuse and lost responses, as described by the tests of Supabase Auth and Ory Hydra."""

    def test_parallel_refreshes_get_the_same_response(self, world: World, parallel: Parallel) -> None:
        (person,) = world.people(1)
        _, token = world.sign_in(person)
        for turn in range(20):
            responses = parallel.refresh([soon(token, turn * timedelta(minutes=14))] * THREADS)
            assert len(set(responses)) == 1
            token = responses[0]
            assert token not in CODES
        assert world.branches() == 0

    def test_a_lost_response_is_repeated(self, world: World) -> None:
        (person,) = world.people(1)
        session, first = world.sign_in(person)
        direct = Direct(world.client)
        lost, *again = direct.refresh([soon(first, GRACE * part / 10) for part in range(11)])
        assert set(again) == {lost}
        assert direct.refresh([soon(lost, timedelta(minutes=14))])[0] not in CODES
        assert world.is_signed_in(person, session)

    def test_signing_out_during_a_refresh_ends_the_session(self, world: World, parallel: Parallel) -> None:
        """In either order of the two: no child of the refresh outlives the sign-out."""
        for person in world.people(20):
            session, token = world.sign_in(person)
            refreshing = parallel.threads.submit(parallel.refresh, [soon(token, timedelta(0))] * 2)
            parallel.log_out(token, START)
            children = set(refreshing.result()) - set(CODES)
            assert world.end_of(session) == "signed_out"
            late = timedelta(seconds=1)
            assert {parallel.refresh([soon(child, late)])[0] for child in {token, *children}} == {"session_ended"}
            assert world.mails(person) == 0
