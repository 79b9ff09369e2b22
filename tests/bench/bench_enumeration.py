"""Does the response time tell whether an address has an account? A classifier tries, on 500 pairs per call.

.venv/bin/python -m tests.bench.bench_enumeration

Real handlers and a real Postgres run here without a network in between: no attacker measures this precisely. AWS calls
are stubbed alike for both (the outbox nudge; the signing secret comes from moto and is cached). Every round asks for a
known address, an unknown one and a second known one, all new, in random order. Known against known is the control: the
AUC of noise alone.
"""

import gc
import os
import random
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import bcrypt
import numpy as np
import pytest
from numpy.typing import NDArray

from chally import outbox
from identity import passwords
from tests.support.api import Client
from tests.support.database import Database
from tests.support.people import SignUp

PAIRS = 500
PAIRS_OF_BCRYPT = 100  # a third of a second each
RESAMPLES = 2_000
FOLDS = 5
GOAL = 0.55
PASSWORD = "long enough for us"

Times = NDArray[np.float64]


@dataclass(frozen=True)
class Case:
    """A call; `form` makes its body from a username."""

    name: str
    path: str
    body: Callable[[str], dict[str, str]]
    form: str = "{}@people.test"
    status: int = 202
    pairs: int = PAIRS


CASES = [
    Case("register", "/v1/auth/register", lambda email: new_account(email)),
    Case("login by address", "/v1/auth/login", lambda login: wrong(login), status=401),
    Case("login by name", "/v1/auth/login", lambda login: wrong(login), form="{}", status=401),
    Case("magic link", "/v1/auth/magic-link", lambda email: {"email": email}),
    Case("forgotten password", "/v1/auth/password/forgot", lambda email: {"email": email}),
    Case("another address", "/v1/me/email", lambda email: {"current_password": PASSWORD, "new": email}, status=204),
]


def new_account(email: str) -> dict[str, str]:
    username = f"new_{random.randrange(10**9):09}"
    return {"email": email, "username": username, "password": "another good one", "timezone": "Europe/Oslo"}


def wrong(login: str) -> dict[str, str]:
    return {"login": login, "password": "not the right one"}


def main() -> None:
    """Run by pytest, for the fixtures of the tests."""
    command = ["-m", "pytest", __file__, "-q", "--no-header", "-p", "no:randomly", "-p", "no:cacheprovider"]
    os.execv(sys.executable, [sys.executable, *command])


@pytest.fixture
def people(database: Database) -> Callable[[int, str], list[str]]:
    """Insert accounts in an order that no index shows; return their names."""

    def add(count: int, password_hash: str) -> list[str]:
        rows = database.execute(
            """
            insert into identity.users (email, username, password_hash, timezone, email_verified_at)
            select name || '@people.test', name, %(hash)s, 'Europe/Oslo', now()
            from (select 'p_' || right(uuidv4()::text, 12) as name from generate_series(1, %(count)s)) named
            returning username
            """,
            count=count,
            hash=password_hash,
        )
        database.execute("vacuum analyze identity.users")
        return [name for (name,) in rows]

    return add


