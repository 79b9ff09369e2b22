"""Taking one's data along, and leaving: every context says what it holds on a person, and forgets it.

`export_person` answers it by table, without secrets; `forget_person` leaves what other people's standings and counts
need, which says nothing about the person any more; `objects_of_person` names what lies in the bucket: keys, or with a
slash at the end all under them, and the name of a file in an export. Whoever adds a table adds it here, in a
migration that replaces these functions: a test reads the catalog.
"""

from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    # First, because each of these commits: when one fails, this migration runs again from its beginning.
    with op.get_context().autocommit_block():
        op.execute("drop index concurrently if exists identity.users_leaving")
        op.execute("""
            create index concurrently if not exists users_leaving on identity.users (id)
            where deleted_at is not null and purged_at is null
        """)
        op.execute("drop index concurrently if exists identity.refresh_tokens_expires_at")
        op.execute("""
            create index concurrently if not exists refresh_tokens_expires_at on identity.refresh_tokens (expires_at)
        """)

    # An export is built under a lease, for as long as a function may live: what is never finished is taken up again.
    op.execute("""
        alter table identity.exports
            add column attempts integer not null default 0,
            add column leased_until timestamptz
    """)

    _core()
    _identity()
    _challenges()
    _proofs()
    _notifications()
    functions = [
        *(f"{schema}.{name}" for schema in SCHEMAS for name in ("export_person", "forget_person")),
        "identity.objects_of_person",
        "proofs.objects_of_person",
    ]
    for function in functions:
        op.execute(f"revoke execute on function {function} from public")
        op.execute(f"grant execute on function {function} to chally_system")


SCHEMAS = ("core", "identity", "challenges", "proofs", "notifications")


def _core() -> None:
    # Of what others did to the account, such as a moderator, where they did it from is theirs.
    op.execute("""
        create function core.export_person(person uuid) returns jsonb
        language sql stable set search_path = ''
        return jsonb_build_object(
            'audit', (
                select coalesce(jsonb_agg(to_jsonb(x) order by x.id), '[]')
                from (
                    select a.id, a.at, a.action, a.session_id, a.detail,
                        a.user_id is not distinct from person as about_you,
                        a.actor_id is not distinct from person as by_you,
                        case when coalesce(a.actor_id, person) = person then a.ip end as ip,
                        case when coalesce(a.actor_id, person) = person then a.user_agent end as user_agent,
                        case when coalesce(a.actor_id, person) = person then a.request_id end as request_id
                    from core.audit a where person in (a.user_id, a.actor_id)
                ) x
            ),
            'idempotency_keys', (
                select coalesce(jsonb_agg(to_jsonb(x) order by x.created_at), '[]')
                from (select k.key, k.status, k.created_at from core.idempotency_keys k where k.user_id = person) x
            ),
            'outbox', (
                select coalesce(jsonb_agg(to_jsonb(x) order by x.id), '[]')
                from (
                    select o.id, o.topic, o.payload ->> 'template' as template, o.created_at, o.due_at, o.attempts
                    from core.outbox o
                    where o.delivered_at is null and (
                        o.payload ->> 'user_id' = person::text
                        or lower(o.payload ->> 'to') = (select lower(u.email) from identity.users u where u.id = person)
                    )
                ) x
            )
        )
    """)
    # Before identity forgets the address: mails are found by it.
    op.execute("""
        create function core.forget_person(person uuid) returns void
        language sql set search_path = ''
        begin atomic
            update core.audit set ip = null, user_agent = null
            where person in (user_id, actor_id) and (ip is not null or user_agent is not null);
            delete from core.idempotency_keys where user_id = person;
            delete from core.outbox
            where delivered_at is null and (
                payload ->> 'user_id' = person::text
                or lower(payload ->> 'to') = (select lower(u.email) from identity.users u where u.id = person)
            );
        end
    """)


