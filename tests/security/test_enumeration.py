"""Nobody learns whether an address has an account: known and unknown addresses get the same response, byte by byte, and
cause the same work. tests/bench/bench_enumeration.py measures the time.
"""

import re
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import bcrypt
import psycopg
import pytest

from chally import outbox
from identity import passwords
from tests.support.api import Client, Response
from tests.support.database import Database
from tests.support.people import SignUp

PASSWORD = "long enough for us"
Ask = Callable[[Client, str], Response]


def register(client: Client, email: str) -> Response:
    username = f"n_{abs(hash(email)) % 10**9:09}"
    body = {"email": email, "username": username, "password": "another good one", "timezone": "Europe/Oslo"}
    return client.post("/v1/auth/register", body)


def login(client: Client, name: str) -> Response:
    return client.post("/v1/auth/login", {"login": name, "password": "not the right one"})


def magic_link(client: Client, email: str) -> Response:
    return client.post("/v1/auth/magic-link", {"email": email})


def forgot(client: Client, email: str) -> Response:
    return client.post("/v1/auth/password/forgot", {"email": email})


def change(client: Client, email: str) -> Response:
    return client.post("/v1/me/email", {"current_password": PASSWORD, "new": email})


def kind(stored: str) -> str:
    """The function and parameters of a hash, which determine the cost of verifying it."""
    found = re.match(r"\$argon2id\$v=\d+\$[^$]+|\$2.\$\d\d", stored)
    return found[0] if found else "none"


@dataclass
class Work:
    """The work behind a response: statements, hashes, nudges, and rows added and removed by table."""

    statements: list[str] = field(default_factory=list)
    hashes: list[str] = field(default_factory=list)
    nudges: int = 0
    rows: dict[str, tuple[int, int]] = field(default_factory=dict)


@pytest.fixture
def watch(database: Database, monkeypatch: pytest.MonkeyPatch) -> Callable[[Ask, Client, str], tuple[Any, Work]]:
    """Make a call; return what its client sees and the work it took."""
    work = Work()
    execute = psycopg.Cursor.execute

    def counted(self: Any, query: Any, *args: Any, **kwargs: Any) -> Any:
        work.statements.append(" ".join(query.decode().split() if isinstance(query, bytes) else str(query).split()))
        return execute(self, query, *args, **kwargs)

    def hashing(name: str) -> None:
        original = getattr(passwords, name)

        def noted(*args: Any) -> Any:
            work.hashes.append(kind(args[0]) if name != "make_hash" else name)
            return original(*args)

        monkeypatch.setattr(passwords, name, noted)

    for name in ("_argon2", "_bcrypt", "make_hash"):
        hashing(name)

    def nudged() -> None:
        work.nudges += 1

    monkeypatch.setattr(outbox, "send_nudge", nudged)

    def make(ask: Ask, client: Client, who: str) -> tuple[Any, Work]:
        nonlocal work
        before = contents(database)
        work = Work()
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(psycopg.Cursor, "execute", counted)
            answer = ask(client, who)
        done, work = work, Work()
        after = contents(database)
        changes = {table: (after[table] - before[table], before[table] - after[table]) for table in after}
        done.rows = {t: (new.total(), old.total()) for t, (new, old) in changes.items() if new or old}
        return seen(answer), done

    return make


def seen(answer: Response) -> tuple[object, ...]:
    """What a client sees, without the id of the request."""
    text = re.sub(r'"request_id":"[0-9a-f]+"', '"request_id":"…"', answer.text)
    headers = {name: value for name, value in answer.headers.items() if name != "x-request-id"}
    return answer.status, headers, text, answer.cookies


def contents(database: Database) -> dict[str, Counter[str]]:
    """The rows of all our tables."""
    with psycopg.connect(database.url, autocommit=True) as connection:
        tables = connection.execute(
            "select format('%I.%I', n.nspname, c.relname) from pg_class c join pg_namespace n on n.oid = c.relnamespace"
            " where c.relkind = 'r' and c.relowner = 'chally_owner'::regrole"
        ).fetchall()
        rows = {
            table: connection.execute(f"select to_jsonb(t)::text from {table} t".encode()).fetchall()
            for (table,) in tables
        }
    return {table: Counter(row for (row,) in found) for table, found in rows.items()}