def test_response_times(
    person: SignUp,
    database: Database,
    people: Callable[[int, str], list[str]],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(outbox, "send_nudge", lambda: None)
    client = person("kari")
    database.execute("update core.limits set quantity = 1000000")
    today = passwords.make_hash(PASSWORD)
    # as many as a club has, so that Postgres uses indexes
    people(20_000, today)
    rows = [(case, measure(case, client, people(2 * case.pairs, today))) for case in CASES]
    former = bcrypt.hashpw(PASSWORD.encode(), bcrypt.gensalt(12)).decode()
    login = CASES[1]
    for name, stored in (("while bcrypt is in use", today), ("of the former Chally", former)):
        case = Case(f"login {name}", login.path, login.body, status=401, pairs=PAIRS_OF_BCRYPT)
        people(1, former)
        rows.append((case, measure(case, client, people(2 * case.pairs, stored))))
    with capsys.disabled():
        print(
            f"\nknown against unknown address, beside known against known (goal: AUC within {GOAL}, or as the control)"
        )
        for case, times in rows:
            print(f"  {case.name:<30} {case.pairs} pairs  {verdict(*times)}")


def measure(case: Case, client: Client, known: list[str]) -> tuple[Times, Times, Times]:
    """Response times in seconds: known addresses, unknown ones, and known ones again."""
    chance = random.Random(case.name)
    chance.shuffle(known)
    unknown = [f"p_{chance.randrange(16**12):012x}" for _ in range(case.pairs)]
    kinds = (known[: case.pairs], unknown, known[case.pairs :])
    asked = Client(client.token) if case.path.startswith("/v1/me") else Client()
    took = np.empty((3, case.pairs))
    for _ in range(20):
        assert ask(asked, case, f"p_{chance.randrange(16**12):012x}") > 0
    gc.collect()
    gc.disable()
    for turn in range(case.pairs):
        for kind in chance.sample(range(3), 3):
            took[kind, turn] = ask(asked, case, kinds[kind][turn])
        if turn % 50 == 0:
            gc.collect()
    gc.enable()
    return took[0], took[1], took[2]


def ask(client: Client, case: Case, name: str) -> float:
    body = case.body(case.form.format(name))
    began = time.perf_counter()
    answer = client.post(case.path, body)
    elapsed = time.perf_counter() - began
    assert answer.status == case.status, answer.text
    return elapsed


def verdict(known: Times, unknown: Times, control: Times) -> str:
    """Print the classifier's result beside its result on noise."""
    told, noise = interval(known, unknown), interval(known, control)
    fine = abs(told[0] - 0.5) <= GOAL - 0.5 or noise[1] <= told[0] <= noise[2]
    figures = [
        f"AUC {value:.3f} ({low:.3f} to {high:.3f}), right {accuracy(known, other):.3f}"
        for (value, low, high), other in ((told, unknown), (noise, control))
    ]
    difference = float(np.median(known) - np.median(unknown)) * 1e6
    medians = f"{np.median(known) * 1e3:.2f} ms, {difference:+.0f} µs"
    return f"{figures[0]}; control {figures[1]}; {medians}  {'ok' if fine else 'TELLS'}"


def auc(one: Times, other: Times) -> float:
    """The probability that a value of `one` exceeds one of `other`: 0.5 is guessing (Mann-Whitney)."""
    both = np.sort(other)
    below = np.searchsorted(both, one, side="left") + np.searchsorted(both, one, side="right")
    return float(below.sum() / (2 * len(one) * len(other)))


def interval(one: Times, other: Times) -> tuple[float, float, float]:
    """The AUC and its 95 % bootstrap interval over rounds."""
    chance = np.random.default_rng(1)
    turns = chance.integers(0, len(one), (RESAMPLES, len(one)))
    low, high = np.quantile([auc(one[drawn], other[drawn]) for drawn in turns], (0.025, 0.975))
    return auc(one, other), float(low), float(high)


def accuracy(one: Times, other: Times) -> float:
    """The accuracy of the best threshold on responses that it was not chosen by."""
    times = np.concatenate([one, other])
    labels = np.repeat([True, False], [len(one), len(other)])
    order = np.random.default_rng(1).permutation(len(times))
    right = []
    for fold in np.array_split(order, FOLDS):
        rest = np.setdiff1d(order, fold)
        threshold, slower = best_threshold(times[rest], labels[rest])
        right.append(np.mean(((times[fold] > threshold) == slower) == labels[fold]))
    return float(np.mean(right))


def best_threshold(times: Times, labels: NDArray[np.bool_]) -> tuple[float, bool]:
    """The threshold, and whether known addresses are above it."""
    order = np.argsort(times)
    above = np.concatenate([[labels.sum()], labels.sum() - np.cumsum(labels[order])])
    hits = above + np.concatenate([[0], np.cumsum(~labels[order])])  # known above the cut, unknown below
    best = int(np.argmax(np.maximum(hits, len(times) - hits)))
    cut: Any = times[order][best - 1] if best else -np.inf
    return float(cut), bool(hits[best] * 2 >= len(times))


if __name__ == "__main__":
    main()