def _identity() -> None:
    op.execute("""
        create function identity.export_person(person uuid) returns jsonb
        language sql stable set search_path = ''
        return jsonb_build_object(
            'users', (
                select coalesce(jsonb_agg(to_jsonb(x)), '[]')
                from (
                    select u.id, u.email, u.username, u.timezone, u.role, u.email_verified_at, u.created_at,
                        u.wants_reminders, u.deleted_at, u.purged_at
                    from identity.users u where u.id = person
                ) x
            ),
            'sessions', (
                select coalesce(jsonb_agg(to_jsonb(x) order by x.id), '[]')
                from (
                    select s.id, s.created_at, s.authenticated_at, s.second_factor, s.last_seen_at, s.user_agent, s.ip,
                        s.generation, s.rotated_at, s.ended_at, s.ended_reason,
                        (
                            select max(t.expires_at) from identity.refresh_tokens t where t.session_id = s.id
                        ) as expires_at
                    from identity.sessions s where s.user_id = person
                ) x
            ),
            'registrations', (
                select coalesce(jsonb_agg(to_jsonb(x) order by x.created_at), '[]')
                from (
                    select r.email, r.username, r.timezone, r.created_at, r.expires_at
                    from identity.registrations r
                    where lower(r.email) = (select lower(u.email) from identity.users u where u.id = person)
                ) x
            ),
            'mail_links', (
                select coalesce(jsonb_agg(to_jsonb(x) order by x.created_at), '[]')
                from (
                    select l.purpose, l.email, l.created_at, l.expires_at
                    from identity.mail_links l where l.user_id = person
                ) x
            ),
            'login_failures', (
                select coalesce(jsonb_agg(to_jsonb(x)), '[]')
                from (
                    select f.failures, f.failed_at
                    from identity.login_failures f, identity.users u
                    where u.id = person and f.login_hash in (
                        sha256(convert_to(lower(u.email), 'UTF8')), sha256(convert_to(lower(u.username), 'UTF8'))
                    )
                ) x
            ),
            'pending_sign_ins', (
                select coalesce(jsonb_agg(to_jsonb(x)), '[]')
                from (select p.expires_at from identity.pending_sign_ins p where p.user_id = person) x
            ),
            'totp', (
                select coalesce(jsonb_agg(to_jsonb(x)), '[]')
                from (select t.created_at, t.confirmed_at from identity.totp t where t.user_id = person) x
            ),
            'backup_codes', (
                select coalesce(jsonb_agg(to_jsonb(x)), '[]')
                from (select b.used_at from identity.backup_codes b where b.user_id = person) x
            ),
            'passkeys', (
                select coalesce(jsonb_agg(to_jsonb(x) order by x.id), '[]')
                from (
                    select k.id, k.name, encode(k.credential_id, 'base64') as credential_id,
                        encode(k.public_key, 'base64') as public_key, k.sign_count, k.backed_up, k.created_at,
                        k.last_used_at
                    from identity.passkeys k where k.user_id = person
                ) x
            ),
            'passkey_challenges', (
                select coalesce(jsonb_agg(to_jsonb(x)), '[]')
                from (select c.expires_at from identity.passkey_challenges c where c.user_id = person) x
            ),
            'exports', (
                select coalesce(jsonb_agg(to_jsonb(x) order by x.id), '[]')
                from (
                    select e.id, e.requested_at, e.built_at, e.size, e.expires_at
                    from identity.exports e where e.user_id = person
                ) x
            )
        )
    """)
    # The row itself stays, as a tombstone that nobody can sign in to: standings and challenges point to it.
    op.execute("""
        create function identity.forget_person(person uuid) returns void
        language sql set search_path = ''
        begin atomic
            delete from identity.refresh_tokens
            where session_id in (select s.id from identity.sessions s where s.user_id = person);
            delete from identity.sessions where user_id = person;
            delete from identity.registrations
            where lower(email) = (select lower(u.email) from identity.users u where u.id = person);
            delete from identity.mail_links where user_id = person;
            delete from identity.login_failures
            where login_hash in (
                select sha256(convert_to(lower(login), 'UTF8'))
                from identity.users u, unnest(array[u.email, u.username]) as login where u.id = person
            );
            delete from identity.pending_sign_ins where user_id = person;
            delete from identity.totp where user_id = person;
            delete from identity.backup_codes where user_id = person;
            delete from identity.passkeys where user_id = person;
            delete from identity.passkey_challenges where user_id = person;
            delete from identity.exports where user_id = person;
            update identity.users set
                username = 'deleted_' || right(id::text, 12), email = id::text || '@deleted.invalid',
                password_hash = '!', timezone = 'UTC', role = 'user', email_verified_at = null, wants_reminders = false
            where id = person;
        end
    """)
    op.execute("""
        create function identity.objects_of_person(person uuid) returns table (key text, name text)
        language sql stable set search_path = ''
        begin atomic
            select 'exports/' || e.id || '/', null::text from identity.exports e where e.user_id = person;
        end
    """)