@contextmanager
def a_hash_of_the_former_chally(database: Database) -> Iterator[None]:
    """Insert a bcrypt hash: while there is one, every sign-in verifies both kinds."""
    old = bcrypt.hashpw(b"a password of then", bcrypt.gensalt(4)).decode()
    change = "update identity.users set password_hash = %(hash)s where username = 'ola' returning password_hash"
    ((before,),) = database.execute("select password_hash from identity.users where username = 'ola'")
    database.execute(change, hash=old)
    yield
    database.execute(change, hash=before)


Watch = Callable[[Ask, Client, str], tuple[Any, Work]]

ADDRESS = "{}@people.test"
CASES: dict[str, tuple[Ask, str, int, str]] = {
    "register": (register, ADDRESS, 202, "identity.registrations"),
    "login by address": (login, ADDRESS, 401, "identity.login_failures"),
    "login by name": (login, "{}", 401, "identity.login_failures"),
    "magic link": (magic_link, ADDRESS, 202, "identity.mail_links"),
    "forgotten password": (forgot, ADDRESS, 202, "identity.mail_links"),
}


@pytest.mark.parametrize("case", CASES)
def test_known_and_unknown_addresses_get_the_same_response(
    nobody: Client, person: SignUp, watch: Watch, database: Database, case: str
) -> None:
    """For an account, no account and a deleted one; the second call finds the traces of the first."""
    ask, form, status, table = CASES[case]
    person("kari"), person("gone")
    database.execute("update identity.users set deleted_at = now() where username = 'gone'")
    database.execute("delete from core.rate_limits")  # used up by registering
    for _ in range(2):
        known, unknown, left = (watch(ask, nobody, form.format(name)) for name in ("kari", "none", "gone"))
        assert known == unknown == left
        answer, work = known
        assert answer[0] == status
        assert work.rows[table][0] == 1
        assert len(work.statements) >= 5


@pytest.mark.parametrize("form", ["{}", "{}@people.test"])
def test_a_login_does_the_same_hashing_for_every_kind_of_hash(
    nobody: Client, person: SignUp, watch: Watch, database: Database, form: str
) -> None:
    """An account of today, one of the former Chally, and no account."""
    person("kari"), person("ola")
    names = [form.format(name) for name in ("kari", "ola", "none")]
    today = [watch(login, nobody, name) for name in names]
    assert today == [today[0]] * 3
    argon2 = kind(passwords.DUMMY_HASH)
    assert today[0][1].hashes == [argon2] * 2  # of the account, and of the pending registration
    with a_hash_of_the_former_chally(database):
        then = [watch(login, nobody, name) for name in names]
    assert then == [then[0]] * 3
    assert then[0][0] == today[0][0]
    assert then[0][1].hashes == [argon2, "$2b$04", argon2]


def test_changing_to_a_known_or_an_unknown_address_is_the_same(person: SignUp, watch: Watch) -> None:
    """A signed-in person may not learn who else has an account either."""
    person("kari")
    one, other = person("ola"), person("liv")
    assert one.get("/v1/me").status == 200  # so that our keys are cached
    for _ in range(2):
        known, unknown = watch(change, one, "kari@people.test"), watch(change, other, "none@people.test")
        assert known == unknown
        assert known[0][0] == 204
        assert known[1].rows["identity.mail_links"][0] == 1
        assert known[1].rows["core.outbox"] == (1, 0)


def test_a_pending_registration_reveals_nothing(nobody: Client, person: SignUp, watch: Watch) -> None:
    """Somebody registers other people's addresses and then tries to sign in with them."""
    person("kari")

    def look(client: Client, email: str) -> Response:
        return client.post("/v1/auth/login", {"login": email, "password": "another good one"})

    for email in ("kari@people.test", "none@people.test"):
        assert register(nobody, email).status == 202
    one, other = watch(look, nobody, "kari@people.test"), watch(look, nobody, "none@people.test")
    assert one == other
    assert one[0][0] == 403


@pytest.mark.parametrize("ask", [login, magic_link, forgot, register], ids=lambda ask: ask.__name__)
def test_known_and_unknown_addresses_are_refused_alike(
    nobody: Client, person: SignUp, database: Database, ask: Ask
) -> None:
    """Limits and lockouts begin after the same number of calls and say the same words."""
    person("kari")
    database.execute("delete from core.rate_limits")
    database.execute("update core.limits set quantity = 3 where per = 'address'")

    def refused(who: str) -> list[tuple[object, ...]]:
        answers = [seen(ask(nobody, who)) for _ in range(8)]
        assert answers[0][0] != 429
        assert answers[-1][0] == 429
        return [answer[:1] + answer[2:] for answer in answers]  # Retry-After counts down as the test runs

    assert refused("kari@people.test") == refused("none@people.test")