def _challenges() -> None:
    op.execute("""
        create function challenges.export_person(person uuid) returns jsonb
        language sql stable set search_path = ''
        return jsonb_build_object(
            'challenges', (
                select coalesce(jsonb_agg(to_jsonb(x) order by x.id), '[]')
                from (
                    select c.id, c.title, c.description, c.status, c.visibility, c.invite_code, c.timezone,
                        c.starts_at, c.ends_at, c.max_participants, c.participant_count, c.late_join,
                        c.roster_visibility, c.rules, c.created_at
                    from challenges.challenges c where c.owner_id = person
                ) x
            ),
            'participants', (
                select coalesce(jsonb_agg(to_jsonb(x) order by x.id), '[]')
                from (
                    select p.id, p.challenge_id, c.title, p.timezone, p.joined_at, p.timezone_since
                    from challenges.participants p join challenges.challenges c on c.id = p.challenge_id
                    where p.user_id = person
                ) x
            ),
            'windows', (
                select coalesce(jsonb_agg(to_jsonb(x) order by x.opens_at), '[]')
                from (
                    select w.participant_id, w.local_date, w.opens_at, w.closes_at, w.timezone, w.tzdata, w.outcome
                    from challenges.windows w join challenges.participants p on p.id = w.participant_id
                    where p.user_id = person
                ) x
            ),
            'standings', (
                select coalesce(jsonb_agg(to_jsonb(x) order by x.participant_id), '[]')
                from (
                    select s.participant_id, s.challenge_id, s.points, s.current_streak, s.best_streak, s.accepted,
                        s.missed
                    from challenges.standings s join challenges.participants p on p.id = s.participant_id
                    where p.user_id = person
                ) x
            )
        )
    """)
    # Nothing: a challenge is its participants' as well, and who took part, when and with what outcome is what
    # standings are made of. Who that was, identity forgets.
    op.execute("""
        create function challenges.forget_person(person uuid) returns void
        language sql set search_path = ''
        begin atomic
            select;
        end
    """)


def _proofs() -> None:
    op.execute("""
        create function proofs.export_person(person uuid) returns jsonb
        language sql stable set search_path = ''
        return jsonb_build_object(
            'proofs', (
                select coalesce(jsonb_agg(to_jsonb(x) order by x.id), '[]')
                from (
                    select p.id, p.challenge_id, p.participant_id, p.local_date, p.opens_at, p.closes_at, p.kind,
                        p.status, p.reasons, p.note, p.captured_at, p.content_type, p.content_length,
                        encode(p.sha256, 'hex') as sha256, p.stored_at, p.decided_at, p.created_at
                    from proofs.proofs p where p.user_id = person
                ) x
            ),
            'fingerprints', (
                select coalesce(jsonb_agg(to_jsonb(x) order by x.proof_id), '[]')
                from (
                    select f.proof_id, f.challenge_id, encode(f.sha256, 'hex') as sha256, f.pdq::text as pdq, f.quality
                    from proofs.fingerprints f join proofs.proofs p on p.id = f.proof_id
                    where p.user_id = person
                ) x
            )
        )
    """)
    # The verdict stays, without what was proven with.
    op.execute("""
        create function proofs.forget_person(person uuid) returns void
        language sql set search_path = ''
        begin atomic
            delete from proofs.fingerprints
            where proof_id in (select p.id from proofs.proofs p where p.user_id = person);
            update proofs.proofs set
                note = null, captured_at = null, sha256 = decode(repeat('00', 32), 'hex'),
                object_key = 'forgotten/' || id, sequencer = null
            where user_id = person;
        end
    """)
    op.execute("""
        create function proofs.objects_of_person(person uuid) returns table (key text, name text)
        language sql stable set search_path = ''
        begin atomic
            select p.object_key,
                'photos/' || p.local_date || '_' || p.id || case p.content_type
                    when 'image/jpeg' then '.jpg' when 'image/png' then '.png' when 'image/webp' then '.webp'
                    else '.bin' end
            from proofs.proofs p where p.user_id = person and p.object_key not like 'forgotten/%'
            order by p.id;
        end
    """)


def _notifications() -> None:
    op.execute("""
        create function notifications.export_person(person uuid) returns jsonb
        language sql stable set search_path = ''
        return jsonb_build_object(
            'reminders', (
                select coalesce(jsonb_agg(to_jsonb(x) order by x.due_at), '[]')
                from (
                    select r.participant_id, r.local_date, r.title, r.timezone, r.due_at, r.closes_at, r.sent_at,
                        r.cleared_at
                    from notifications.reminders r where r.user_id = person
                ) x
            )
        )
    """)
    op.execute("""
        create function notifications.forget_person(person uuid) returns void
        language sql set search_path = ''
        begin atomic
            delete from notifications.reminders where user_id = person;
        end
    """)
